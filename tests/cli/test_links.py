"""`linkspan link`: what is printed, and what it is good for."""

from __future__ import annotations

from tests.cli.conftest import Shell


def test_a_link_is_printed_once(shell: Shell) -> None:
    """The address alone on standard output; whom it is for and until when beside it."""
    shell.run("tenant", "add", "acme")
    result = shell.run("link", "create", "tracker", "--person", "bo", LINKSPAN_PUBLIC_URL="https://l.example")
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert line.startswith("https://l.example/connect-account#link_token=lsk_link_")
    assert "it links an account for bo of acme, once. It is not shown again;" in result.stderr
    stored = (shell.home / "linkspan.sqlite").read_bytes()
    assert line[-43:].encode() not in stored


def test_what_json_says_of_it(shell: Shell) -> None:
    """The token, the address and when it ends."""
    shell.run("tenant", "add", "acme")
    made = shell.data("link", "create", "--tenant", "acme", "--expires", "2h", "--json")
    assert set(made) == {"id", "link_token", "url", "expires", "tenant"}
    assert made["url"] == f"http://127.0.0.1:8640/connect-account#link_token={made['link_token']}"


def test_an_account_is_named_to_be_linked_again(shell: Shell) -> None:
    """One of this tenant; another's is not there."""
    for tenant in ("acme", "globex"):
        shell.run("tenant", "add", tenant)
    account = shell.link("acme")["id"]
    assert shell.run("link", "create", "--tenant", "acme", "--account", account).exit_code == 0
    other = shell.run("link", "create", "--tenant", "globex", "--account", account)
    assert other.exit_code == 1
    assert "has no account" in other.output


def test_a_link_is_ended(shell: Shell) -> None:
    """By the ID that its making tells; a second time there is none."""
    shell.run("tenant", "add", "acme")
    made = shell.data("link", "create", "--json")
    assert made["link_token"].split("_")[2] == made["id"]
    assert shell.run("link", "revoke", made["id"]).output.strip().endswith("links nothing any more.")
    assert shell.run("link", "revoke", made["id"]).exit_code == 1


def test_wrong_use_says_what_to_do(shell: Shell) -> None:
    """Exit code 2, with every fault."""
    shell.run("tenant", "add", "acme")
    result = shell.run("link", "create", "nothing", "--allowed-origin", "http://a.example", "--expires", "8d")
    assert result.exit_code == 2
    for word in ("no connector 'nothing'", "http://a.example", "from a minute to seven days"):
        assert word in result.output
    assert shell.run("link", "create", "--expires", "soon").exit_code == 2
    assert shell.run("link", "create", "--setting", "site").exit_code == 2
