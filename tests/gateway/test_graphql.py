"""GraphQL: reads are reads, variables keep their types, connections are pages, a 200 may be a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from linkspan import errors
from tests.fakes.graph import Graph
from tests.fakes.opened import Opened, opened

FILE = """\
linkspan: 1
name: graph
instructions: List, read, create and delete tickets. Start with list_tickets.
connectors:
  graph:
    base_url: http://graph.example
    auth: [{type: header, name: Authorization}]
    pagination: {style: relay, max: 3}
entities:
  ticket:
    model: ticket
    sources:
      graph:
        fields:
          id: id
          key: identifier
          title: title
          description: description
          status: {from: state.name, values: {Todo: todo, Done: done}}
        operations:
          list:
            graphql: |
              # Two kinds of brackets that count for nothing: "{" and (
              query Issues($first: Int!, $after: String, $filter: Filter) {
                issues(first: $first, after: $after, filter: $filter) {
                  nodes { ...Shown }
                  pageInfo { hasNextPage endCursor }
                }
              }
              fragment Shown on Issue { id identifier title state { name } }
            variables: {filter: {state: {in: {$: status, list: true}}}}
            items: data.issues.nodes
          search:
            graphql: >-
              query($first: Int, $cursor: String) {issues(first: $first, after: $cursor)
              {edges{node{id identifier title}} pageInfo{hasNextPage endCursor}}}
            params: {query: {type: string}}
            headers: {X-Words: "{query}"}
            pagination: {style: relay, at: data.issues, after: cursor, default: 2}
            items: data.issues.edges[].node
          get:
            graphql: "query($id: String!) {issue(id: $id) {id identifier title description}}"
            variables: {id: $id}
            item: data.issue
          create:
            graphql: >-
              mutation($title: String!, $description: String)
              {issueCreate(title: $title, description: $description) {success issue {id title description}}}
            variables: {title: $title, description: $description}
            item: data.issueCreate.issue
          delete:
            graphql: "mutation($id: String!) {issueDelete(id: $id) {success}}"
            variables: {id: $id}
            returns: nothing
"""


@pytest.fixture
def graph() -> Graph:
    """The product."""
    return Graph()


@pytest.fixture
async def app(tmp_path: Path, graph: Graph) -> AsyncIterator[Opened]:
    """An application with the product linked."""
    async with opened(tmp_path, FILE, graph.app(), secrets={"key": "lin_key"}) as app:
        yield app


async def test_a_connection_is_read_to_its_last_page(app: Opened, graph: Graph) -> None:
    """Cursor and size go into the variables, where the filter is too."""
    found: list[Any] = []
    cursor: dict[str, Any] = {"status": "done"}
    while cursor:
        page = await app.call("list_tickets", limit=3, **cursor)
        found += [ticket["key"] for ticket in page.result]
        cursor = {"cursor": page.next_cursor} if page.next_cursor else {}
    assert found == ["LIN-1", "LIN-3", "LIN-5", "LIN-7"]
    assert [asked["variables"] for asked in graph.asked] == [
        {"filter": {"state": {"in": ["Done"]}}, "first": 3},
        {"filter": {"state": {"in": ["Done"]}}, "first": 3, "after": "i5"},
    ]


async def test_edges_and_other_names_of_variables(app: Opened, graph: Graph) -> None:
    """The operation's own pagination says where the connection is, and what its variables are called."""
    page = await app.call("search_tickets", query="x")
    after = await app.call("search_tickets", cursor=page.next_cursor)
    assert [ticket["key"] for ticket in page.result + after.result] == ["LIN-1", "LIN-2", "LIN-3", "LIN-4"]
    assert graph.asked[1]["variables"] == {"first": 2, "cursor": "i2"}


def test_reads_and_writes_are_told_apart_by_the_document(load_kinds: dict[str, str]) -> None:
    """Not by the method, which is always POST."""
    assert load_kinds == {
        "list_tickets": "read",
        "search_tickets": "read",
        "get_ticket": "read",
        "create_ticket": "write",
        "delete_ticket": "delete",
    }


