"""Stores what runs tell while they are worked, of all runs of this process together.

A write costs little; what an event waits for is its way to the database's thread and back, on a machine that
is busy with Codex. So there is one write under way at a time, whatever number of runs is worked: it takes
with it all that was told until the very moment in which it is made. Each run's events are stored under its
own epoch, and a run that was lost meanwhile stores none, whatever else is in the write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.runs.bell import Bell
from linkspan.store import run_events as rows
from linkspan.store.database import Database, StoreFault, Transaction
from linkspan.store.runs import Run

PAUSE: Final = 0.01
"""Seconds from the beginning of one write to the next, unless somebody waits for it; the first waits for
nothing."""
_MOST: Final = 500
"""Events of one write."""
Event = tuple[float, str, Mapping[str, Any]]
"""When, what kind, and its data."""


@dataclass(frozen=True, slots=True)
class _Told:
    line: Line
    event: Event | None
    """None: nothing but somebody who waits for what stands before it."""
    awaited: asyncio.Future[bool] | None = None
    durable: bool = False


class EventWriter:
    """Writes the events of this process's runs."""

    def __init__(self, db: Database, *, pause: float = PAUSE) -> None:
        self._db = db
        self._pause = pause
        self._waiting: deque[_Told] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._began = float("-inf")

    def line(self, run: Run, bell: Bell) -> Line:
        """Answer where one run tells its events, under the epoch that it has now."""
        return Line(self, run, bell)

    def put(self, told: _Told) -> None:
        """Let something be written soon; what is put first is written first."""
        self._waiting.append(told)
        if told.awaited is not None:
            self._hurry.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                left = self._began + self._pause - now()
                if left > 0 and not self._hurry.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._hurry.wait(), left)
                self._hurry.clear()
                self._began = now()
                await self._write_once()
        finally:
            self._writing = None

    async def _write_once(self) -> None:
        durable = any(each.durable for each in self._waiting)
        taken: list[_Told] = []

        def work(tx: Transaction) -> dict[Line, int | None]:
            # In the database's thread, as late as can be; what was taken stays taken if it is done again.
            while self._waiting and len(taken) < _MOST and (durable or not self._waiting[0].durable):
                taken.append(self._waiting.popleft())
            return _added(tx, taken)

        try:
            last = await self._db.transaction(work, durable=durable, quiet=True)
        except Exception as error:
            if not taken:  # it did not come so far
                taken, self._waiting = list(self._waiting), deque()
            lines = {told.line for told in taken}
            if len(lines) == 1 or isinstance(error, StoreFault):
                _failed(taken, error)
                return
            for line in lines:  # the fault of one is not that of the others
                await self._write_alone([told for told in taken if told.line is line], durable=durable)
        except BaseException:
            for told in (*taken, *self._waiting):
                if told.awaited is not None:
                    told.awaited.cancel()
            raise
        else:
            _stored(taken, last)

    async def _write_alone(self, taken: Sequence[_Told], *, durable: bool) -> None:
        try:
            last = await self._db.transaction(lambda tx: _added(tx, taken), durable=durable, quiet=True)
        except Exception as error:
            _failed(taken, error)
        else:
            _stored(taken, last)


class Line:
    """Where one run tells its events."""

    def __init__(self, writer: EventWriter, run: Run, bell: Bell) -> None:
        self._writer = writer
        self._bell = bell
        self.run = run
        self.waiting = 0
        """How many events are not stored yet."""
        self.fault: BaseException | None = None
        """Why some were not stored that nobody waited for."""
        self.is_lost = False
        """Whether somebody else has the run."""

    def tell(self, event: Event) -> None:
        """Take an event; it is stored soon, together with others."""
        self.waiting += 1
        self._writer.put(_Told(self, event))

    async def note(self, event: Event) -> bool:
        """Store an event durably, after those that wait. False: somebody else has the run."""
        self.waiting += 1
        return await self._wait(_Told(self, event, asyncio.get_running_loop().create_future(), durable=True))

    async def flush(self) -> bool:
        """Wait until what was told is stored. False: somebody else has the run."""
        if not self.waiting:
            return not self.is_lost
        return await self._wait(_Told(self, None, asyncio.get_running_loop().create_future()))

    async def _wait(self, told: _Told) -> bool:
        assert told.awaited is not None  # noqa: S101
        self._writer.put(told)
        return await told.awaited

    def was_stored(self, events: Sequence[Event], last: int | None) -> None:
        """Hand on what was stored to those who watch; `last` is the last one's number, None: it is lost."""
        self.waiting -= len(events)
        if last is None:
            self.is_lost = True
        elif events and self._bell.is_heard:
            self._bell.tell(rows.as_read(events, last))


def _added(tx: Transaction, taken: Sequence[_Told]) -> dict[Line, int | None]:
    """Store events, and answer the number of the last one of each run; None: somebody else has it."""
    lines: dict[Line, list[Event]] = {}
    for told in taken:
        if told.event is not None:
            lines.setdefault(told.line, []).append(told.event)
    last: dict[Line, int | None] = {}
    # In one order, so that two processes never wait for each other.
    for line in sorted(lines, key=lambda line: (line.run.tenant, line.run.id, line.run.epoch)):
        run, events = line.run, lines[line]
        last[line] = rows.add(
            tx,
            run.tenant,
            run.id,
            events,
            epoch=run.epoch,
            turns=sum(kind == "turn_started" for _time, kind, _data in events),
            items=sum(kind == "item_completed" for _time, kind, _data in events),
        )
    return last


def _stored(taken: Sequence[_Told], last: Mapping[Line, int | None]) -> None:
    try:
        for line, number in last.items():
            line.was_stored([t.event for t in taken if t.line is line and t.event is not None], number)
    finally:
        for told in taken:
            if told.awaited is not None and not told.awaited.done():
                told.awaited.set_result(not told.line.is_lost)


def _failed(taken: Sequence[_Told], error: Exception) -> None:
    for told in taken:
        told.line.waiting -= told.event is not None
        if told.awaited is None:
            told.line.fault = error
        elif not told.awaited.done():
            told.awaited.set_exception(error)
