"""Query strings: how values and lists are written in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from linkspan import errors
from linkspan.net import bodies
from linkspan.net.urls import encoded

Arrays = Literal["repeat", "comma", "brackets", "indices", "pipes", "spaces"]
_JOINED: Final = {"comma": ",", "pipes": "|", "spaces": " "}


def query_pairs(values: Iterable[tuple[str, Any]], arrays: Arrays) -> list[tuple[str, str]]:
    """Answer names and texts; null is left out, and a list is spread as the product reads it."""
    pairs: list[tuple[str, str]] = []
    for name, value in values:
        if isinstance(value, list):
            pairs += _spread(name, [plain(part) for part in value], arrays)
        elif value is not None:
            pairs.append((name, plain(value)))
    return pairs


def _spread(name: str, parts: Sequence[str], arrays: Arrays) -> list[tuple[str, str]]:
    if arrays in _JOINED:
        return [(name, _JOINED[arrays].join(parts))] if parts else []
    if arrays == "brackets":
        return [(f"{name}[]", part) for part in parts]
    if arrays == "indices":
        return [(f"{name}[{index}]", part) for index, part in enumerate(parts)]
    return [(name, part) for part in parts]


def query_text(pairs: list[tuple[str, str]]) -> str:
    """Write pairs as a query; raises `InvalidArgument` for text that has no encoding."""
    try:
        return "&".join([f"{encoded(name)}={encoded(value)}" for name, value in pairs])
    except UnicodeEncodeError as error:
        told = "A text holds a broken character (half of a surrogate pair)"
        raise errors.InvalidArgument(told) from error


def plain(value: Any) -> str:
    """Answer how a value is written in a query or header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return bodies.json_text(value)
