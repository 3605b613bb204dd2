"""What happens in a run, as it happens, for any number of people who watch.

Runs may be worked by another process, so the store is what is watched: each run that somebody watches is
looked at by one task, whoever else watches it, and its newest events are kept for all of them. Of a run that
is worked in this process its bell tells them as soon as they are stored, and nobody looks meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.errors import Internal, LinkspanError
from linkspan.runs.bell import Bell
from linkspan.store import run_events as rows
from linkspan.store.database import Database
from linkspan.store.run_events import RunEvent

log = logging.getLogger("linkspan.runs")
LOOK_EVERY: Final = 0.05
"""Seconds between two looks at a run that somebody watches: one row, by its key."""
_LOOK_BESIDE: Final = 0.25
"""The same while this process works it, and tells of it: then only others' words are looked for."""
_TELLS_FOR: Final = 10.0
"""Seconds for which who has told something of a run is thought to tell what is next."""
_AGAIN: Final = 1.0
"""Seconds after which a run that could not be looked at is looked at again."""
_PAGE: Final = 500
_RECENT: Final = 1_000


class Feed:
    """Lets runs be watched."""

    def __init__(self, db: Database, bell: Bell) -> None:
        self._db = db
        self._bell = bell
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._closing = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        """Whether watching ends because the process is about to stop."""
        return self._closing.is_set()

    def close(self) -> None:
        """End everybody's watching: the process is about to stop."""
        self._closing.set()
        for watch in self._watches.values():
            watch.news.set()

    async def follow(
        self, tenant: Tenant, run: str, after: int = 0, *, idle: float = 15.0
    ) -> AsyncIterator[tuple[RunEvent, ...]]:
        """Answer events after that number, in batches, until the run has ended.

        An empty batch says that nothing has happened for `idle` seconds. Raises nothing for a run that is not
        there: it ends at once.
        """
        watch = self._watches.get((tenant, run))
        if watch is None:
            watch = self._watches[tenant, run] = _Watch(self._db, tenant, run, self._bell.of(run))
        watch.watchers += 1
        watch.start()
        try:
            while not self._closing.is_set():
                news = watch.news
                batch = await self._batch(watch, after)
                if batch:
                    after = batch[-1].seq
                    yield batch
                elif watch.is_over and after >= watch.last:
                    return
                elif watch.fault is not None:
                    raise Internal(f"run {run} cannot be watched any more") from watch.fault
                elif not await _within(news, idle):
                    yield ()
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                self._watches.pop((tenant, run), None)
                watch.stop()

    async def _batch(self, watch: _Watch, after: int) -> tuple[RunEvent, ...]:
        if watch.last <= after:
            return ()
        recent = watch.recent
        if recent and recent[0].seq <= after + 1:
            return tuple(event for event in recent if event.seq > after)
        return tuple(await rows.after(self._db, watch.tenant, watch.run, after, limit=_PAGE))


class _Watch:
    """One run that is looked at for all who watch it."""

    def __init__(self, db: Database, tenant: Tenant, run: str, bell: Bell) -> None:
        self._db = db
        self._bell = bell
        self._task: asyncio.Task[None] | None = None
        self.tenant = tenant
        self.run = run
        self.watchers = 0
        self.recent: deque[RunEvent] = deque(maxlen=_RECENT)
        self.last = 0
        self.is_over = False
        self.fault: Exception | None = None
        """Why nobody looks any more: told to all who watch, who come back by themselves."""
        self._has_looked = False
        self._told = float("-inf")
        """When it was told something last, and did not have to look."""
        self.news = asyncio.Event()
        """Set, and replaced by another one, when something has happened."""

    def start(self) -> None:
        """Begin to look and to listen."""
        if self._task is None:
            self._bell.listen(self._hear)
            self._task = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Look no longer."""
        self._bell.leave(self._hear)
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        """Look until the run has ended; a fault of the store is waited out, any other ends the watching."""
        is_failing = False
        while True:
            rung = self._bell.rung
            try:
                await self._read()
            except LinkspanError as error:
                if not is_failing:
                    log.warning("run %s cannot be looked at for who watches it: %s", self.run, error.message)
                is_failing = True
                await self._bell.wait(_AGAIN)
                continue
            except Exception as fault:
                self.fault = fault
                self._wake()
                return
            is_failing = False
            if self.is_over:
                return
            while rung == self._bell.rung:
                told = self._told
                await self._bell.wait(_LOOK_BESIDE if self._is_told else LOOK_EVERY, since=rung)
                if told == self._told:
                    break  # nobody looks for what is being told

    @property
    def _is_told(self) -> bool:
        return asyncio.get_running_loop().time() - self._told < _TELLS_FOR

    async def _read(self) -> None:
        """Look at the run; of its events those that have not been told meanwhile."""
        since = self.last if self._has_looked else None
        found = await rows.news(self._db, self.tenant, self.run, since, limit=_PAGE)
        if found is None:
            self.is_over = True
            self._wake()
            return
        last, is_finished, events = found
        if not self._has_looked:
            self._has_looked, self.last = True, last
            self._wake()
        self._keep(events)
        if is_finished and self.last >= last:
            self.is_over = True
            self._wake()

    def _hear(self, events: Sequence[RunEvent]) -> bool:
        """Take events from who has stored them; those that came before them are to be looked for."""
        if not self._has_looked or events[0].seq > self.last + 1:
            return False
        self._told = asyncio.get_running_loop().time()
        self._keep(events)
        return True

    def _keep(self, events: Sequence[RunEvent]) -> None:
        news = [event for event in events if event.seq > self.last]
        if news:
            self.recent.extend(news)
            self.last = news[-1].seq
            self._wake()

    def _wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
