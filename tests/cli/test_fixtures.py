"""`linkspan fixtures`: what is kept holds nobody's data, and a replay finds what was changed."""

from __future__ import annotations

import json

import pytest
import yaml

from linkspan.replaying import differences
from linkspan.spec.masking import Masker
from tests.cli.conftest import Shell


@pytest.fixture
def recorded(shell: Shell) -> Shell:
    """The tracker's answers, recorded."""
    first, second = shell.tracker.tickets["acme"][:2]
    first["author"] = {
        "id": 7,
        "name": "Ada Lovelace",
        "email": "ada@lovelace.org",
        "phone": "+44 20 7946 0958",
    }
    first["api_token"] = "kept-by-mistake-1234"
    second["subject"] = "Ada Lovelace cannot reach 10.1.2.3 from ada@lovelace.org"
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    result = shell.run("fixtures", "record", "--tenant", "acme")
    assert result.exit_code == 0, result.output
    assert "differs" not in result.output
    return shell


def test_what_is_kept_holds_no_secret_and_nobody(recorded: Shell) -> None:
    """The same person is the same pseudonym, in texts too."""
    files = sorted(recorded.home.glob("fixtures/tracker/*.yaml"))
    assert [file.name for file in files] == ["ticket.get.yaml", "ticket.list.yaml"]
    text = "".join(file.read_text() for file in files)
    for private in ("Lovelace", "7946", "10.1.2.3", "kept-by-mistake", "canary", recorded.url):
        assert private not in text
    assert "Person 1 cannot reach 192.0.2.1 from person1@example.com" in text
    assert "request: GET /api/tickets" in text


def test_a_replay_needs_no_product(recorded: Shell) -> None:
    """Neither an account nor the network; pytest can ask the same."""
    recorded.tracker.tokens.clear()
    result = recorded.run("fixtures", "replay", LINKSPAN_ALLOW_EGRESS="")
    assert result.exit_code == 0, result.output
    assert result.stdout == "ok       ticket.get\nok       ticket.list\n"
    assert differences(recorded.home / "tools.yaml") == []


def test_a_replay_says_what_differs(recorded: Shell) -> None:
    """A mapping that was changed, and a request that is another now; exit code 1."""
    path = recorded.home / "tools.yaml"
    path.write_text(
        path.read_text()
        .replace("wip: in_progress", "wip: blocked")
        .replace("/tickets/{id}\n            item", "/issues/{id}\n            item")
    )
    result = recorded.run("fixtures", "replay", "--json")
    assert result.exit_code == 1
    told = {one["call"]: one["differs"] for one in json.loads(result.stdout)["calls"]}
    assert 'ticket.list: result[0].status is "blocked", and "in_progress" was kept' in told["ticket.list"]
    assert told["ticket.get"][0] == "ticket.get: sends GET /api/issues/1, and GET /api/tickets/1 was kept"


def test_a_failure_is_kept_as_one(recorded: Shell) -> None:
    """By its code, and a part of what is said; any other end differs."""
    path = recorded.home / "fixtures" / "tracker" / "ticket.get.gone.yaml"
    kept = {
        "call": "ticket.get",
        "connector": "tracker",
        "settings": {"site": "https://tracker.example"},
        "arguments": {"id": "99"},
        "exchanges": [{"request": "GET /api/tickets/99", "status": 404, "answer": {}}],
        "error": "not_found",
    }
    path.write_text(yaml.safe_dump(kept))
    assert "ok       ticket.get.gone" in recorded.run("fixtures", "replay").stdout
    path.write_text(yaml.safe_dump({**kept, "error": {"code": "not_found", "message": "in the cellar"}}))
    told = recorded.run("fixtures", "replay").stdout
    assert "differs  ticket.get.gone" in told and "in the cellar" in told
    answered = {"request": "GET /api/tickets/99", "answer": {"ticket": {"id": 99}}}
    path.write_text(yaml.safe_dump({**kept, "exchanges": [answered]}))
    assert 'the error "not_found" was kept' in recorded.run("fixtures", "replay").stdout


