"""Working runs in this process: what is asked for is let in, and what the dead have left is taken over.

Every worker says every few seconds that it lives. Each looks now and then for what is to be worked: runs that
were asked for, decisions that were made, and workflows whose worker was not heard of for a while. Of several
who find the same, the one that moves the run's epoch first sees to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from linkspan.errors import LinkspanError
from linkspan.runs.bell import Bell
from linkspan.runs.journal import VERSION, Journal, out_of, run_of
from linkspan.runs.looking import keep_looking
from linkspan.runs.verdicts import BROKEN
from linkspan.runs.work import Work
from linkspan.spec.recipe import RunsPolicy
from linkspan.store import approvals as approval_rows
from linkspan.store import run_turns
from linkspan.store import runs as rows
from linkspan.store import session_threads as thread_rows
from linkspan.store import workers as worker_rows
from linkspan.store.database import Database
from linkspan.store.runs import Run

log = logging.getLogger("linkspan.runs")
BEAT: Final = 2.0
"""Seconds between two signs of life."""
STALE: Final = 15.0
"""Seconds without a sign of life after which others take a worker's runs over."""
LOOK: Final = 2.0
"""Seconds between two looks; what is asked in this process is seen at once."""
_LOOK_WHOLE: Final = 60.0
"""Seconds between two looks at everything that waits; those between look at what came lately."""
_LATE: Final = 120.0
"""Seconds by which a run that was asked for elsewhere may be seen late: clocks differ, commits take time."""
_TIDY: Final = 600.0
_FORGET: Final = 86_400.0
_MOST_BATCHES: Final = 100
"""Of ended workflows that are looked at in one go."""


class Worker:
    """Works runs until it is closed."""

    def __init__(
        self,
        db: Database,
        work: Work,
        journal: Journal,
        bell: Bell,
        *,
        policy: Callable[[], RunsPolicy],
        clock: Callable[[], float],
        beat: float = BEAT,
        stale: float = STALE,
        look: float = LOOK,
    ) -> None:
        self._db = db
        self._work = work
        self._journal = journal
        self._bell = bell
        self._policy = policy
        self._clock = clock
        self._beat = beat
        self._stale = stale
        self._look = look
        self._let_in: set[str] = set()
        self._tidied = 0.0
        self._looked_whole = -_LOOK_WHOLE

    async def run(self) -> None:
        """Work until cancelled; what is under way then goes on elsewhere or another time."""
        await worker_rows.beat(self._db, self._work.worker, version=VERSION, now=self._clock())
        await self._journal.open()
        beating = asyncio.create_task(self._keep_beating())
        try:
            await keep_looking("runs", self._turn, self._bell, self._look)
        finally:
            beating.cancel()
            await asyncio.shield(self._leave(beating))

    async def look(self) -> None:
        """Look once for what is to be worked."""
        now = self._clock()
        living = await worker_rows.living(self._db, seen_after=now - self._stale)
        living.add(self._work.worker)
        whole = now - self._looked_whole >= _LOOK_WHOLE
        for tenant, run in await run_turns.asked_since(self._db, 0.0 if whole else now - _LATE):
            await self._enter(tenant, run, run)
        for tenant, run in await approval_rows.settle(self._db, now):
            await self._enter(tenant, run, out_of(run))
        left = await self._journal.left_by_the_dead(living)
        there = {run.id: run for run in await run_turns.with_ids(self._db, {run_of(each) for each in left})}
        for workflow in left:
            await self._take_over(there.get(run_of(workflow)), workflow)
        others = living - {self._work.worker} if whole else living
        for found in await run_turns.left_alone(self._db, others, also_queued=whole):
            await self._look_after(found)
        if whole:
            self._looked_whole = now
            going_on = await run_turns.going_on(self._db)
            self._let_in &= {name for _tenant, run in going_on for name in (run, out_of(run))}

    async def _enter(self, tenant: str, run: str, workflow: str) -> None:
        """Enqueue a workflow, said once by this worker."""
        if workflow in self._let_in:
            return
        if workflow == run:
            await self._journal.enqueue(tenant, run)
        else:
            await self._journal.enqueue_out(tenant, run)
        self._let_in.add(workflow)

    async def _take_over(self, run: Run | None, workflow: str) -> None:
        """Let a workflow of a dead worker go on, unless another worker has just done so."""
        if run is None or not await rows.move_on(self._db, run.tenant, run.id, run.epoch):
            if run is None:
                await self._journal.resume(workflow)
            return
        log.warning("run %s goes on: its worker %s was not heard of any more", run.id, run.worker)
        await self._journal.resume(workflow)

    async def _look_after(self, run: Run) -> None:
        """See to a run that nobody works: its worker is gone, or its workflow ended and left it open."""
        for workflow in (out_of(run.id), run.id):
            state = await self._journal.state_of(workflow)
            if state in ("PENDING", "ENQUEUED"):
                return
            if state is not None:
                now = await rows.find(self._db, run.tenant, run.id)
                if now is None or (now.epoch, now.worker) != (run.epoch, run.worker):
                    return  # it has gone on since it was read
                lease = await self._work.take(run.tenant, run.id)
                if lease is not None:
                    log.error("run %s of tenant %s was left open by a fault of ours", run.id, run.tenant)
                    await self._work.close(lease, BROKEN)
                return
        await self._journal.enqueue(run.tenant, run.id)

    async def _turn(self) -> None:
        await self.look()
        if self._clock() - self._tidied >= _TIDY:
            self._tidied = self._clock()
            await self._tidy()

    async def _tidy(self) -> None:
        """Delete what is older than it is to be kept."""
        now = self._clock()
        before = now - self._policy().keep
        await rows.sweep(self._db, finished_before=before)
        await thread_rows.sweep(self._db, spoken_before=before)
        await worker_rows.forget(self._db, seen_before=now - _FORGET)
        try:
            await self._work.tidy()
        except OSError as error:
            log.warning("files of runs that have ended stay: %s", error)
        kept = 0  # first parts of runs that wait for a person
        for _ in range(_MOST_BATCHES):
            ended = await self._journal.ended(skip=kept)
            if not ended:
                return
            going_on = {run for _tenant, run in await run_turns.going_on(self._db)}
            over = [each for each in ended if run_of(each) not in going_on]
            await self._journal.forget(over)
            kept += len(ended) - len(over)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            with contextlib.suppress(LinkspanError):
                await worker_rows.beat(self._db, self._work.worker, version=VERSION, now=self._clock())

    async def _leave(self, beating: asyncio.Task[None]) -> None:
        await asyncio.gather(beating, return_exceptions=True)
        await self._journal.aclose()
        with contextlib.suppress(LinkspanError):
            await worker_rows.leave(self._db, self._work.worker)
