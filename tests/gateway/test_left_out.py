"""What an item leaves out, the call brings: arguments, settings, the time, a told address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkspan import errors
from linkspan.gateway.results import DryRun
from tests.fakes.opened import Opened, opened
from tests.fakes.shelf import Shelf

FILE = """\
linkspan: 1
name: shelf
instructions: List, get, create and comment on tickets. Start with list_tickets.
connectors:
  shelf:
    base_url: http://shelf.example/api
    auth: [{type: bearer}]
    settings: {label: {title: Label}}
    headers: {X-Label: "{settings.label}"}
    hosts: [files.example]
entities:
  ticket:
    model: ticket
    sources:
      shelf:
        identity: "{project}/{number}"
        fields: {project: $project, number: number, title: title, team: {from: $settings.label, as: upper}}
        operations:
          list:
            request: GET /projects/{project}/issues
            params: {project: {type: string, description: Name of the project.}}
            items: issues
          get:
            steps:
              - request: GET /projects/{project}/issues
                find: {in: issues, where: {number: $number}}
                missing: "project {project} has no issue {number}"
          create:
            request: POST /projects/{project}/issues
            body: {title: $title}
            params: {project: {type: string, default: red}}
          recent:
            description: List the recent tickets of the project red.
            request: GET /since
            query:
              from: {$: now, minus: 1d}
              until: {$: now, plus: 90m, as: epoch_ms}
              project: $project
            params: {project: {default: red}}
            items: issues
            pagination: {style: cursor, send: {query: cursor}, read: next}
          comment:
            request: POST /projects/{project}/issues/{number}/notes
            body: {text: $body}
            returns: comment
  comment:
    model: comment
    fields: {ticket: string}
    sources:
      shelf:
        identity: "{ticket}:{thread}"
        fields: {ticket: $ticket, thread: id, body: text}
  file:
    fields: {name: string, text: string}
    sources:
      shelf:
        fields: {name: name, text: content}
        identity: "{name}"
        operations:
          get: {request: "GET /files/{id}", include: {content: {url: $item.url}}}
          read:
            description: Read a file.
            steps: [{as: file, request: "GET /files/{id}"}, {url: $file.url}]
            download: 1KB
"""


@pytest.fixture
def shelf() -> Shelf:
    """The product."""
    return Shelf()


@pytest.fixture
async def app(tmp_path: Path, shelf: Shelf) -> AsyncIterator[Opened]:
    """An application with the shelf linked."""
    async with opened(tmp_path, FILE, shelf.app(), settings={"label": "ops"}) as app:
        yield app


async def test_an_argument_is_a_field(app: Opened) -> None:
    """Items that do not say where they are get it from the call, and so the id that leads back to them."""
    page = await app.call("list_tickets", project="red")
    assert page.result == [
        {"id": "red/1", "project": "red", "number": 1, "title": "First", "team": "OPS"},
        {"id": "red/2", "project": "red", "number": 2, "title": "Second", "team": "OPS"},
    ]


async def test_a_default_is_a_field_too(app: Opened) -> None:
    """What was sent for an argument that nobody gave."""
    made = await app.call("create_ticket", title="New")
    assert made.result == {"id": "red/9", "project": "red", "number": 9, "title": "New", "team": "OPS"}


async def test_the_last_step_finds_the_answer(app: Opened) -> None:
    """Where a product only has the list, one of it is got; the parts of its id are fields as well."""
    found = await app.call("get_ticket", id="red/2")
    assert found.result == {"id": "red/2", "project": "red", "number": 2, "title": "Second", "team": "OPS"}
    with pytest.raises(errors.NotFound, match="project blue has no issue 2") as told:
        await app.call("get_ticket", id="blue/2")
    assert told.value.hint == "There is: 1."


async def test_what_comes_back_knows_what_it_belongs_to(app: Opened) -> None:
    """In an answer that is another entity, the name of the operation's own is its id."""
    made = await app.call("comment_on_ticket", id="blue/1", body="Done.")
    assert made.result == {"id": "blue/1:3", "ticket": "blue/1", "thread": "3", "body": "Done."}


async def test_the_time_of_the_call_is_sent(app: Opened, shelf: Shelf) -> None:
    """Moved back and on, in any form; the pages of one list are of one time."""
    page = await app.call("recent_ticket")
    asked = {"from": "2027-01-14T08:00:00Z", "until": "1800005400000", "project": "red"}
    assert shelf.bodies == [asked]
    await app.call("recent_ticket", cursor=page.next_cursor)
    assert shelf.bodies[1] == {**asked, "cursor": "2"}


@pytest.mark.parametrize("name", ["own", "relative"])
async def test_a_told_address_is_read(app: Opened, shelf: Shelf, name: str) -> None:
    """At the product itself with the credential, whatever its path."""
    found = await app.call("get_file", id=name)
    assert found.result["text"] == "line one\n"
    assert shelf.asked[-1] == ("shelf.example", "/raw/1", "Bearer canary-acme")
    assert app.transport.sent[-1].headers["X-Label"] == "ops"


async def test_a_host_of_the_connector_gets_no_credential(app: Opened, shelf: Shelf) -> None:
    """Nor anything else that is only for the product."""
    read = await app.call("read_file", id="store")
    assert read.blocks[0]["resource"]["text"] == "line one\n"
    assert shelf.asked[-1] == ("files.example", "/pre-signed/1", None)
    assert set(app.transport.sent[-1].headers) == {"Accept", "User-Agent"}


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("foreign", errors.EgressRefused, "https://elsewhere.example:443, which is not part of this account"),
        ("inward", errors.EgressRefused, "http://127.0.0.1:1, which is not part of this account"),
        ("user", errors.UpstreamError, "told an address that is none"),
        ("script", errors.UpstreamError, "told an address that is none"),
        ("bracket", errors.UpstreamError, "told an address that is none"),
        ("none", errors.NotFound, "told no address to read"),
        ("number", errors.NotFound, "told no address to read"),
    ],
)
@pytest.mark.parametrize("tool", ["get_file", "read_file"])
async def test_no_other_address_is_read(
    app: Opened, shelf: Shelf, name: str, error: type[errors.LinkspanError], told: str, tool: str
) -> None:
    """An item cannot send us, or the credential, anywhere else."""
    with pytest.raises(error, match=told):
        await app.call(tool, id=name)
    assert len(shelf.asked) == 1


async def test_a_dry_run_shows_where_an_address_will_come_from(tmp_path: Path, shelf: Shelf) -> None:
    """It is not known before the step was made."""
    steps = 'steps: [{as: file, request: "POST /files"}, {url: $file.url}]\n            kind: write'
    file = FILE.replace('steps: [{as: file, request: "GET /files/{id}"}, {url: $file.url}]', steps).replace(
        "            download: 1KB\n", ""
    )
    async with opened(tmp_path, file, shelf.app(), settings={"label": "ops"}) as app:
        shown = await app.call("read_file", dry_run=True)
    assert isinstance(shown, DryRun)
    assert shown.request["url"] == "[file.url]"
    assert [one["url"] for one in shown.request["before"]] == ["http://shelf.example/api/files"]
