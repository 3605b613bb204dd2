"""The files that people copy are good, and say what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkspan import spec
from linkspan.replaying import differences
from linkspan.spec.catalog import ABSENT, Operation, Scope

ROOT = Path(__file__).parents[2]
FILES = [
    "tools.yaml",
    "examples/redmine/tools.yaml",
    "examples/roundup/tools.yaml",
    "examples/weekly_update/tools.yaml",
    "tests/conformance/tools.yaml",
]


@pytest.mark.parametrize("name", FILES)
def test_an_example_has_no_mistake(name: str) -> None:
    """With nothing in the environment."""
    assert [str(problem) for problem in spec.check(ROOT / name, {})] == []


@pytest.mark.parametrize("name", [name for name in FILES if "conformance" not in name])
def test_an_example_completes_in_editors(name: str) -> None:
    """The line that names the schema leads to it."""
    first = (ROOT / name).read_text(encoding="utf-8").partition("\n")[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert ((ROOT / name).parent / schema).resolve() == ROOT / "src/linkspan/spec/tools.schema.json"


def roundup(tool: str) -> Operation:
    found = spec.load(ROOT / "examples/roundup/tools.yaml", {}).tool(tool)
    assert found is not None
    return found.operations["roundup"]


def query(operation: Operation, **arguments: Any) -> dict[str, Any]:
    assert operation.plan is not None
    made = {name: value(Scope(arguments)) for name, value in operation.plan.query}
    return {name: value for name, value in made.items() if value is not ABSENT and name[0] != "@"}


def test_roundup_filters_by_its_own_words() -> None:
    """One status of ours is two of Roundup's, one priority too."""
    tickets = roundup("list_tickets")
    assert query(tickets, status="in_progress", priority="urgent", assignee="alice") == {
        "status": ["open", "pending"],
        "priority": ["immediate", "urgent"],
        "assignee": "alice",
    }
    assert query(roundup("search_tickets"), query="fire") == {"title": "fire"}


def test_roundup_items_become_tickets() -> None:
    """Dates and words are normalised; the page for people is found from the REST address."""
    tickets = roundup("list_tickets")
    assert tickets.items is not None
    assert tickets.shape is not None
    answer = {
        "data": {
            "collection": [
                {
                    "id": "4",
                    "link": "http://bugs.example/support/rest/data/bug/4",
                    "title": "Printer on fire",
                    "status": {"id": "2", "name": "open"},
                    "priority": None,
                    "assignee": {"id": "6", "username": "alice"},
                    "creator": {"id": "1", "username": "admin"},
                    "creation": "2026-11-22.12:42:19",
                    "activity": "2026-11-23.01:02:03",
                    "keywords": [{"id": "1", "name": "patch"}],
                    "components": [],
                    "messages": [{"id": "3"}, {"id": "4"}],
                }
            ],
            "@total_size": 1,
        }
    }
    (item,) = tickets.items(answer)
    assert tickets.shape(item) == {
        "id": "4",
        "title": "Printer on fire",
        "status": "in_progress",
        "status_raw": "open",
        "priority": None,
        "assignee": "alice",
        "reporter": {"id": "1", "name": "admin"},
        "labels": ["patch"],
        "components": [],
        "created_at": "2026-11-22T12:42:19Z",
        "updated_at": "2026-11-23T01:02:03Z",
        "comments_count": 2,
        "last_comment": "4",
        "url": "http://bugs.example/support/bug4",
    }
    assert tickets.paging.total is not None
    assert tickets.paging.total(answer) == 1


def test_a_comment_in_roundup_is_a_message_that_is_then_linked() -> None:
    """Written under the credential's own name; linked with If-Match, as Roundup demands."""
    comment = roundup("comment_on_ticket")
    (message,) = comment.steps
    scope = Scope({"id": "4", "body": "Hi"}, found={"credential": {"username": "alice"}})
    assert message.plan.body is not None
    assert message.plan.body.value(scope) == {"content": "Hi", "author": "alice"}
    assert comment.plan is not None
    assert comment.plan.body is not None
    assert comment.plan.if_match
    later = Scope(scope.arguments, found={"message": {"id": "9"}})
    assert (comment.plan.path.expand(later), comment.plan.body.value(later)) == (
        "/data/bug/4",
        {"@op": "add", "messages": "9"},
    )
    assert comment.item is not None
    assert comment.shape is not None
    answer = {"data": {"id": "4", "attribute": {"messages": ["3", "9"]}}}
    assert comment.shape(comment.item(answer)) == {"id": "9"}


def test_the_comments_of_a_roundup_ticket_without_any_are_none() -> None:
    """No filter at all would list every message of the tracker."""
    (messages,) = roundup("list_comments").steps
    assert messages.item is not None
    for found, ids in (([], ["0"]), ([{"id": "3"}, {"id": "9"}], ["3", "9"])):
        assert messages.item({"data": {"attributes": {"messages": found}}}) == ids


def test_redmine_answers_as_it_did() -> None:
    """What a Redmine 5.0.4 answered is replayed offline: lists, gets, writes and two refusals."""
    folder = ROOT / "examples/redmine/fixtures"
    assert differences(ROOT / "examples/redmine/tools.yaml") == []
    assert len(list(folder.glob("*.yaml"))) == 9
