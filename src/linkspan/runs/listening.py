"""Reading what a product sends as it happens: server-sent events (WHATWG HTML §9.2), or JSON line by line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from linkspan.errors import TooLarge

_LONGEST: Final = 2 * 2**20
"""Bytes of one event."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream: what it is called, if it says, and its JSON."""

    id: str | None
    data: Any


async def events_of(chunks: AsyncIterator[bytes], form: Literal["lines", "sse"]) -> AsyncIterator[Told]:
    """Yield events as they come; what is no JSON is left out. Raises `TooLarge`, and what `chunks` raises."""
    data: list[str] = []
    identified: str | None = None
    async for line in _lines(chunks):
        if form == "lines":
            if line.strip() and (value := _read(line)) is not _NOTHING:
                yield Told(None, value)
            continue
        if not line:
            if data and (value := _read("\n".join(data))) is not _NOTHING:
                yield Told(identified, value)
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
            if sum(map(len, data)) > _LONGEST:
                raise TooLarge("an event of the stream has more than 2 MiB")
        elif name == "id" and "\0" not in value:
            identified = value or None


_NOTHING: Final = object()


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield lines, ended by LF, CR or both, without a byte order mark; the last only when it has ended."""
    rest = b""
    is_first, skips_lf = True, False
    async for chunk in chunks:
        if not chunk:
            continue
        rest += chunk[1:] if skips_lf and chunk.startswith(b"\n") else chunk
        skips_lf = chunk.endswith(b"\r")
        if is_first and len(rest) >= 3:
            rest, is_first = rest.removeprefix(b"\xef\xbb\xbf"), False
        parts = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = parts.pop()
        if len(rest) > _LONGEST:
            raise TooLarge("an event of the stream has more than 2 MiB")
        for part in parts:
            yield part.decode(errors="replace")
