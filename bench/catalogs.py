"""Files of tools.yaml with many tools, in the shape that people write: five operations for each entity."""

from __future__ import annotations

import json
from typing import Any

_HEAD = """\
linkspan: 1
name: bench
instructions: >-
  Many kinds of things in one product: list, search, get, create and update them. Start with
  search_salesorders or list_salesorders.
connectors:
  desk:
    title: Desk
    base_url: https://desk.example/api
    auth: [{type: bearer}]
    pagination: {style: cursor, send: {query: cursor}, read: meta.next_cursor, size: {query: limit, max: 100}}
entities:
"""
_ENTITY = """\
  NAME:
    model: ticket
    plural: NAMEs
    sources:
      desk:
        fields:
          id: id
          title: subject
          description: {from: body_html, as: markdown}
          status: {from: state, values: {open: todo, wip: in_progress, fixed: done}}
          assignee: assignee.id
          labels: labels
          created_at: created_at
          url: links.web
        operations:
          list:
            description: List NAMEs of a project, newest first, optionally only those with one status.
            request: GET /projects/{project}/NAMEs
            query: {state: $status, assignee: $assignee}
            params:
              project: {type: string, description: Key of the project.}
              status: {field: status}
              assignee: {field: assignee}
            items: NAMEs
          get:
            description: Get one NAME with its description and who it is assigned to.
            request: GET /NAMEs/{id}
          search:
            description: Search NAMEs of every project for words in their title and description.
            request: GET /search/NAMEs
            query: {q: $query}
            items: hits
          create:
            description: Create a NAME in a project. It is seen by everybody in the project at once.
            request: POST /projects/{project}/NAMEs
            params: {project: {type: string, description: Key of the project.}}
            body: {subject: $title, body_html: $description, labels: $labels}
          update:
            description: Update the status, title or labels of a NAME. What is left out stays as it is.
            request: PATCH /NAMEs/{id}
            body: {state: $status, subject: $title, labels: $labels}
"""
PER_ENTITY = 5


def with_tools(count: int) -> str:
    """Answer a tools.yaml with that many tools (a multiple of five)."""
    names = (f"{first}{second}" for first in _FIRST for second in _SECOND)
    return _HEAD + "".join(
        _ENTITY.replace("NAME", name) for name, _ in zip(names, range(count // PER_ENTITY), strict=False)
    )


_FIRST = ("sales", "office", "field", "web", "plant", "fleet", "store", "city", "port", "farm")
_SECOND = ("order", "task", "claim", "visit", "report", "asset", "lead", "offer", "event", "case")


def for_toolbox(upstream: int, definitions: list[dict[str, Any]] | None = None) -> str:
    """Answer MCP Toolbox's file for the stub: the one tool, or one for each definition."""
    source = f"kind: source\nname: desk\ntype: http\nbaseUrl: http://127.0.0.1:{upstream}\n"
    source += "allowPrivateNetworks: true\nheaders: {Authorization: Bearer upstream-key}\n"
    tools = definitions or [{"name": "list_tickets", "description": "List the tickets of a project."}]
    return source + "".join(
        f"---\nkind: tool\nname: {tool['name']}\ntype: http\nsource: desk\nmethod: GET\n"
        "path: /projects/{{.project}}/tickets\n"
        f"description: {json.dumps(tool['description'])}\n"
        "pathParams: [{name: project, type: string, description: Key of the project}]\n"
        "queryParams: [{name: status, type: string, description: open or done, required: false}]\n"
        for tool in tools
    )
