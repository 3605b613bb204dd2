"""`linkspan call --explain`: why a field came out as it did."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Shell


@pytest.fixture
def linked(shell: Shell) -> Shell:
    """The tracker, linked for acme."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    return shell


def test_explain_shows_the_request_without_its_credential(linked: Shell) -> None:
    """As it was sent, but for what proves who we are."""
    told = linked.data("call", "ticket.list", "--arg", "status=todo", "--explain", "--json")
    (exchange,) = told["exchanges"]
    assert exchange["request"]["url"] == f"{linked.url}/api/tickets?state=open"
    assert exchange["request"]["headers"]["Authorization"] == "Bearer [credential]"
    assert exchange["answer"]["status"] == 200


def test_explain_shows_keys_and_types_and_where_lists_are(linked: Shell) -> None:
    """Not the values, beyond a short sample."""
    linked.tracker.tickets["acme"][0]["subject"] = "A very long subject that goes on and on"
    linked.tracker.tickets["acme"][0]["api_token"] = "never-shown-1"
    result = linked.run("call", "ticket.list", "--explain", "--json")
    (exchange,) = json.loads(result.stdout)["exchanges"]
    first, rest = exchange["answer"]["shape"]["tickets"]
    assert first["id"] == "integer, such as 1"
    assert first["subject"] == "text, such as A very long subject tha…"
    assert first["api_token"] == "text"
    assert rest == "and 2 more"
    assert exchange["answer"]["lists"] == ["tickets (3)"]
    assert "never-shown-1" not in result.output


def test_explain_says_of_each_field_where_it_came_from(linked: Shell) -> None:
    """Expression, value, the product's word and ours, and why there is nothing."""
    tickets = linked.tracker.tickets["acme"]
    tickets[0]["state"], tickets[1]["state"] = "open", "blocked"
    tickets[1].pop("subject")
    told = linked.data("call", "ticket.list", "--explain", "--json")
    first, second = ({one["field"]: one for one in item} for item in told["items"][:2])
    assert first["status"]["expression"] == "state"
    assert (first["status"]["value"], first["status"]["note"]) == ("todo", "open → todo")
    assert (second["status"]["value"], second["status"]["note"]) == (
        "unknown", "blocked is not in values: unknown",
    )  # fmt: skip
    assert second["title"]["note"] == "null: nothing is there"
    assert told["not_mapped"] == ["etag"]


def test_explain_says_where_the_list_goes_on(linked: Shell) -> None:
    """The product's own position, which a cursor of ours hides."""
    told = linked.data("call", "ticket.list", "--arg", "limit=2", "--explain", "--json")
    assert told["pagination"]["style"] == "cursor"
    assert told["pagination"]["pages"] == [{"position": None, "size": 2, "items": 2, "next": "2"}]
    shown = linked.run("call", "ticket.list", "--arg", "limit=2", "--explain").stdout
    assert "Pagination cursor: the first page, 2 items, goes on at 2" in shown
    assert 'status = "in_progress"   from state   (wip → in_progress)' in shown


def test_explain_tells_what_was_answered_when_it_fails(linked: Shell) -> None:
    """The same exit code, and what came, in text and as one JSON."""
    words = ("call", "ticket.get", "--arg", "id=99", "--explain")
    result = linked.run(*words)
    assert result.exit_code == 1
    assert "Answer 1: 404" in result.stdout
    result = linked.run(*words, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["error"]["code"]) == (1, "not_found")
    assert told["exchanges"][0]["answer"]["status"] == 404


def test_explain_and_dry_run_exclude_each_other(linked: Shell) -> None:
    """One sends, the other does not."""
    assert linked.run("call", "ticket.list", "--explain", "--dry-run").exit_code == 2


def test_explain_shows_what_comes_of_the_account(linked: Shell) -> None:
    """A field that is made of a setting and of the item, and one that is the setting."""
    path = linked.home / "tools.yaml"
    address = """url: {settings: [site], from: "join('/tickets/', [settings.site, to_string(id)])"}"""
    more = f"title: subject\n          {address}\n          team: $settings.site"
    path.write_text(path.read_text().replace("title: subject", more, 1))
    told = linked.data("call", "ticket.list", "--explain", "--json")
    first = {one["field"]: one for one in told["items"][0]}
    assert first["team"]["raw"] == first["team"]["value"] == linked.url
    assert first["url"]["raw"] == first["url"]["value"]
    assert str(first["url"]["value"]).startswith(linked.url[:20])
    assert (first["url"]["note"], first["url"]["expression"][:4]) == ("", "join")
