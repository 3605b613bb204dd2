"""Every way in which lists go on, through the HTTP door, at a product that behaves badly about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import spec
from linkspan.app import build
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.pages import COUNT, STYLES, Pages

PAGINATION = {
    "cursor": "{style: cursor, send: {query: at}, read: next, size: {query: size, max: 10}}",
    "cursor_body": "{style: cursor, send: {body: at}, read: next, size: {body: size, max: 10}}",
    "more": "{style: cursor, send: {query: at}, read: next, more: more, size: {query: size}}",
    "next_url": "{style: next_url, read: next, size: {query: size, max: 10}}",
    "relative": "{style: next_url, read: next}",
    "link": "{style: link, size: {query: size, max: 10}}",
    "results": "{style: link, more: results}",
    "page": "{style: page, send: {query: at}, size: {query: size, max: 10, default: 10}}",
    "page_total": "{style: page, send: {query: at}, size: {query: size, default: 10}, total: total}",
    "page_pages": "{style: page, send: {query: at}, pages: pages}",
    "page_more": "{style: page, send: {query: at}, more: more}",
    "page_zero": "{style: page, send: {query: at}, first: 0, size: {query: size, default: 10, max: 10}}",
    "offset": "{style: offset, send: {query: at}, size: {query: size, default: 10, max: 10}}",
    "offset_total": "{style: offset, send: {query: at}, total: total}",
    "offset_more": "{style: offset, send: {query: at}, more: more, size: {query: size, default: 10}}",
    "relay": "{style: relay, after: at, first: size, max: 10}",
    "none": "{style: none}",
}
COUNTED = [style for style in STYLES if style.startswith(("page", "offset"))]
TOLD = [style for style in STYLES if style not in COUNTED and style != "none"]
_HEAD = """\
linkspan: 1
name: pages
instructions: List things, page by page, in every way. Start with page_thing.
connectors:
  pages:
    base_url: http://pages.example
    auth: [{type: bearer}]
entities:
  thing:
    fields: {id: string}
    sources:
      pages:
        fields: {id: id}
        operations:
"""


def _operation(style: str) -> str:
    request = f'request: "GET /{style}/{{habit}}"\n            items: items'
    if style == "cursor_body":
        request = f'request: "POST /{style}/{{habit}}"\n            kind: read\n            body: {{}}\n'
        request += "            items: items"
    if style == "relay":
        request = f'request: "POST /{style}/{{habit}}"\n            items: data.things.nodes\n'
        document = "query($at: String, $size: Int) { things(after: $at, first: $size) { nodes { id } } }"
        request += f'            graphql: "{document}"'
    return f"""\
          {style}:
            description: List each thing by its {style.replace("_", " ")}.
            params: {{habit: string}}
            pagination: {PAGINATION[style]}
            {request}
"""


class Door:
    """One tenant's MCP endpoint."""

    def __init__(self, serving: Serving, token: str) -> None:
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=Watched(serving.asgi)), base_url="http://127.0.0.1:8640"
        )
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}

    async def page(self, style: str, **arguments: Any) -> dict[str, Any]:
        """Call the list tool and answer its result, or the text of its error."""
        params = {"name": f"{style}_thing", "arguments": arguments}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = (await self.http.post("/t/acme/mcp", json=body, headers=self.headers)).json()["result"]
        if answer.get("isError"):
            return {"error": answer["content"][0]["text"]}
        shown: dict[str, Any] = answer["structuredContent"]
        return shown

    async def read(self, style: str, habit: str, **more: Any) -> tuple[list[int], str | None, int]:
        """Read a list to its end: the numbers, the error it ended with, and how many calls it took."""
        found: list[int] = []
        page = await self.page(style, habit=habit, **more)
        for calls in range(1, 200):
            if "error" in page:
                return found, page["error"], calls
            found += [int(item["id"]) for item in page["result"]]
            if page["next_cursor"] is None:
                return found, None, calls
            page = await self.page(style, cursor=page["next_cursor"], **more)
        raise AssertionError("the list never ends")


@pytest.fixture
def pages() -> Pages:
    """The product."""
    return Pages()


