"""Operations of several requests: what one finds goes into the next; basic user names; dry runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from linkspan import errors, spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import DryRun, Item, Page
from linkspan.settings import Settings
from tests.fakes.asgi import AsgiTransport
from tests.fakes.notes import Notes

FILE = """\
linkspan: 1
name: notes
instructions: Write and list notes with create_note.
connectors:
  notes:
    base_url: http://notes.example
    auth: [{type: basic}]
    verify: {request: GET /people, query: {name: $credential.username}, id: "[0].id", label: "[0].name"}
entities:
  note:
    fields: {id: string, text: string, author: string}
    sources:
      notes:
        fields: {id: id, text: text, author: by}
        operations:
          create:
            params: {text: string, folder: string}
            steps:
              - {as: found, when: $folder, request: POST /folders, body: {name: $folder}, item: made}
              - request: POST /notes
                body: {text: $text, folder: $found.id, by: $credential.username}
          list:
            params: {folder: string}
            steps:
              - {as: found, request: "GET /folders/{folder}"}
              - {request: GET /notes, query: {folder: $found.id}}
            items: "@"
"""


@pytest.fixture
def notes() -> Notes:
    """The product."""
    return Notes()


@pytest.fixture
async def app(tmp_path: Path, notes: Notes) -> AsyncIterator[App]:
    """An application with one tenant, linked as alice."""
    (tmp_path / "tools.yaml").write_text(FILE)
    catalog = spec.load(tmp_path / "tools.yaml", {})
    settings = Settings(home=tmp_path / "home")
    app = await build(settings, catalog=catalog, transport=AsgiTransport(notes.app()), clock=lambda: 1.8e9)
    tenant = await app.tenants.add("acme")
    secrets = {"username": "alice", "password": "secret"}
    account = await app.accounts.link(
        tenant, catalog.connectors["notes"], secrets=secrets, verify=app.verifier
    )
    assert (account.identity_id, account.identity_label) == ("p-alice", "alice")
    yield app
    await app.aclose()


async def call(app: App, tool: str, **arguments: Any) -> Any:
    found = app.catalog.tool(tool)
    assert found is not None
    principal = Principal(Tenant("acme"), "service", "codex")
    return await app.gateway.call(principal, found, arguments, info=CallInfo("req-1"))


async def test_a_step_finds_what_the_next_one_sends(app: App, notes: Notes) -> None:
    """The id of the folder that was made stands in the note."""
    answer = await call(app, "create_note", text="Hi", folder="inbox")
    assert isinstance(answer, Item)
    assert answer.result == {"id": "1", "text": "Hi", "author": "alice"}
    assert notes.notes == [{"id": 1, "text": "Hi", "folder": "f-inbox", "by": "alice"}]


async def test_a_step_without_its_argument_is_left_out(app: App, notes: Notes) -> None:
    """And so is what refers to it."""
    await call(app, "create_note", text="Hi")
    assert notes.folders == []
    assert notes.notes == [{"id": 1, "text": "Hi", "by": "alice"}]


async def test_a_list_may_have_steps(app: App, notes: Notes) -> None:
    """They run before the page is read."""
    await call(app, "create_note", text="Hi", folder="inbox")
    await call(app, "create_note", text="Ho")
    answer = await call(app, "list_notes", folder="inbox")
    assert isinstance(answer, Page)
    assert [note["text"] for note in answer.result] == ["Hi"]


async def test_a_step_that_fails_ends_the_call(app: App, notes: Notes) -> None:
    """Nothing after it is sent."""
    notes.is_full = True
    with pytest.raises(errors.Conflict, match="no more folders"):
        await call(app, "create_note", text="Hi", folder="inbox")
    assert notes.notes == []


async def test_a_dry_run_shows_every_request(app: App, notes: Notes) -> None:
    """With the name of what a step would find, and nothing is sent."""
    answer = await call(app, "create_note", text="Hi", folder="inbox", dry_run=True)
    assert isinstance(answer, DryRun)
    (before,) = answer.request["before"]
    assert (before["method"], before["url"], before["body"]) == (
        "POST",
        "http://notes.example/folders",
        {"name": "inbox"},
    )
    assert answer.request["body"] == {"text": "Hi", "folder": "[found.id]", "by": "alice"}
    assert "secret" not in repr(answer)
    assert (notes.folders, notes.notes) == ([], [])