@pytest.fixture
def load_kinds(tmp_path: Path) -> dict[str, str]:
    """The kinds of the file's tools."""
    from linkspan import spec

    (tmp_path / "kinds.yaml").write_text(FILE)
    return {tool.name: tool.kind for tool in spec.load(tmp_path / "kinds.yaml", {}).tools}


async def test_a_mutation_sends_what_was_given(app: Opened, graph: Graph) -> None:
    """An absent variable is not sent; a value that looks like GraphQL stays a value."""
    made = await app.call("create_ticket", title='") { id } }')
    assert made.result["title"] == '") { id } }'
    assert graph.asked[0]["variables"] == {"title": '") { id } }'}
    await app.call("delete_ticket", id=made.result["id"])
    assert len(graph.issues) == 7


async def test_a_dry_run_shows_the_document(app: Opened, graph: Graph) -> None:
    """With its variables, and nothing is sent."""
    shown = (await app.call("create_ticket", title="T", dry_run=True)).request
    assert (shown["method"], shown["url"]) == ("POST", "http://graph.example/graphql")
    assert shown["body"]["query"].startswith("mutation(")
    assert shown["body"]["variables"] == {"title": "T"}
    assert graph.asked == []


async def test_an_error_beside_200_is_an_error(app: Opened) -> None:
    """By the word that servers give it, whatever stands in the data."""
    with pytest.raises(errors.NotFound, match="Entity not found"):
        await app.call("get_ticket", id="nope")


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (200, "AUTHENTICATION_ERROR", errors.NeedsReauth),
        (200, "UNAUTHENTICATED", errors.NeedsReauth),
        (200, "FORBIDDEN", errors.Forbidden),
        (400, "RATELIMITED", errors.RateLimited),
        (200, "BAD_USER_INPUT", errors.InvalidArgument),
        (400, "GRAPHQL_VALIDATION_FAILED", errors.InvalidArgument),
        (200, "SOMETHING_ELSE", errors.UpstreamError),
        (500, "UNAUTHENTICATED", errors.UpstreamError),
    ],
)
async def test_what_errors_are_called(
    status: int, word: str, kind: type[errors.LinkspanError], app: Opened, graph: Graph
) -> None:
    """Linear answers 400 when it is asked too often; a 5xx says nothing of the caller."""
    graph.failure, graph.status = word, status
    with pytest.raises(kind, match=f"It is {word}"):
        await app.call("get_ticket", id="i1")


CODES = """
    error:
      when: "body.ok == `false`"
      message: body.error
      code: body.error
      codes: {not_authed: needs_reauth, thread_not_found: not_found, ratelimited: rate_limited}
"""


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("not_authed", errors.NeedsReauth),
        ("thread_not_found", errors.NotFound),
        ("ratelimited", errors.RateLimited),
        ("fatal_error", errors.UpstreamError),
    ],
)
async def test_a_200_that_says_no_is_what_its_word_means(
    word: str, kind: type[errors.LinkspanError], tmp_path: Path
) -> None:
    """Slack's way: `ok` is false, and `error` names what went wrong."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def refuse(_request: Any) -> JSONResponse:
        return JSONResponse({"ok": False, "error": word})

    file = f"""\
linkspan: 1
name: chat
instructions: Read messages with get_message.
connectors:
  chat:
    base_url: http://chat.example
    auth: [{{type: bearer}}]{CODES}
entities:
  message:
    fields: {{id: string, text: string}}
    sources:
      chat:
        fields: {{id: id, text: text}}
        operations:
          get: {{request: "GET /messages/{{id}}"}}
"""
    async with opened(tmp_path, file, Starlette(routes=[Route("/messages/{id}", refuse)])) as app:
        with pytest.raises(kind, match=word):
            await app.call("get_message", id="1")
