"""Files both ways: uploads in multipart and whole, downloads as content, and answers that are kept."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import errors
from linkspan.accounts.principal import Tenant
from linkspan.gateway.results import Blocks
from linkspan.serving import Serving
from tests.canary import Watched
from tests.fakes.files import PNG, Files
from tests.fakes.opened import TENANT, Opened, opened

FILE = """\
linkspan: 1
name: files
instructions: List, get, create, replace and download attachments. Start with list_attachments.
connectors:
  files:
    base_url: http://files.example
    auth: [{type: bearer}]
    hosts: [store.example]
    etag: true
entities:
  attachment:
    model: attachment
    sources:
      files:
        fields: {id: id, name: name, content_type: type, size: size}
        operations:
          list: {request: GET /files, items: files}
          get: {request: "GET /files/{id}", etag: false}
          create:
            request: POST /files
            params:
              data: {type: string, description: "The file, Base64.", required: true}
              labels: {type: array, items: {type: string}}
              note: string
            multipart:
              attachment: {content: $data, name: $name, type: $content_type, max: 4KB}
              label: $labels
              note: $note
          replace:
            description: Replace what is in an attachment by a text.
            request: PUT /files/{id}
            params: {text: {type: string, required: true, description: The text.}}
            file: {content: $text, type: text/markdown, encoding: text}
          download:
            description: Download an attachment.
            request: GET /files/{id}/content
            download: 4KB
          stray:
            description: Stray with an attachment.
            request: GET /elsewhere/content
            download: 4KB
