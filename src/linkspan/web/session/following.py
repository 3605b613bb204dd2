"""What happens in a thread, told to one connection for as long as it listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linkspan.accounts.principal import Tenant
from linkspan.runs.feed import Feed
from linkspan.runs.threads import Threads
from linkspan.store import approvals as approval_rows
from linkspan.store import run_events as event_rows
from linkspan.store import session_threads as thread_rows
from linkspan.store.approvals import Approval
from linkspan.store.database import Database
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run
from linkspan.store.session_threads import SessionThread
from linkspan.web.session.shapes import Json, Places, Telling, status_of, turn_of

_LOOK_EVERY: Final = 2.0
"""Seconds between two looks whether another process began a turn; one that began here is told at once."""
_PAGE: Final = 500
_MOST_ITEMS: Final = 4_000
"""Begins and ends of items of one finished turn that are shown, the last ones: items stand as they began."""

Tell = Callable[[str, Json], Awaitable[None]]
Ask = Callable[[str, str, Json], Awaitable[None]]
"""Sends a question: its id, method and parameters."""


@dataclass(frozen=True, slots=True)
class Record:
    """Reads what turns were."""

    database: Database
    work: Path
    clock: Callable[[], float]

    def telling(self, thread: SessionThread, run: Run) -> Telling:
        """Answer who writes a turn's events."""
        return Telling(thread, run, Places(self.work, run))

    async def turn(self, thread: SessionThread, run: Run) -> tuple[Json, int]:
        """Answer a turn with its items, and the number of the last event that is in it."""
        telling = self.telling(thread, run)
        if run.is_finished:
            events: Sequence[RunEvent] = await event_rows.of_kinds(
                self.database,
                run.tenant,
                run.id,
                ("item_started", "item_completed"),
                before=run.events + 1,
                limit=_MOST_ITEMS,
            )
            items = telling.items(events)
            return turn_of(run, items, interrupted=await self.was_interrupted(run)), run.events
        read: list[RunEvent] = []
        while page := await event_rows.after(
            self.database, run.tenant, run.id, read[-1].seq if read else 0, limit=_PAGE
        ):
            read += page
        return turn_of(run, telling.items(read)), read[-1].seq if read else 0

    async def was_interrupted(self, run: Run) -> bool:
        """Tell whether somebody ended a turn that was kept."""
        last = await event_rows.of_kinds(
            self.database, run.tenant, run.id, ("turn_completed",), before=run.events + 1, limit=1
        )
        return bool(last) and last[-1].data.get("status") == "interrupted"

    async def open_questions(self, run: Run) -> list[Approval]:
        """Answer what a turn asks and nobody has decided."""
        now = self.clock()
        return [
            each
            for each in await approval_rows.of_run(self.database, run.tenant, run.id)
            if each.is_open(now) and each.kind != "publish"
        ]


class News:
    """Says in this process that somebody began a turn in a thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def ring(self, thread: str) -> None:
        """Say it to all who wait."""
        for event in self._waiting.get(thread, ()):
            event.set()

    @contextlib.contextmanager
    def of(self, thread: str) -> Any:
        """Answer an event that is set when there is news."""
        event = asyncio.Event()
        self._waiting.setdefault(thread, set()).add(event)
        try:
            yield event
        finally:
            left = self._waiting[thread]
            left.discard(event)
            if not left:
                del self._waiting[thread]


class Following:
    """Tells a connection of a thread: each turn from where it was last seen, one after the other."""

    def __init__(
        self,
        threads: Threads,
        feed: Feed,
        record: Record,
        news: News,
        *,
        tell: Tell,
        ask: Ask | None,
    ) -> None:
        """`ask` is None for who may not decide."""
        self._threads = threads
        self._feed = feed
        self._record = record
        self._news = news
        self._tell = tell
        self._ask = ask
        self._asked: set[str] = set()

    async def follow(self, thread: SessionThread, turn: str | None, after: int | None) -> None:
        """Tell of a thread until cancelled.

        `turn` is the last one that is known: up to event `after` where it goes on, wholly where that is None.
        """
        with self._news.of(thread.id) as news:
            while not self._feed.is_closing:
                news.clear()
                runs = await self._threads.turns(thread)
                known = next((number for number, run in enumerate(runs) if run.id == turn), -1)
                for run in runs[known + (1 if known < 0 or after is None else 0) :]:
                    await self._turn(thread, run, after or 0)
                    turn, after = run.id, None
                while not (news.is_set() or self._feed.is_closing):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), _LOOK_EVERY)
                    if await thread_rows.count_turns(self._record.database, thread.tenant, thread.id) != len(
                        runs
                    ):
                        break

    async def _turn(self, thread: SessionThread, run: Run, after: int) -> None:
        telling = self._record.telling(thread, run)
        if after == 0:
            await self._tell("turn/started", {"threadId": thread.id, "turn": turn_of(run)})
        else:
            for asked in await self._record.open_questions(run):
                await self._question(telling, asked)
        async for batch in self._feed.follow(Tenant(run.tenant), run.id, after):
            for event in batch:
                await self._event(thread, run, telling, event)
        if self._feed.is_closing:
            return
        ended = next((each for each in await self._threads.turns(thread) if each.id == run.id), None)
        if ended is None:
            return
        told = turn_of(ended, interrupted=await self._record.was_interrupted(ended))
        await self._tell("turn/completed", {"threadId": thread.id, "turn": told})
        await self._tell("thread/status/changed", {"threadId": thread.id, "status": status_of(ended)})

    async def _event(self, thread: SessionThread, run: Run, telling: Telling, event: RunEvent) -> None:
        for method, params in telling.notices(event):
            await self._tell(method, params)
        named = str(event.data.get("approval"))
        if event.kind == "asked":
            asked = await approval_rows.find(self._record.database, run.tenant, named)
            if asked is not None and asked.is_open(self._record.clock()) and asked.kind != "publish":
                await self._question(telling, asked)
        elif event.kind == "decided":
            await self._tell("serverRequest/resolved", {"threadId": thread.id, "requestId": named})

    async def _question(self, telling: Telling, asked: Approval) -> None:
        """Ask it once, though it may be both open and told of afterwards."""
        if self._ask is not None and asked.id not in self._asked:
            self._asked.add(asked.id)
            await self._ask(asked.id, *telling.question(asked))
