"""Content blocks that an operation, a resource or a prompt declares, as MCP writes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from linkspan.net.bodies import json_text, text_of
from linkspan.spec.catalog import ABSENT, Block, Scope

_TEXTUAL = frozenset({"json", "xml", "yaml", "x-yaml", "javascript", "sql", "toml", "x-sh"})
"""Media types of `application/` whose files are texts."""


def render_blocks(blocks: Sequence[Block], scope: Scope) -> list[dict[str, Any]]:
    """Answer the blocks as MCP content (text, image, audio, embedded resource)."""
    return [render_block(block, scope) for block in blocks]


def render_block(block: Block, scope: Scope) -> dict[str, Any]:
    """Answer one block as MCP content."""
    mime_type = _text(block.mime_type, scope) or None
    if block.type == "text":
        return {"type": "text", "text": _text(block.text, scope)}
    if block.type in ("image", "audio"):
        return {"type": block.type, "data": _data(block, scope), "mimeType": mime_type}
    resource: dict[str, Any] = {"uri": _text(block.uri, scope)}
    if mime_type:
        resource["mimeType"] = mime_type
    if block.text is not None:
        resource["text"] = _text(block.text, scope)
    else:
        resource["blob"] = _data(block, scope)
    return {"type": "resource", "resource": resource}


def file_block(data: bytes, content_type: str, uri: str) -> dict[str, Any]:
    """Answer a file as MCP content: a picture or a sound as such, a text as text, all else as bytes."""
    media = content_type.partition(";")[0].strip().lower() or "application/octet-stream"
    kind, _, name = media.partition("/")
    written = base64.b64encode(data).decode
    if kind in {"image", "audio"} and name != "svg+xml":
        return {"type": kind, "data": written(), "mimeType": media}
    resource: dict[str, Any] = {"uri": uri, "mimeType": media}
    if kind == "text" or name in _TEXTUAL or name.endswith(("+xml", "+json")):
        resource["text"] = text_of(data, content_type)
    else:
        resource["blob"] = written()
    return {"type": "resource", "resource": resource}


def _text(value: Any, scope: Scope) -> str:
    given = value(scope) if value is not None else ""
    if given is ABSENT or given is None:
        return ""
    return given if isinstance(given, str) else json_text(given)


def _data(block: Block, scope: Scope) -> str:
    given = block.data(scope) if block.data is not None else ""
    return base64.b64encode(given).decode() if isinstance(given, bytes) else str(given)
