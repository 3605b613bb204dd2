"""A small good file, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.spec.catalog import Catalog

GOOD = """\
linkspan: 1
name: acme
instructions: Search and read tickets of Acme Desk. Start with search_tickets.

connectors:
  desk:
    title: Acme Desk
    base_url: https://{settings.site}.desk.example/api/v2
    settings:
      site: {title: Site, pattern: "[a-z0-9-]+"}
    auth:
      - {type: bearer, title: API token}
    verify: {request: GET /me, id: id, label: email}
    pagination: {style: cursor, send: {query: cursor}, read: meta.next, size: {query: limit, max: 50}}
    rate_limit: {when: "status == `429`"}
    error: {when: "body.ok == `false`", message: body.error}

entities:
  ticket:
    model: ticket
    sources:
      desk:
        identity: "{id}"
        fields:
          id: id
          title: subject
          status: {from: state, values: {open: todo, again: todo, wip: in_progress}, write: {todo: open}}
        operations:
          list:
            description: List tickets, newest first.
            request: GET /tickets
            query: {state: $status, who: $login}
            params:
              login: {type: string, description: Login of a person}
            items: tickets
          search: {request: GET /search, query: {q: $query}, items: hits}
          get: {request: "GET /tickets/{id}", item: ticket}
          update:
            request: PATCH /tickets/{id}
            body: {state: $status, subject: $title}
"""
RECIPE = """
recipes:
  fix_ticket:
    title: Fix with Codex
    entity: ticket
    on: desk.ticket.assigned
    when: "title == 'codex'"
    settings:
      repository: {type: repository, required: true}
      style: {title: House rules}
    prompt: |
      Fix the ticket. Run the tests.

        House rules: {{ settings.style }}
    publish: {as: pull_request, title: "{{ ticket.title }}"}
    write_back: {finished: {update: {status: in_progress}}}
"""

Check = Callable[..., list[str]]
Load = Callable[..., Catalog]


@pytest.fixture
def good() -> str:
    """A file without a mistake."""
    return GOOD


@pytest.fixture
def recipe() -> str:
    """A good recipe, to stand behind the file."""
    return RECIPE


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check texts as files named tools.yaml; answers `line:column: code: path: message` of each mistake."""

    def check_texts(*texts: str, environ: Mapping[str, str] | None = None) -> list[str]:
        paths = _written(tmp_path, texts)
        found = []
        for problem in spec.check(paths, environ or {}):
            told = str(problem).removeprefix(f"{problem.file}:{problem.line}:{problem.column}: ")
            found.append(f"{problem.line}:{problem.column}: {problem.code}: {told}")
        return found

    return check_texts


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load texts as files."""

    def load_texts(*texts: str, environ: Mapping[str, str] | None = None) -> Catalog:
        return spec.load(_written(tmp_path, texts), environ or {})

    return load_texts


def _written(folder: Path, texts: tuple[str, ...]) -> list[Path]:
    paths = [folder / f"tools{index or ''}.yaml" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    return paths