@pytest.fixture
async def door(tmp_path: Path, pages: Pages) -> AsyncIterator[Door]:
    """Linkspan with the product linked."""
    (tmp_path / "tools.yaml").write_text(_HEAD + "".join(map(_operation, STYLES)))
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load(tmp_path / "tools.yaml", {}),
        transport=AsgiTransport(pages.app()),
    )
    tenant = await app.tenants.add("acme")
    connector = app.catalog.connectors["pages"]
    await app.accounts.link(tenant, connector, secrets={"token": "canary-pages"}, verify=None)
    door = Door(Serving(app), (await app.tokens.create(tenant, subject="codex")).text.reveal())
    yield door
    await door.http.aclose()
    await app.aclose()


ALL = list(range(1, COUNT + 1))


@pytest.mark.parametrize("style", STYLES)
async def test_every_style_is_read_to_its_end(door: Door, style: str) -> None:
    """Every record once, in order, whatever size the caller wishes."""
    assert (await door.read(style, "plain"))[:2] == (ALL, None)
    assert (await door.read(style, "plain", limit=4))[:2] == (ALL, None)
    assert (await door.read(style, "plain", limit=10))[:2] == (ALL, None)


@pytest.mark.parametrize("style", [style for style in STYLES if style not in {"page", "offset", "page_zero"}])
async def test_pages_with_one_record(door: Door, style: str) -> None:
    """A product that gives one at a time; where it says nothing of its end, a short page is one."""
    ends_early = style == "page_total"
    found, error, _ = await door.read(style, "ones")
    assert error is None
    assert found == (ALL[: len(found)] if ends_early else ALL)


@pytest.mark.parametrize("style", TOLD)
async def test_empty_pages_in_the_middle_are_read_through(door: Door, style: str) -> None:
    """The caller never sees one that is not the end."""
    found, error, calls = await door.read(style, "empties")
    assert (found, error) == (ALL, None)
    assert calls <= 4


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("limit", [4, None])
async def test_a_list_that_shrinks_between_calls_ends(door: Door, style: str, limit: int | None) -> None:
    """Records that are gone are missed, and nothing else: no error, no record twice, no list without end."""
    found, error, _ = await door.read(style, "shrinks", **({"limit": limit} if limit else {}))
    assert error is None
    assert found == sorted(set(found))
    assert found[:4] == [1, 2, 3, 4]


@pytest.mark.parametrize("style", TOLD)
@pytest.mark.parametrize("habit", ["repeats", "circles"])
async def test_a_position_that_comes_back_ends_with_an_error(door: Door, style: str, habit: str) -> None:
    """The same again, or round in a circle, however the caller goes on."""
    found, error, calls = await door.read(style, habit)
    assert error is not None and "a next page that was read already" in error
    assert found and calls <= 12


@pytest.mark.parametrize("style", [style for style in COUNTED if "total" not in style])
async def test_a_product_that_does_not_hear_where_to_go_on_ends_with_an_error(door: Door, style: str) -> None:
    """It answers its first page to every position: nobody is given that for ever."""
    found, error, calls = await door.read(style, "deaf")
    assert error is not None and "the same items for another page" in error
    assert found[: len(set(found))] == sorted(set(found)) and calls <= 3


@pytest.mark.parametrize("style", ["page_total", "page_pages", "offset_total"])
@pytest.mark.parametrize("habit", ["lies_high", "lies_low", "lies_zero"])
async def test_a_total_that_lies_is_not_believed(door: Door, style: str, habit: str) -> None:
    """One that is too high ends with an empty page; one that is less than what came is as good as none."""
    found, error, _ = await door.read(style, habit)
    assert error is None
    if habit == "lies_low" and style == "page_pages":
        assert found == ALL[:10]  # One page of three records, or of ten: nothing there tells which.
    else:
        assert found == ALL


@pytest.mark.parametrize("style", COUNTED)
@pytest.mark.parametrize("habit", ["strict"])
async def test_a_page_past_the_end_may_be_not_found(door: Door, style: str, habit: str) -> None:
    """Products that answer 404 there have come to the end of the list."""
    assert (await door.read(style, habit))[:2] == (ALL, None)
