"""Operations as tools: what Codex sees of them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from linkspan.spec.catalog import Tool

OPERATIONS = """\
          create: {request: POST /tickets, body: {subject: $title, state: $status}}
          delete: {request: "DELETE /tickets/{id}", returns: nothing}
          comment: {request: "POST /tickets/{id}/comments", body: {text: $body}, returns: comment}
          put: {description: Put a ticket back., request: "PUT /tickets/{id}"}
  comment:
    model: comment
    sources:
      desk:
        fields: {id: id, body: text, author: "{name: by}"}
        operations:
          list:
            request: GET /tickets/{ticket}/comments
            params: {ticket: {description: Id of the ticket.}}
            items: comments
"""


def tools(catalog: Any) -> dict[str, Tool]:
    return {tool.name: tool for tool in catalog.tools}


def test_names(good: str, load: Any) -> None:
    """Verb and entity in plain words, in the order of the file."""
    found = tools(load(good + OPERATIONS))
    assert {name: tool.key for name, tool in found.items()} == {
        "list_tickets": "ticket.list",
        "search_tickets": "ticket.search",
        "get_ticket": "ticket.get",
        "update_ticket": "ticket.update",
        "create_ticket": "ticket.create",
        "delete_ticket": "ticket.delete",
        "comment_on_ticket": "ticket.comment",
        "put_ticket": "ticket.put",
        "list_comments": "comment.list",
    }


def test_usual_descriptions_hold_the_words_of_the_names(good: str, load: Any) -> None:
    """A search finds a tool by words of its description only."""
    found = tools(load(good + OPERATIONS))
    assert {name: found[name].description for name in ("get_ticket", "delete_ticket", "list_comments")} == {
        "get_ticket": "Get one ticket by its id.",
        "delete_ticket": "Delete a ticket. This cannot be undone.",
        "list_comments": "List comments.",
    }
    assert found["comment_on_ticket"].description == "Comment on a ticket."


def test_a_name_may_be_given(good: str, load: Any) -> None:
    """`tool` overrides the usual name."""
    text = good.replace(
        "GET /search,", "GET /search, tool: find_tickets, description: Find tickets by words.,"
    )
    tool = load(text).tool("find_tickets")
    assert (tool.key, tool.title) == ("ticket.search", "Find tickets")


def test_input_schemas(good: str, load: Any) -> None:
    """The path's and the needed arguments are required; reserved ones are added where they apply."""
    found = tools(load(good + OPERATIONS))
    shown = {
        name: (list(tool.input_schema["properties"]), tool.input_schema.get("required"))
        for name, tool in found.items()
    }
    assert shown == {
        "list_tickets": (["login", "status", "cursor", "limit"], None),
        "search_tickets": (["query", "cursor", "limit"], ["query"]),
        "get_ticket": (["id"], ["id"]),
        "update_ticket": (["id", "status", "title", "dry_run"], ["id"]),
        "create_ticket": (["title", "status", "dry_run"], ["title"]),
        "delete_ticket": (["id", "dry_run"], ["id"]),
        "comment_on_ticket": (["id", "body", "dry_run"], ["id", "body"]),
        "put_ticket": (["id", "dry_run"], ["id"]),
        "list_comments": (["ticket", "cursor", "limit"], ["ticket"]),
    }
    assert all(tool.input_schema["additionalProperties"] is False for tool in found.values())
    assert found["list_tickets"].input_schema["properties"]["limit"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 50,
        "description": "How many at most, up to 50.",
    }


def test_enums_list_only_what_can_be_reached(good: str, load: Any) -> None:
    """Asking: every mapped word. Writing: words with one answer to what is sent."""
    text = good.replace(", write: {todo: open}", "")
    found = tools(load(text))
    assert found["list_tickets"].input_schema["properties"]["status"]["enum"] == ["todo", "in_progress"]
    assert found["update_ticket"].input_schema["properties"]["status"]["enum"] == ["in_progress"]


def test_limits_and_defaults_are_said_in_words(good: str, load: Any) -> None:
    """Codex shows its model nothing of minimum, maximum, format or default."""
    text = good.replace(
        "login: {type: string, description: Login of a person}",
        "login: {type: integer, description: Number., minimum: 1, maximum: 9, default: 3}",
    )
    schema = load(text).tool("list_tickets").input_schema["properties"]["login"]
    assert schema["description"] == "Number. From 1 to 9. Default: 3."
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (1, 9, 3)


def test_annotations_have_all_four_hints(good: str, load: Any) -> None:
    """From the kind and the method."""
    found = tools(load(good + OPERATIONS))
    hints = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
    shown = {name: tuple(tool.annotations[hint] for hint in hints) for name, tool in found.items()}
    assert shown == {
        "list_tickets": (True, False, True, False),
        "search_tickets": (True, False, True, False),
        "get_ticket": (True, False, True, False),
        "update_ticket": (False, False, False, False),
        "create_ticket": (False, False, False, False),
        "delete_ticket": (False, True, True, False),
        "comment_on_ticket": (False, False, False, False),
        "put_ticket": (False, False, True, False),
        "list_comments": (True, False, True, False),
    }
    assert found["get_ticket"].annotations["title"] == "Get ticket"


