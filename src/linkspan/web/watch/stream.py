"""A run's page as it lives: events as pieces of the page, for any number of people who watch.

Each event is written once, whoever watches: what is sent is kept for a moment and sent to all of them.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.errors import LinkspanError
from linkspan.runs.feed import Feed
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run
from linkspan.web.pages import written
from linkspan.web.watch.entries import entry_of

_MOST_KEPT: Final = 4_000
_LOOK_AGAIN: Final = 5.0
"""Seconds for which somebody who watches needs no new look at who they are."""
_BESIDE: Final = frozenset(
    {"state", "prepared", "asked", "decided", "plan", "change", "published", "cancel_requested"}
)
"""What changes what stands beside."""
_CHANGES: Final = frozenset({"diff", "change"})


class Stream:
    """Writes events as pieces of a page, and sends them."""

    def __init__(self, feed: Feed, *, clock: Callable[[], float]) -> None:
        self._feed = feed
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()

    async def follow(
        self, run: Run, after: int, look_again: Callable[[], Awaitable[object]]
    ) -> AsyncIterator[bytes]:
        """Answer server-sent events (WHATWG HTML 9.2) until the run has ended; the last is called `end`.

        `look_again` raises when whoever watches may do so no more; then it just ends.
        """
        looked = self._clock()
        yield b"retry: 1000\n\n"
        async for batch in self._feed.follow(Tenant(run.tenant), run.id, after):
            now = self._clock()
            if now - looked >= _LOOK_AGAIN:
                looked = now
                try:
                    await look_again()
                except LinkspanError:
                    return
            yield b"".join(self._told(run, each) for each in batch) or b": nothing new\n\n"
        if not self._feed.is_closing:
            yield b"event: end\ndata: {}\n\n"

    def _told(self, run: Run, event: RunEvent) -> bytes:
        key = (run.tenant, run.id, event.seq)
        made = self._kept.get(key)
        if made is None:
            made = self._kept[key] = _pieces(event)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def _pieces(event: RunEvent) -> bytes:
    """Answer an event as pieces. All have its number; it counts as seen with the last of them."""
    pieces: list[tuple[str, object]] = []
    if event.kind in ("message_delta", "reasoning_delta", "output_delta"):
        pieces.append(("text", {"key": str(event.data.get("item_id")), "text": str(event.data.get("text"))}))
    entry = entry_of(event)
    if entry is not None:
        html = written("run/entries.html", {"entries": [entry], "earlier": None})
        pieces.append(("entry", {"key": entry["key"], "html": html}))
    if event.kind in _BESIDE:
        pieces.append(("beside", {}))
    if event.kind in _CHANGES:
        pieces.append(("changes", {}))
    if event.kind == "usage":
        pieces.append(("usage", {"text": f"{event.data.get('total_tokens', 0):,} tokens"}))
    if not pieces:
        return b""
    told = [f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in pieces]
    told[-1] = f"id: {event.seq}\n{told[-1]}"
    return "".join(told).encode()
