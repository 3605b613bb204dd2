"""`linkspan check --live`: a tools.yaml against what its product really answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from tests.cli.conftest import Shell


@pytest.fixture
def linked(shell: Shell) -> Shell:
    """The tracker, linked for acme."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    return shell


def edit(shell: Shell, old: str, new: str) -> None:
    path: Path = shell.home / "tools.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_good_file_is_good(linked: Shell) -> None:
    """A list, and its first item by id; exit code 0."""
    result = linked.run("check", "--live", "--tenant", "acme")
    assert result.exit_code == 0, result.output
    assert "ok         ticket.list at tracker: 7 items, 3 pages" in result.stdout
    assert "ok         ticket.get at tracker: 1 item\n" in result.stdout
    assert "mapped to nothing: etag" in result.stdout


def test_nothing_but_reads_is_called(linked: Shell) -> None:
    """No write is tried on somebody's data."""
    before = json.dumps(linked.tracker.tickets)
    looks = linked.data("check", "--live", "--json")["calls"]
    assert {look["call"] for look in looks} == {"ticket.list", "ticket.get"}
    assert json.dumps(linked.tracker.tickets) == before
    assert not linked.tracker.comments


def test_words_that_are_not_mapped_are_told_with_how_often(linked: Shell) -> None:
    """They become `unknown` for Codex, so the file has a hole: exit code 1."""
    for ticket in linked.tracker.tickets["acme"][:2]:
        ticket["state"] = "blocked"
    result = linked.run("check", "--live", "--json")
    assert result.exit_code == 1
    listed = json.loads(result.stdout)["calls"][0]
    assert listed["unmapped_words"] == {"status": {"blocked": 2}}
    assert "blocked (2) are not in values" in linked.run("check", "--live").stdout


def test_fields_that_are_always_null_are_told(linked: Shell) -> None:
    """It may be right, so it is a warning."""
    edit(linked, "title: subject", "title: subjekt")
    result = linked.run("check", "--live")
    assert result.exit_code == 0
    assert "warn       ticket.list" in result.stdout
    assert "null in every item: title" in result.stdout
    assert "mapped to nothing: subject, etag" in result.stdout


def test_items_that_are_found_nowhere_are_told_with_the_lists_that_are_there(linked: Shell) -> None:
    """And the get that needed an id is not called."""
    edit(linked, "items: tickets", "items: issues")
    result = linked.run("check", "--live")
    assert result.exit_code == 1
    assert "items: issues finds no list; lists in the answer: tickets (3)" in result.stdout
    assert "not called ticket.get at tracker" in result.stdout
    assert "ok         ticket.get" in linked.run("check", "--live", "--arg", "id=1").stdout


def test_a_pagination_without_effect_is_found(linked: Shell) -> None:
    """The product shows its first page again and again."""
    edit(linked, "send: {query: cursor}", "send: {query: after}")
    result = linked.run("check", "--live")
    assert result.exit_code == 1
    assert "the list never ends" in result.stdout or "does not go on" in result.stdout


def test_true_and_false_are_words_as_the_file_writes_them(linked: Shell) -> None:
    """What is mapped is not told as missing."""
    edit(linked, "{open: todo,", "{true: todo,")
    for ticket in linked.tracker.tickets["acme"]:
        ticket["state"] = True
    assert "are not in values" not in linked.run("check", "--live").stdout
    assert "(true → todo)" in linked.run("call", "ticket.list", "--explain").stdout


def test_a_list_that_nobody_reads_on_is_found(linked: Shell) -> None:
    """The answer says that there is more than came, and the file does not say how to get it."""
    edit(
        linked,
        "{style: cursor, send: {query: cursor}, read: next, size: {query: limit, max: 5}}",
        "{style: none}",
    )
    tickets = {"tickets": linked.tracker.tickets["acme"], "meta": {"total_count": 60}}
    linked.tracker.faults.append(JSONResponse(tickets))
    result = linked.run("check", "--live")
    assert result.exit_code == 1
    assert (
        "7 came and meta.total_count is 60: the list goes on, and `pagination` does not say" in result.stdout
    )


def test_a_thing_that_became_a_text_is_found(linked: Shell) -> None:
    """Where the model has a text, such as a person's name, and the expression makes a mapping."""
    edit(linked, "title: subject", 'title: "{text: subject}"')
    result = linked.run("check", "--live")
    assert result.exit_code == 1
    assert "title: a mapping was found and became a text; say what is meant of it" in result.stdout


def test_a_setting_that_came_later_is_told_with_what_to_do(linked: Shell) -> None:
    """An account that was linked without it is linked again."""
    edit(linked, 'default: "http://tracker.example"', "description: Where it is.")
    edit(linked, "{settings.site}/api", "{settings.place}/api")
    edit(linked, "      site: {", "      place: {")
    result = linked.run("check", "--live")
    assert result.exit_code == 3
    assert "but base_url now needs its settings; nothing was sent" in result.stdout
    assert "linkspan account link tracker" in result.stdout


def test_without_an_account_it_says_what_to_link(shell: Shell) -> None:
    """Exit code 3."""
    shell.run("tenant", "add", "acme")
    result = shell.run("check", "--live")
    assert result.exit_code == 3
    assert "ticket.list" in result.stdout


def test_a_file_with_mistakes_is_not_tried(linked: Shell) -> None:
    """The mistakes are told as without `--live`."""
    edit(linked, "request: GET /tickets\n", "requst: GET /tickets\n")
    result = linked.run("check", "--live")
    assert result.exit_code == 1
    assert "requst" in result.stdout
