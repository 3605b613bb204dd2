"""The commands, as they are typed."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.conftest import FILE, Shell
from tests.fakes.tracker import too_many


def test_from_nothing_to_a_page_of_tickets(shell: Shell) -> None:
    """The first hour: check, tenant, account, call."""
    assert shell.run("check").exit_code == 0
    assert shell.data("tenant", "add", "acme", "--json") == {"tenant": "acme"}
    linked = shell.link("acme")
    assert linked["identity"] == {"id": "acme", "label": "bot@acme.example"}
    assert linked["origins"] == [shell.url]
    answer = shell.data("call", "ticket.list", "--tenant", "acme", "--arg", "limit=2")
    assert [item["title"] for item in answer["result"]] == ["acme ticket 1", "acme ticket 2"]


def test_check_tells_each_mistake_with_its_place(shell: Shell) -> None:
    """Text for people, JSON with the same fields for programs, exit code 1."""
    path = shell.home / "tools.yaml"
    path.write_text(path.read_text().replace("request: GET /tickets\n", "requst: GET /tickets\n"))
    line = path.read_text().splitlines().index("            requst: GET /tickets") + 1
    result = shell.run("check")
    assert result.exit_code == 1
    assert f"{path}:{line}:13: entities.ticket.sources.tracker.operations.list" in result.stdout
    assert "request" in result.stdout
    (problem, *_) = json.loads(shell.run("check", "--json").stdout)
    assert set(problem) == {"file", "line", "column", "path", "code", "message", "suggestion"}
    assert (problem["line"], problem["column"], problem["suggestion"]) == (line, 13, "request")


def test_a_file_that_is_not_there_is_wrong_use(shell: Shell) -> None:
    """Exit code 2, and the path."""
    result = shell.run("check", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.output


def test_check_and_tools_read_the_current_directory_but_nothing_with_a_credential_does(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tools.yaml in a cloned repository is never used with somebody's account."""
    (shell.home / "tools.yaml").unlink()
    here = tmp_path / "repository"
    here.mkdir()
    (here / "tools.yaml").write_text(FILE.read_text())
    monkeypatch.chdir(here)
    assert shell.run("check").exit_code == 0
    assert shell.run("tools").exit_code == 0
    for words in (
        ("call", "ticket.list"),
        ("account", "link", "tracker"),
        ("account", "verify", "acc_x"),
        ("serve", "--port", "1"),
    ):
        result = shell.run(*words)
        assert result.exit_code == 2, words
        assert str(shell.home / "tools.yaml") in result.output


def test_schema_prints_the_published_json_schema(shell: Shell) -> None:
    """What an editor completes from is what the package ships."""
    import linkspan.spec as package

    shipped = Path(package.__file__).parent / "tools.schema.json"
    assert shell.data("schema") == json.loads(shipped.read_text())


def test_tools_shows_names_bytes_and_the_first_line(shell: Shell) -> None:
    """What Codex will see."""
    shown = shell.data("tools", "--json")
    assert [row["tool"] for row in shown["tools"]] == [
        "list_tickets",
        "get_ticket",
        "create_ticket",
        "update_ticket",
        "comment_on_ticket",
    ]
    assert all(row["bytes"] > 100 and row["tokens"] > 25 for row in shown["tools"])
    assert shown["seen_at_start"].startswith("The tracker of this customer")
    assert "list_tickets" in shell.run("tools", "--full").output


def test_a_wrong_credential_is_not_linked(shell: Shell) -> None:
    """Exit code 3, and nothing is kept."""
    shell.run("tenant", "add", "acme")
    result = shell.run("account", "link", "tracker", "--setting", f"site={shell.url}", stdin="wrong\n")
    assert result.exit_code == 3
    assert "Nothing was linked" in result.output
    assert "https://tracker.example/help" in result.output
    assert shell.data("account", "list", "--json") == []


def test_secrets_are_read_from_a_variable_and_never_shown(shell: Shell) -> None:
    """Neither the answer nor the database file nor the list holds the token."""
    shell.run("tenant", "add", "acme")
    words = ("account", "link", "tracker", "--setting", f"site={shell.url}", "--secret-env", "TRACKER_TOKEN")
    result = shell.run(*words, TRACKER_TOKEN="canary-acme")
    assert result.exit_code == 0, result.output
    shown = (
        result.output + shell.run("account", "list").output + shell.run("account", "list", "--json").output
    )
    assert "canary-acme" not in shown
    for file in shell.home.iterdir():
        if file.name != "tools.yaml":
            assert b"canary-acme" not in file.read_bytes()


