"""What a call answered, as MCP's `CallToolResult`.

The data stands twice in a result: as `structuredContent` and, for clients that know no structured content, as
the same compact JSON in a text block. Some models see one of the two; in Codex's code mode a script has the
whole result and mostly prints it, and 40,000 bytes of that are shown. So the size limit is that of both
copies together: in no mode does a client have to cut JSON in the middle.

Every function here answers an *open* object, without its closing brace, so that the caller can add what its
protocol era wants at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from linkspan.errors import LinkspanError
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.mcp_server.shorten import cut_text, encode, shorten
from linkspan.spec.catalog import Json

Whereabouts = Callable[[Any], str]
"""Takes an item that is too long to show, answers how to get at all of it."""

_MORE = "ask for less at a time"
_AROUND = 40
"""Bytes that a block has around its text."""
_LONGEST_NAME = 200
_ATTEMPTS = 8
"""Each comes closer to the limit; one or two do."""


def tool_result(
    answer: Page | Item | DryRun | Blocks, limit: int, where: Whereabouts = lambda _item: _MORE
) -> bytes:
    """Answer the result of a call that went well, at most `limit` bytes with both copies of the data."""
    if isinstance(answer, Blocks):
        return _blocks(answer, limit)
    data = encode(answer.to_dict())
    whole = _both(data)
    room = len(data)
    for attempt in range(_ATTEMPTS):
        if len(whole) <= limit:
            break
        # The copy in the text is the longer one, by its quotes: how much depends on what is left.
        room = room * limit // len(whole) - 2**attempt
        whole = _both(_fitted(answer, room, where))
    return whole


def error_result(error: LinkspanError, limit: int) -> bytes:
    """Answer the result of a call that failed: `isError`, the error's dictionary, and its sentence."""
    data = encode(error.to_dict())
    text = error.for_model()
    if len(data) > limit:
        shown = error.to_dict()["error"]
        shown.pop("details", None)
        text = cut_text(text, min(limit // 2, 2000), "the log has the rest")
        data = encode({"error": {**shown, "message": text}})
    return (
        b'{"content":[{"type":"text","text":'
        + encode(text)
        + b'}],"structuredContent":'
        + data
        + b',"isError":true'
    )


def _both(data: bytes) -> bytes:
    return b'{"content":[{"type":"text","text":' + to_json(data.decode()) + b'}],"structuredContent":' + data


def _blocks(answer: Blocks, limit: int) -> bytes:
    sizes = [_size(block) for block in answer.blocks]
    if sum(sizes) <= limit:
        return b'{"content":' + encode(answer.blocks)
    counted = sum(1 for size in sizes if size)
    room = max(limit // counted - _AROUND, 0)
    shown: list[Json] = []
    used = 0
    for number, block in enumerate(answer.blocks):
        cut = _cut(block, room) if sizes[number] > room else block
        used += _size(cut)
        if used > limit:
            left = f"[left out: {len(answer.blocks) - number} more blocks; {_MORE}]"
            shown.append({"type": "text", "text": left})
            break
        shown.append(cut)
    return b'{"content":' + encode(shown)


def _size(block: Json) -> int:
    """Answer how much a model reads of a block; pictures and sound are looked at, not read."""
    return 0 if block.get("type") in ("image", "audio") else len(encode(block))


def _cut(block: Json, room: int) -> Json:
    """Answer a block that is about as large as there is room; data that is not text goes as a whole."""
    if block.get("type") == "text":
        return {**block, "text": cut_text(block["text"], room, _MORE)}
    resource = block.get("resource")
    if not isinstance(resource, dict):
        return {"type": "text", "text": f"[left out: too large to show; {_MORE}]"}
    if isinstance(resource.get("text"), str):
        return {**block, "resource": {**resource, "text": cut_text(resource["text"], room, _MORE)}}
    name = str(resource.get("uri"))[:_LONGEST_NAME]
    return {"type": "text", "text": f"[left out: the data of {name}, {_size(block)} bytes]"}


def _fitted(answer: Page | Item | DryRun, limit: int, where: Whereabouts) -> bytes:
    if isinstance(answer, Page):
        return _fitted_page(answer, limit, where)
    if isinstance(answer, DryRun):
        return shorten(answer.to_dict(), limit, "the request itself would be sent whole")
    rest = {name: value for name, value in answer.to_dict().items() if name != "result"}
    end = encode({**rest, "truncated": True})[1:]
    return b'{"result":' + shorten(answer.result, limit - len(end) - 12, where(answer.result)) + b"," + end


def _fitted_page(page: Page, limit: int, where: Whereabouts) -> bytes:
    """Keep as many whole items as fit, and a cursor that goes on after them."""
    items = [encode(item) for item in page.result]
    rest = {name: value for name, value in page.to_dict().items() if name != "result"}

    def end(count: int) -> bytes:
        cursor = page.resume_after(count) if count < len(items) else page.next_cursor
        return encode({**rest, "next_cursor": cursor, "truncated": True})[1:]

    room = limit - len(end(1)) - len(b'{"result":[],')
    count = size = 0
    for item in items:
        size += len(item) + 1
        if size > room:
            break
        count += 1
    while count > 1:
        closing = end(count)
        shown = b'{"result":[' + b",".join(items[:count]) + b"]," + closing
        if len(shown) <= limit:
            return shown
        count -= 1
    closing = end(1)
    first = items[0] if items else b""
    room = limit - len(closing) - len(b'{"result":[],')
    if len(first) > room:
        first = shorten(page.result[0], room, where(page.result[0]))
    return b'{"result":[' + first + b"]," + closing
