"""Making one thing fit a size without breaking it: long texts lose whole lines, then long lists their ends.

Cutting JSON in the middle, which clients do to what is too long for them, leaves a model with something that
is neither data nor a sentence. Sizes are bytes of compact JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

_SHORTEST: Final = 160
"""Texts are not cut below this many bytes, but for the very last resort."""


def encode(value: Any) -> bytes:
    """Answer compact JSON; what JSON cannot say (NaN, half a surrogate pair) becomes null or U+FFFD."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(_scrubbed(value), inf_nan_mode="null")


def cut_text(text: str, size: int, where: str) -> str:
    """Answer the text cut to about `size` bytes of JSON by whole lines, and a note that says so.

    `where` says how to get at the whole text.
    """
    room = max(size - 80 - len(where), 40)
    kept = text[:room]
    while len(encode(kept)) > room:
        kept = kept[: int(len(kept) * 0.9)]
    for border in ("\n", " "):
        edge = kept.rfind(border)
        if edge >= len(kept) // 2:
            kept = kept[:edge]
            break
    return f"{kept.rstrip()}\n[shortened: {len(kept)} of {len(text)} characters; {where}]"


def shorten(value: Any, size: int, where: str) -> bytes:
    """Answer the JSON of the value, made to fit `size` bytes: texts first, then lists, then everything."""
    whole = encode(value)
    if len(whole) <= size:
        return whole
    cap = _text_cap(value, len(whole), size)
    for _ in range(4):
        shown = _with_short_texts(value, cap, where)
        short = encode(shown)
        if len(short) <= size:
            return short
        if cap <= _SHORTEST:
            break
        cap = max(_SHORTEST, int(cap * 0.8))
    short = _with_short_lists(shown, size)
    return short if len(short) <= size else _last_resort(value, size, where)


def _text_cap(value: Any, whole: int, size: int) -> int:
    """Answer the length that long texts may keep so that all of it fits, if texts alone can do it."""
    lengths = sorted((len(encode(text)) for text in _texts(value)), reverse=True)
    excess = whole - size
    for index in range(len(lengths)):
        following = lengths[index + 1] if index + 1 < len(lengths) else 0
        saved = sum(lengths[: index + 1]) - (index + 1) * following
        if saved >= excess:
            total = sum(lengths[: index + 1])
            return max(_SHORTEST, (total - excess) // (index + 1))
    return _SHORTEST


def _texts(value: Any) -> list[str]:
    found: list[str] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            if len(node) > _SHORTEST:
                found.append(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list | tuple):
            waiting.extend(node)
    return found


def _mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _mapped(part, leaf) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, leaf) for part in value]
    return leaf(value)


def _with_short_texts(value: Any, cap: int, where: str) -> Any:
    def leaf(part: Any) -> Any:
        if isinstance(part, str) and len(part) > _SHORTEST and len(encode(part)) > cap:
            return cut_text(part, cap, where)
        return part

    return _mapped(value, leaf)


@dataclass(slots=True)
class _Found:
    items: list[Any] | None = None
    size: int = 0


def _with_short_lists(value: Any, size: int) -> bytes:
    """Halve the longest list until it fits. `value` is ours already: nobody else holds its lists."""
    short = encode(value)
    while len(short) > size:
        longest = _Found()
        _find_longest(value, longest)
        if longest.items is None:
            break
        del longest.items[len(longest.items) // 2 :]
        short = encode(value)
    return short


def _find_longest(value: Any, found: _Found) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _find_longest(part, found)
    elif isinstance(value, list):
        own = len(encode(value))
        if value and own > found.size:
            found.items, found.size = value, own
        for part in value:
            _find_longest(part, found)


def _last_resort(value: Any, size: int, where: str) -> bytes:
    kept = {"id": value["id"]} if isinstance(value, dict) and isinstance(value.get("id"), str | int) else {}
    short = encode({**kept, "note": f"[left out: too large to show; {where}]"})
    return short if len(short) <= size else b"null"


def _scrubbed(value: Any) -> Any:
    def leaf(part: Any) -> Any:
        return part.encode("utf-8", "replace").decode() if isinstance(part, str) else part

    if isinstance(value, dict):
        return {leaf(name): _scrubbed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(part) for part in value]
    return leaf(value)