def test_there_is_no_way_to_give_a_secret_on_the_command_line(shell: Shell) -> None:
    """Other users of the machine could read it there."""
    assert "--secret " not in shell.run("account", "link", "--help").output
    assert "--token" not in shell.run("account", "link", "--help").output


def test_the_exit_codes_mean_something(shell: Shell) -> None:
    """0 done, 1 refused, 2 wrong use, 3 not linked, 4 rate limited."""
    shell.run("tenant", "add", "acme")
    call = ("call", "ticket.get", "--arg", "id=1")
    assert shell.run(*call).exit_code == 3
    shell.link("acme")
    assert shell.run(*call).exit_code == 0
    assert shell.run("call", "ticket.get", "--arg", "id=99").exit_code == 1
    assert shell.run("call", "ticket.get").exit_code == 2
    assert shell.run("call", "ticket.lst").exit_code == 2
    assert shell.run("call", "ticket.get", "--arg", "id").exit_code == 2
    shell.tracker.faults = [too_many("60")]
    assert shell.run(*call).exit_code == 4
    shell.tracker.tokens.clear()
    assert shell.run(*call).exit_code == 3
    assert shell.run(*call, "--tenant", "nobody").exit_code == 2


def test_arguments_are_typed_by_the_schema_or_raw(shell: Shell) -> None:
    """`k=v` is read as its schema says, `k:=JSON` as it is."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    assert len(shell.data("call", "ticket.list", "--arg", "limit=3")["result"]) == 3
    assert len(shell.data("call", "ticket.list", "--arg", "limit:=3")["result"]) == 3
    assert shell.run("call", "ticket.list", "--arg", 'limit:="three"').exit_code == 2
    assert shell.run("call", "ticket.list", "--arg", "limit:=[").exit_code == 2
    made = shell.data("call", "ticket.create", "--arg", "title=007")
    assert made["result"]["title"] == "007"


def test_answers_say_which_account_they_came_from(shell: Shell) -> None:
    """Where a tenant has two of one product, each answer names the one that was named."""
    shell.run("tenant", "add", "acme")
    accounts = [
        shell.data(
            *("account", "link", "tracker", "--tenant", "acme", "--setting", f"site={shell.url}", "--json"),
            stdin=f"canary-{org}\n",
        )["id"]
        for org in ("acme", "globex")
    ]
    for account in accounts:
        told = shell.data("call", "ticket.get", "--arg", "id=1", "--arg", f"account={account}")
        assert (told["account"], told["connector"]) == (account, "tracker")


def test_a_dry_run_prints_the_request_and_sends_nothing(shell: Shell) -> None:
    """The credential is masked."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    shown = shell.data("call", "ticket.comment", "--arg", "id=1", "--arg", "body=hi", "--dry-run")
    assert shown["dry_run"] is True
    assert shown["request"]["url"] == f"{shell.url}/api/tickets/1/comments"
    assert shown["request"]["headers"]["Authorization"] == "Bearer [credential]"
    assert shell.tracker.comments == []


def test_a_dry_run_of_a_list_shows_its_first_page(shell: Shell) -> None:
    """Who writes a tools.yaml sees what a read would ask, page size and filter included; nothing is asked."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    shell.tracker.faults = [too_many("9")]
    words = ("call", "ticket.list", "--arg", "status=todo", "--arg", "limit=2", "--dry-run")
    request = shell.data(*words)["request"]
    assert (request["method"], request["body"]) == ("GET", None)
    assert set(urlsplit(request["url"]).query.split("&")) == {"state=open", "limit=2"}
    assert len(shell.tracker.faults) == 1


def test_the_tenant_may_be_left_out_while_there_is_only_one(shell: Shell) -> None:
    """None and several are told; nothing is made on the way."""
    none = shell.run("account", "list")
    assert none.exit_code == 2
    assert "linkspan tenant add" in none.output
    shell.run("tenant", "add", "acme")
    assert shell.run("account", "list").exit_code == 0
    shell.run("tenant", "add", "beta")
    result = shell.run("account", "list")
    assert result.exit_code == 2
    assert "acme, beta" in result.output


def test_a_bad_tenant_name_is_refused_with_the_rule(shell: Shell) -> None:
    """Names are part of URLs."""
    result = shell.run("tenant", "add", "Acme Inc")
    assert result.exit_code == 2
    assert "lower-case" in result.output


def test_removing_a_tenant_asks_first_and_says_what_went(shell: Shell) -> None:
    """A pipe cannot answer the question, so it must say --yes."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    assert shell.run("tenant", "remove", "acme").exit_code == 2
    removed = shell.data("tenant", "remove", "acme", "--yes", "--json")
    assert removed["deleted"]["accounts"] == 1
    assert shell.data("tenant", "list", "--json") == []