"""


@pytest.fixture
def files() -> Files:
    """The product."""
    return Files()


@pytest.fixture
async def app(tmp_path: Path, files: Files) -> AsyncIterator[Opened]:
    """An application with the product linked."""
    async with opened(tmp_path, FILE, files.app()) as app:
        yield app


async def test_a_file_is_uploaded_with_what_belongs_to_it(app: Opened, files: Files) -> None:
    """Its bytes, its name whatever is in it, its type; lists and texts beside it."""
    data = bytes(range(256)) + b"\r\n--x--\r\n"
    made = await app.call(
        "create_attachment",
        name='a"b\r\nX: é.bin',
        content_type="application/pdf",
        data=base64.b64encode(data).decode(),
        labels=["x", "y"],
        note="n\r\n",
    )
    kept = files.kept[made.result["id"]]
    assert (kept["data"], kept["type"], kept["labels"]) == (data, "application/pdf", ["x", "y"])
    assert kept["name"] == "a%22b%0D%0AX: é.bin"


async def test_a_dry_run_shows_a_file_by_its_size(app: Opened, files: Files) -> None:
    """Nobody reads Base64."""
    shown = (await app.call("create_attachment", name="a", data="aGk=", note="n", dry_run=True)).request
    assert shown["body"] == {
        "attachment": {"name": "a", "type": "application/octet-stream", "bytes": 2},
        "note": "n",
    }
    assert shown["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert len(files.kept) == 6


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"data": "***"}, errors.InvalidArgument, "data: is not Base64"),
        ({"data": base64.b64encode(b"x" * 4097).decode()}, errors.TooLarge, "larger than 4096 bytes"),
        ({"data": "A" * 100_000}, errors.TooLarge, "larger than 4096 bytes"),
        ({"data": "aGk=", "content_type": "a\r\nX: y"}, errors.InvalidArgument, "is no media type"),
    ],
)
async def test_what_is_no_file_is_refused(
    given: dict[str, str], kind: type[errors.LinkspanError], message: str, app: Opened
) -> None:
    """Before anything is sent."""
    with pytest.raises(kind, match=message):
        await app.call("create_attachment", name="a", **given)
    assert app.sent() == []


async def test_a_file_may_be_the_whole_body(app: Opened, files: Files) -> None:
    """With its own type, from a text."""
    await app.call("replace_attachment", id="2", text="# é")
    assert (files.kept["2"]["data"], files.kept["2"]["type"]) == ("# é".encode(), "text/markdown")


async def test_downloads_are_shown_as_what_they_are(app: Opened) -> None:
    """Pictures, texts, bytes; JSON and HTML stay files, and no credential goes to the file store."""

    async def block(id_: str) -> dict[str, object]:
        answer = await app.call("download_attachment", id=id_)
        assert isinstance(answer, Blocks)
        (found,) = answer.blocks
        return found

    assert await block("1") == {
        "type": "image",
        "mimeType": "image/png",
        "data": base64.b64encode(PNG).decode(),
    }
    for id_, mime, text in (
        ("2", "text/plain", "é\n"),
        ("3", "application/json", '{"a": 1}'),
        ("6", "text/html", "<html><body>sign in</body>"),
    ):
        resource = {"uri": f"linkspan://attachment/{id_}", "mimeType": mime, "text": text}
        assert await block(id_) == {"type": "resource", "resource": resource}
    assert await block("4") == {
        "type": "resource",
        "resource": {"uri": "linkspan://attachment/4", "mimeType": "application/zip", "blob": "UEsDBA=="},
    }
    assert [request.url for request in app.transport.sent[:2]] == [
        "http://files.example/files/1/content",
        "https://store.example/store/1?signature=s",
    ]


async def test_a_file_over_its_size_is_not_handed_over(app: Opened, files: Files) -> None:
    """A byte more than the tool says is one too many; nobody is told to ask for less of one file."""
    with pytest.raises(errors.TooLarge) as told:
        await app.call("download_attachment", id="5")
    assert told.value.hint == (
        "download_attachment cannot hand over this file: ask the person to open it in files."
    )
    files.kept["5"]["data"] = b"x" * 4097
    with pytest.raises(errors.TooLarge):
        await app.call("download_attachment", id="5")
    files.kept["5"]["data"] = b"x" * 4096
    assert isinstance(await app.call("download_attachment", id="5"), Blocks)


async def test_a_file_goes_over_mcp_as_content(app: Opened) -> None:
    """By HTTP: one block with its bytes and nothing beside it; one that is too large is an error."""
    made = await app.app.tokens.create(Tenant(TENANT), subject="codex")
    transport = httpx2.ASGITransport(app=Watched(Serving(app.app).asgi))
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
        "Authorization": f"Bearer {made.text.reveal()}",
    }
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8640", headers=headers
    ) as client:

        async def download(id_: str) -> Any:
            params = {"name": "download_attachment", "arguments": {"id": id_}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answer = await client.post(f"/t/{TENANT}/mcp", json=message)
            assert answer.status_code == 200, answer.text
            return answer.json()["result"]

        resource = {"uri": "linkspan://attachment/4", "mimeType": "application/zip", "blob": "UEsDBA=="}
        assert await download("4") == {"content": [{"type": "resource", "resource": resource}]}
        refused = await download("5")
        assert refused["isError"]
        error = refused["structuredContent"]["error"]
        assert error["code"] == "too_large"
        assert "4,096 bytes" in error["message"] and "open it in files" in error["message"]
        assert "xxxx" not in str(refused)


async def test_downloads_go_to_named_hosts_only(app: Opened) -> None:
    """A redirect anywhere else is not followed."""
    with pytest.raises(errors.UpstreamError, match="which is not part of this account"):
        await app.call("stray_attachment")
    assert len(app.transport.sent) == 1


async def test_what_has_not_changed_is_not_answered_again(app: Opened, files: Files) -> None:
    """The second list is a 304, with the newer headers; a change is seen at once."""
    first = await app.call("list_attachments")
    second = await app.call("list_attachments")
    assert (second.result, files.made) == (first.result, 1)
    assert second.rate_limit.remaining == 9
    files.version += 1
    files.kept.pop("6")
    assert len((await app.call("list_attachments")).result) == 5
    assert files.made == 2
    assert "If-None-Match" not in app.transport.sent[0].headers


async def test_an_operation_may_say_otherwise(app: Opened) -> None:
    """Reads of one file do not ask so."""
    await app.call("get_attachment", id="1")
    await app.call("get_attachment", id="1")
    assert all("If-None-Match" not in request.headers for request in app.transport.sent)
