"""One worker's hold on a run: every write says which epoch it holds, and is refused when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from linkspan.runs.about import recipe_of
from linkspan.runs.bell import Bell
from linkspan.runs.verdicts import BROKEN
from linkspan.runs.writing import EventWriter
from linkspan.spec.recipe import Recipe
from linkspan.store import approvals as approval_rows
from linkspan.store import run_events as event_rows
from linkspan.store import run_news
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from linkspan.store.database import Database, Transaction
from linkspan.store.runs import FINISHED, Run, State

_MOST_WAITING: Final = 1_000
"""Events beyond which whoever tells more waits until they are stored."""
Mask = Callable[[str], str]


class LostError(asyncio.CancelledError):
    """Another worker has the run now. Nothing is recorded of this one: it ends as if it had been killed."""


class Lease:
    """A run that this worker has taken."""

    def __init__(
        self,
        db: Database,
        run: Run,
        *,
        clock: Callable[[], float],
        mask: Mask,
        bell: Bell,
        writer: EventWriter | None = None,
    ) -> None:
        """`bell` is rung when there is news of the run; `writer` is that of all runs of the process."""
        self._db = db
        self._bell = bell
        self._clock = clock
        self._mask = mask
        self._line = (writer or EventWriter(db)).line(run, bell)
        self.run = run
        self.recipe: Recipe = recipe_of(run)

    @property
    def epoch(self) -> int:
        """What every write names."""
        return self.run.epoch

    async def change(self, **columns: Any) -> Run:
        """Change columns of the run. Raises `LostError`."""
        await self.flush()
        now = self._clock()
        changed = await rows.change(self._db, self.run.tenant, self.run.id, self.epoch, now, **columns)
        if changed is None:
            raise LostError
        self.run = changed
        return changed

    async def enter(self, state: State, *, told: Mapping[str, Any] | None = None, **columns: Any) -> None:
        """Enter a state and tell so, in one transaction; one that it is in already is not told again.

        `told` is what else the event says. A state that ends the run ends the lease. Raises `LostError`.
        """
        await self.flush()
        changed = await _enter(self._db, self.run, state, self._clock(), told, columns)
        if changed is None:
            raise LostError
        self.run = changed
        self._bell.ring()

    async def look(self) -> Run:
        """Answer the run as it is now. Raises `LostError`."""
        found = await rows.find(self._db, self.run.tenant, self.run.id)
        if found is None or found.epoch != self.epoch or found.is_finished:
            raise LostError
        self.run = found
        return found

    async def check(self) -> None:
        """Raise `LostError` when somebody else has the run: right before something is done elsewhere."""
        if not await rows.holds(self._db, self.run.tenant, self.run.id, self.epoch):
            raise LostError

    async def ask(self, approval: Approval, **shown: Any) -> Approval:
        """Store a question for people and tell of it, once; `shown` is what else the event says.

        Raises `LostError`.
        """
        asked = await approval_rows.ask(self._db, approval, epoch=self.epoch)
        if asked is None:
            raise LostError
        if asked.created == approval.created:
            told = {"reason": asked.reason, "deadline": asked.deadline, **shown}
            await self.note("asked", approval=asked.id, what=asked.kind, **told)
        return asked

    async def note(self, kind: str, **data: Any) -> None:
        """Store one event of ours at once, after those that wait."""
        if not await self._line.note((self._clock(), kind, self._masked(data))):
            raise LostError

    async def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an event of the engine's; it is stored soon, together with others."""
        if self._line.is_lost:
            raise LostError
        if self._line.fault is not None:
            raise self._line.fault
        self._line.tell((self._clock(), kind, self._masked(data)))
        if self._line.waiting >= _MOST_WAITING:
            await self.flush()

    async def flush(self) -> None:
        """Wait until what was told is stored. Raises `LostError`."""
        if not await self._line.flush():
            raise LostError

    def _masked(self, value: Any) -> Any:
        """Answer what is told without secrets, however deep they stand."""
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, Mapping):
            return {str(key): self._masked(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(part) for part in value]
        return value


async def give_up(db: Database, run: Run, *, now: float) -> Run | None:
    """End a run by its row alone, since something else of it is what failed; None when somebody else has it.

    Its tokens open nothing once it has ended, and its files are tidied away.
    """
    told = {"code": BROKEN.code, "message": BROKEN.message}
    ending = {"error_code": BROKEN.code, "error_message": BROKEN.message, "worker": None}
    return await _enter(db, run, BROKEN.state, now, told, ending)


async def _enter(
    db: Database,
    run: Run,
    state: State,
    now: float,
    told: Mapping[str, Any] | None,
    columns: Mapping[str, Any],
) -> Run | None:
    news = [] if state == run.state else [(now, "state", {"state": state, **(told or {})})]
    ending = {"finished": now} if state in FINISHED else {}

    def work(tx: Transaction) -> Run | None:
        if news and event_rows.add(tx, run.tenant, run.id, news, epoch=run.epoch) is None:
            return None
        entered = rows.changed(tx, run.tenant, run.id, run.epoch, now, state=state, **columns, **ending)
        if news and entered is not None:
            run_news.record(tx, entered, now=now)
        return entered

    return await db.transaction(work, quiet=True)