def test_without_a_recording_it_says_how_to_make_one(shell: Shell) -> None:
    """Exit code 2."""
    result = shell.run("fixtures", "replay")
    assert result.exit_code == 2
    assert "linkspan fixtures record" in result.output


BUILT_IN = """\
linkspan: 1
name: acme
instructions: List alerts, projects and teams.
connectors:
  errors: {use: bugsink}
  bugsink: {use: bugsink, entities: [project]}
  asana: {use: asana, entities: [project]}
  linear: {use: linear, entities: [team]}
  slack: {use: slack, entities: [message]}
"""


def test_what_is_shipped_of_built_in_connectors_is_replayed(shell: Shell) -> None:
    """By whatever name, of the entities that were chosen; with nothing recorded, linked or reached."""
    (shell.home / "tools.yaml").write_text(BUILT_IN)
    result = shell.run("fixtures", "replay", LINKSPAN_ALLOW_EGRESS="")
    assert result.exit_code == 0, result.output
    told = result.stdout.splitlines()
    assert {line.split()[0] for line in told} == {"ok"}
    for title in (
        "errors: alerts are listed to the last page",
        "errors: there are too many calls",
        "bugsink: the credential is refused",
        "asana: projects are listed",
        "linear: teams are listed",
        "slack: messages are listed to the last page",
    ):
        assert f"ok       {title}" in told
    assert not [line for line in told if "bugsink: alerts" in line or "asana: tickets" in line]
    assert shell.run("fixtures", "replay", "--only-recorded").exit_code == 2
    assert differences(shell.home / "tools.yaml") == []


def test_a_word_that_is_overridden_is_told_of_what_is_shipped(shell: Shell) -> None:
    """A request that is another by it, and what comes out otherwise."""
    (shell.home / "tools.yaml").write_text(
        BUILT_IN.partition("  bugsink:")[0] + "entities: {alert: {sources: {errors: {fields: {key: id},"
        " operations: {resolve: {request: 'POST /issues/{id}/close/'}}}}}}\n"
    )
    result = shell.run("fixtures", "replay", "--json")
    assert result.exit_code == 1
    told = {one["call"]: "\n".join(one["differs"]) for one in json.loads(result.stdout)["calls"]}
    assert "/close/, and POST /api/canonical/0/issues/" in told["errors: an alert is resolved"]
    listed = told["errors: alerts are listed to the last page"]
    assert 'result[0].key is "fda065d0-9e25-4288-9a08-81003ecb5a2e", and "P-1" was kept' in listed


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"login": "grace"}, {"login": "person-1"}),
        ({"password": "tr0ub4dor&3"}, {"password": "masked-secret-1"}),
        ({"token_type": "bearer"}, {"token_type": "bearer"}),
        ({"text": "use ghp_" + "a1" * 18}, {"text": "use masked-token-1"}),
        ({"ip": "2001:db8:85a3:0:0:8a2e:370:7334"}, {"ip": "2001:db8::1"}),
        ({"mobile": "0170 1234567"}, {"mobile": "+1 555 0101"}),
        ({"assignee": "grace", "text": "ask grace"}, {"assignee": "person-1", "text": "ask person-1"}),
        ({"name": "A project", "version": "1.2.3", "at": "2026-11-22T13:42:19Z"}, None),
        ({"id": "7a838b61-6e75-450e-b851-a91f1ac6b5d6", "n": 20_000_101, "ok": True}, None),
        ({"url": "https://ada:pw@git.example/x"}, {"url": "https://masked:masked@git.example/x"}),
        ({"street": "1 Main St"}, {"street": "masked-1"}),
    ],
)
def test_what_is_masked(value: object, masked: object) -> None:
    """Secrets and people; not what is neither."""
    masker = Masker()
    masker.learn(value)
    assert masker.mask(value) == (value if masked is None else masked)


def test_a_request_is_masked_part_by_part() -> None:
    """So that it stays the request of the masked answer."""
    masker = Masker()
    masker.learn({"login": "grace"})
    assert masker.request("/users/grace?q=grace%40navy.mil&api_key=abcdefgh1") == (
        "/users/person-1?q=person1%40example.com&api_key=masked-secret-1"
    )