def test_a_token_is_shown_once(shell: Shell) -> None:
    """Only its hash is kept; revoking ends it."""
    shell.run("tenant", "add", "acme")
    made = shell.data("token", "create", "--scope", "read", "--expires", "2h", "--json")
    assert made["token"].startswith(f"lsk_tenant_{made['id']}_")
    listed = shell.run("token", "list", "--json").output
    assert made["token"] not in listed
    assert json.loads(listed)[0]["scopes"] == ["read"]
    assert shell.run("token", "revoke", made["id"]).exit_code == 0
    assert "revoked" in shell.run("token", "list").output
    assert shell.run("token", "revoke", made["id"]).exit_code == 1
    assert shell.run("token", "create", "--scope", "evrything").exit_code == 2
    assert shell.run("token", "create", "--expires", "soon").exit_code == 2


def test_codex_config_has_absolute_paths_home_and_required(shell: Shell) -> None:
    """Codex hands stdio servers little more than HOME and PATH."""
    shown = shell.run("codex-config", "--tenant", "acme").output
    part = shown[shown.index("[mcp_servers.linkspan]") : shown.index("or run this instead")]
    server = tomllib.loads(part)["mcp_servers"]["linkspan"]
    assert Path(server["command"]).is_absolute()
    assert server["env"]["LINKSPAN_HOME"] == str(shell.home)
    assert server["env"]["LINKSPAN_TENANT"] == "acme"
    assert server["required"] is True
    assert "codex mcp add linkspan --env LINKSPAN_HOME=" in shown
    http = shell.run("codex-config", "--http", "--tenant", "acme").output
    assert 'url = "http://127.0.0.1:8640/t/acme/mcp"' in http
    assert 'bearer_token_env_var = "LINKSPAN_TOKEN"' in http
    assert shell.run("codex-config", "--http").exit_code == 2
    for words in (("--tenant", "acme"), ("--tenant", "acme", "--http")):
        data = shell.data("codex-config", *words, "--json")
        assert tomllib.loads(data["config"])["mcp_servers"].keys() == {data["name"]}
        assert data["command"] in shell.run("codex-config", *words).output


def test_the_home_and_its_files_are_private(shell: Shell) -> None:
    """Database and key file can be read by their owner only."""
    shell.run("tenant", "add", "acme")
    for name in ("linkspan.sqlite", "keys"):
        assert stat.S_IMODE((shell.home / name).stat().st_mode) == 0o600


def test_an_account_can_be_verified_and_unlinked(shell: Shell) -> None:
    """A refused credential is noted, a good one is active again."""
    shell.run("tenant", "add", "acme")
    account = shell.link("acme")["id"]
    shell.tracker.tokens.clear()
    assert shell.run("account", "verify", account).exit_code == 3
    assert shell.data("account", "list", "--json")[0]["state"] == "needs_reauth"
    shell.tracker.tokens["canary-acme"] = "acme"
    assert shell.run("account", "verify", account).exit_code == 0
    assert shell.data("account", "list", "--json")[0]["state"] == "active"
    assert shell.run("account", "unlink", account).exit_code == 0
    assert shell.run("account", "verify", account).exit_code == 1


def test_a_misspelt_connector_is_named_with_those_there_are(shell: Shell) -> None:
    """Wrong use, exit code 2."""
    shell.run("tenant", "add", "acme")
    result = shell.run("account", "link", "trakcer", stdin="x\n")
    assert result.exit_code == 2
    assert "tracker" in result.output
