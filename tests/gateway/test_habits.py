"""What products are used to: query languages, transitions, documents, overrides, joined answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkspan import errors
from linkspan.gateway.results import DryRun
from tests.fakes.board import Board
from tests.fakes.opened import Opened, opened

FILE = """\
linkspan: 1
name: board
instructions: List, read, search, create, update and comment on tickets. Start with search_tickets.
connectors:
  board:
    base_url: http://board.example
    auth: [{type: bearer, prefix: "Token "}]
    method_override: X-HTTP-Method-Override
    headers: {X-Atlassian-Token: no-check}
    query: {expand: names}
    error: {message: "body.errorMessages[0]"}
entities:
  ticket:
    model: ticket
    fields: {watchers: {type: array, items: {type: string}}}
    sources:
      board:
        fields:
          id: key
          key: key
          title: fields.summary
          assignee: fields.assignee
          status:
            from: fields.status.name
            values: {"To Do": todo, "Selected": todo, "In Progress": in_progress, Done: done}
            write: {todo: To Do}
          watchers: people[].name
          pull_requests: {each: dev.detail.prs, map: {id: id, key: id, url: url}}
        operations:
          search:
            request: GET /search
            params: {assignee: string, above: integer, mine: boolean}
            query:
              jql:
                clauses:
                  - "text ~ {query:jql}"
                  - status IN ({status:jql})
                  - "assignee = {assignee:jql}"
                  - "number > {above:jql}"
                  - {when: $mine, clause: 'assignee = "ann"'}
                after: " ORDER BY updated DESC"
            items: issues
          export:
            description: Export a ticket.
            request: POST /issue/{id}/exports
            location: exports/(?P<key>[^/?]+)
            returns: id
          get:
            request: GET /issue/{id}
            include:
              people: {request: "GET /issue/{id}/watchers", item: watchers}
              dev: {request: "GET /issue/{item.key}/dev", query: {by: $item.number}, optional: true}
          update:
            description: Update a ticket, its title or its status.
            steps:
              - {when: $title, request: "PUT /issue/{id}", body: {fields: {summary: $title}}}
              - as: way
                when: $status
                request: GET /issue/{id}/transitions
                find: {in: transitions, where: {to.name: $status}}
                missing: "ticket {id} cannot become {status} from here"
              - {when: $status, request: "POST /issue/{id}/transitions", body: {transition: {id: $way.id}}}
            returns: nothing
          comment:
            request: POST /issue/{id}/comment
            body: {body: {$: body, format: adf}}
            returns: comment
          echo:
            description: Echo the labels of a ticket.
            kind: read
            request: GET /echo
            arrays: ARRAYS
            query: {labels: $labels}
  comment:
    model: comment
    sources:
      board:
        fields: {id: id, body: {from: body, format: adf}}
"""


@pytest.fixture
def board() -> Board:
    """The product."""
    return Board()


@pytest.fixture
async def app(tmp_path: Path, board: Board) -> AsyncIterator[Opened]:
    """An application with the board linked."""
    async with opened(tmp_path, FILE.replace("ARRAYS", "brackets"), board.app()) as app:
        yield app


async def test_a_query_is_put_together_from_what_was_given(app: Opened, board: Board) -> None:
    """Clauses without their argument are left out; all words of a status are asked for."""
    page = await app.call("search_tickets", query='"big" fire', status="todo")
    assert [ticket["id"] for ticket in page.result] == ["ENG-1"]
    await app.call("search_tickets", query="s", assignee="bob", above=1, mine=False)
    assert board.asked == [
        'text ~ "\\"big\\" fire" AND status IN ("To Do", "Selected") ORDER BY updated DESC',
        'text ~ "s" AND assignee = "bob" AND number > 1 ORDER BY updated DESC',
    ]


async def test_no_value_goes_on_as_syntax(app: Opened, board: Board) -> None:
    """What ends a quotation is escaped, so that it only matches nothing."""
    page = await app.call("search_tickets", query="x", assignee='ann" OR assignee = "bob')
    assert page.result == []
    assert board.asked[0].startswith('text ~ "x" AND assignee = "ann\\" OR assignee = \\"bob" ORDER')
    with pytest.raises(errors.InvalidArgument, match="query: must not hold control characters"):
        await app.call("search_tickets", query="a\nORDER BY")


async def test_what_only_a_location_tells_is_the_item(app: Opened) -> None:
    """An answer without a body: the header has the id, encoded as in every URL."""
    made = await app.call("export_ticket", id="ENG-1")
    assert made.result == {"id": "ENG-1/7"}


async def test_a_clause_may_hang_on_a_switch(app: Opened, board: Board) -> None:
    """Said only when the switch is on."""
    await app.call("search_tickets", query="a", mine=True)
    assert board.asked == ['text ~ "a" AND assignee = "ann" ORDER BY updated DESC']


async def test_a_transition_is_looked_up_then_made(app: Opened, board: Board) -> None:
    """Three requests, each of them in the audit row; the override carries PUT through a proxy."""
    await app.call("update_ticket", id="ENG-1", title="Fire", status="in_progress")
    assert board.issues["ENG-1"]["fields"] == {
        "summary": "Fire",
        "status": {"name": "In Progress"},
        "assignee": "ann",
    }
    (row,) = await app.audit()
    assert json.loads(row.steps or "") == [
        "PUT /issue/{id} 204",
        "GET /issue/{id}/transitions 200",
        "POST /issue/{id}/transitions 204",
    ]


async def test_steps_without_their_argument_are_left_out(app: Opened, board: Board) -> None:
    """The last one too: what was done before it stands."""
    await app.call("update_ticket", id="ENG-1", title="Fire")
    assert app.sent() == ["POST /issue/ENG-1?expand=names"]
    assert board.issues["ENG-1"]["fields"]["status"] == {"name": "To Do"}


async def test_nothing_to_do_is_said_before_anything_is_sent(app: Opened) -> None:
    """With what could be given."""
    for dry_run in ({}, {"dry_run": True}):
        with pytest.raises(errors.InvalidArgument, match="nothing to do") as caught:
            await app.call("update_ticket", id="ENG-1", **dry_run)
        assert caught.value.hint == "Give at least one of: title, status."
    assert app.sent() == []


async def test_a_transition_that_is_not_there_is_told_with_those_that_are(app: Opened) -> None:
    """In the caller's words; nothing is posted."""
    with pytest.raises(
        errors.InvalidArgument, match="ticket ENG-3 cannot become in_progress from here"
    ) as caught:
        await app.call("update_ticket", id="ENG-3", status="in_progress")
    assert caught.value.hint == "There is: To Do."
    assert app.sent() == ["GET /issue/ENG-3/transitions?expand=names"]