def test_annotations_may_be_given(good: str, load: Any) -> None:
    """What the product really does is said by who knows it."""
    hints = "annotations: {destructive: true, open_world: true, idempotent: true}"
    text = good.replace("subject: $title}\n", f"subject: $title}}\n            {hints}\n")
    assert load(text).tool("update_ticket").annotations == {
        "title": "Update ticket",
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": True,
        "openWorldHint": True,
    }


def test_output_schemas_fit_what_shapes_make(good: str, load: Any) -> None:
    """Every result validates, whatever the product answered."""
    found = tools(load(good + OPERATIONS))
    items = [{"id": 1}, {"id": 2, "subject": "s", "state": "odd", "text": "t", "by": 3}]
    for tool in found.values():
        operation = tool.operations["desk"]
        assert tool.output_schema is not None
        fits = jsonschema_rs.Draft202012Validator(tool.output_schema)
        shaped = [operation.shape(item) if operation.shape else None for item in items]
        if operation.is_list:
            fits.validate({"result": shaped, "next_cursor": None})
            fits.validate({"result": shaped, "next_cursor": "c", "truncated": True})
        else:
            for result in shaped:
                fits.validate({"result": result})
        if tool.kind != "read":
            fits.validate({"dry_run": True, "request": {"method": "POST"}})


def test_definitions_are_what_tools_list_shows(good: str, load: Any) -> None:
    """Names of MCP, nothing of ours, and JSON."""
    definition = load(good).tool("get_ticket").definition()
    assert list(definition) == ["name", "title", "description", "inputSchema", "annotations", "outputSchema"]
    json.dumps(definition)


TRACKER = """\
  tracker:
    title: The Tracker
    base_url: https://tracker.example
    auth: [{type: basic}]
"""
TRACKER_TICKETS = """\
      tracker:
        fields: {id: id, title: name, status: {from: s, values: {a: todo, z: done}}, url: link}
        operations:
          list:
            description: List tickets in another way.
            request: GET /t
            query: {s: $status, kind: $kind, who: $login}
            params: {kind: {description: Kind of ticket., required: true}, login: {type: integer}}
            items: "@"
          get: {request: "GET /t/{id}"}
          vote: {description: Vote for a ticket., request: "POST /t/{id}/vote", returns: nothing}
"""


def test_one_tool_whatever_the_connector(good: str, load: Any) -> None:
    """Operations of several connectors are one tool with all their arguments."""
    text = good.replace("\nentities:\n", TRACKER + "\nentities:\n") + TRACKER_TICKETS
    found = tools(load(text))
    tickets = found["list_tickets"]
    assert list(tickets.operations) == ["desk", "tracker"]
    assert tickets.description == "List tickets, newest first."
    properties = tickets.input_schema["properties"]
    assert list(properties) == ["login", "status", "kind", "cursor", "limit", "account"]
    assert properties["status"]["enum"] == ["todo", "in_progress", "done"]
    assert properties["kind"]["description"] == "Kind of ticket. Only The Tracker."
    assert properties["login"]["type"] == ["string", "integer"]
    assert "required" not in tickets.input_schema
    assert tickets.operations["tracker"].schema["required"] == ["kind"]
    assert found["get_ticket"].input_schema["required"] == ["id"]
    assert list(found["vote_ticket"].operations) == ["tracker"]
    assert list(found["vote_ticket"].input_schema["properties"]) == ["id", "account", "dry_run"]
    assert tickets.output_schema is not None
    output = tickets.output_schema["properties"]["result"]["items"]["properties"]
    assert list(output) == ["id", "title", "status", "status_raw", "url"]


@pytest.mark.parametrize(
    ("replace", "by", "told"),
    [
        ("request: POST /t/{id}/vote", "request: POST /t/{id}/vote", []),
        (
            '          get: {request: "GET /t/{id}"}',
            '          get: {kind: write, request: "GET /t/{id}"}',
            ["54:11: bad_kind: entities.ticket.sources.tracker.operations.get"],
        ),
        (
            "            request: GET /t\n",
            "            request: GET /t\n            tool: tickets_list\n",
            [],
        ),
    ],
)  # fmt: skip
def test_the_connectors_agree_about_a_tool(
    replace: str, by: str, told: list[str], good: str, check: Any
) -> None:
    """One kind for one tool."""
    text = good.replace("\nentities:\n", TRACKER + "\nentities:\n") + TRACKER_TICKETS.replace(replace, by)
    found = [line for line in check(text) if "bad_kind" in line]
    assert [line.partition(": this is")[0] for line in found] == told


def test_two_names_for_one_operation_are_a_mistake(good: str, check: Any) -> None:
    """`tool` may be said once, or twice the same."""
    text = good.replace("\nentities:\n", TRACKER + "\nentities:\n") + TRACKER_TICKETS.replace(
        "request: GET /t\n", "tool: list_all_tickets\n            request: GET /t\n"
    )
    text = text.replace(
        "request: GET /tickets\n", "tool: list_my_tickets\n            request: GET /tickets\n"
    )
    (told,) = [line for line in check(text) if "bad_tool_name" in line]
    assert told.startswith("51:19: bad_tool_name: entities.ticket.sources.tracker.operations.list.tool: ")
    assert told.endswith("the same operation is called 'list_my_tickets' at another connector")