async def test_a_dry_run_shows_every_step(app: Opened) -> None:
    """In order, with the name of what a step would find."""
    answer = await app.call("update_ticket", id="ENG-1", title="Fire", status="done", dry_run=True)
    assert isinstance(answer, DryRun)
    shown = [*answer.request["before"], answer.request]
    assert [(one["method"], one["url"].partition(".example")[2]) for one in shown] == [
        ("POST", "/issue/ENG-1?expand=names"),
        ("GET", "/issue/ENG-1/transitions?expand=names"),
        ("POST", "/issue/ENG-1/transitions?expand=names"),
    ]
    assert shown[0]["headers"]["X-HTTP-Method-Override"] == "PUT"
    assert shown[0]["headers"]["Authorization"] == "Token [credential]"
    assert shown[2]["body"] == {"transition": {"id": "[way.id]"}}
    only = await app.call("update_ticket", id="ENG-1", title="Fire", dry_run=True)
    assert "before" not in only.request
    assert app.sent() == []


async def test_an_answer_is_joined_from_several_requests(app: Opened) -> None:
    """Reads after the item, which they may refer to; all three stand in the audit row."""
    item = await app.call("get_ticket", id="ENG-1")
    assert item.result["watchers"] == ["ann", "bob"]
    assert item.result["pull_requests"] == [{"id": "#7", "key": "#7", "url": "https://git.example/7"}]
    assert sorted(app.sent()) == [
        "GET /issue/ENG-1/dev?expand=names&by=1",
        "GET /issue/ENG-1/watchers?expand=names",
        "GET /issue/ENG-1?expand=names",
    ]
    (row,) = await app.audit()
    assert len(json.loads(row.steps or "")) == 3


async def test_what_is_optional_may_be_missing(app: Opened) -> None:
    """And what is not, fails the call."""
    item = await app.call("get_ticket", id="ENG-3")
    assert (item.result["pull_requests"], item.result["watchers"]) == ([], ["ann", "bob"])
    with pytest.raises(errors.NotFound, match="Issue does not exist"):
        await app.call("get_ticket", id="ENG-9")


async def test_a_needed_read_that_fails_fails_the_call(tmp_path: Path, board: Board) -> None:
    """With the product's own words, as any other request."""
    file = FILE.replace("ARRAYS", "repeat").replace(", optional: true", "")
    async with opened(tmp_path, file, board.app()) as app:
        with pytest.raises(errors.NotFound, match="No development data"):
            await app.call("get_ticket", id="ENG-3")


async def test_documents_go_both_ways(app: Opened, board: Board) -> None:
    """Markdown in, the product's document out, Markdown back."""
    item = await app.call("comment_on_ticket", id="ENG-1", body="**Done** in `main`")
    assert item.result["body"] == "**Done** in `main`"
    assert board.issues["ENG-1"]["comments"][0]["body"]["content"][0]["type"] == "paragraph"


@pytest.mark.parametrize(
    ("arrays", "query"),
    [
        ("repeat", "labels=a%20b&labels=c"),
        ("comma", "labels=a%20b%2Cc"),
        ("brackets", "labels%5B%5D=a%20b&labels%5B%5D=c"),
        ("indices", "labels%5B0%5D=a%20b&labels%5B1%5D=c"),
        ("pipes", "labels=a%20b%7Cc"),
        ("spaces", "labels=a%20b%20c"),
    ],
)
async def test_lists_in_queries_have_many_forms(arrays: str, query: str, tmp_path: Path) -> None:
    """Each as its product reads it; an empty list is not sent."""
    async with opened(tmp_path, FILE.replace("ARRAYS", arrays), Board().app()) as app:
        item = await app.call("echo_ticket", labels=["a b", "c"])
        assert item.result["title"] == f"expand=names&{query}"
        assert (await app.call("echo_ticket", labels=[])).result["title"] == "expand=names"
