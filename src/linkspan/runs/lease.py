"""One worker's hold on a run: every write says which epoch it holds, and is refused when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from linkspan.runs.about import recipe_of
from linkspan.runs.bell import Bell
from linkspan.spec.recipe import Recipe
from linkspan.store import approvals as approval_rows
from linkspan.store import run_events as event_rows
from linkspan.store import run_news
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from linkspan.store.database import Database, Transaction
from linkspan.store.runs import FINISHED, Run, State

FLUSH: Final = 0.02
"""Seconds between two times that events are stored: the first one waits for nothing, others come together."""
BATCH: Final = 100
_MOST_WAITING: Final = 1_000
"""Events beyond which whoever tells more waits until they are stored."""
Mask = Callable[[str], str]


class LostError(asyncio.CancelledError):
    """Another worker has the run now. Nothing is recorded of this one: it ends as if it had been killed."""


class Lease:
    """A run that this worker has taken."""

    def __init__(self, db: Database, run: Run, *, clock: Callable[[], float], mask: Mask, bell: Bell) -> None:
        """`bell` is rung when there is news of the run."""
        self._db = db
        self._bell = bell
        self._flushed = 0.0
        self._clock = clock
        self._mask = mask
        self._waiting: list[tuple[float, str, Mapping[str, Any]]] = []
        self._turns = self._items = 0
        self._flushing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._fault: BaseException | None = None
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
        run, now = self.run, self._clock()
        news = [] if state == run.state else [(now, "state", {"state": state, **(told or {})})]
        ending = {"finished": now} if state in FINISHED else {}

        def work(tx: Transaction) -> Run | None:
            if news and event_rows.add(tx, run.tenant, run.id, news, epoch=run.epoch) is None:
                return None
            entered = rows.changed(tx, run.tenant, run.id, run.epoch, now, state=state, **columns, **ending)
            if news and entered is not None:
                run_news.record(tx, entered, now=now)
            return entered

        changed = await self._db.transaction(work, quiet=True)
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
        self._waiting.append((self._clock(), kind, self._masked(data)))
        await self.flush(durable=True)

    async def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an event of the engine's; it is stored soon, together with others."""
        if self._fault is not None:
            raise self._fault
        self._waiting.append((self._clock(), kind, self._masked(data)))
        self._turns += kind == "turn_started"
        self._items += kind == "item_completed"
        if len(self._waiting) >= _MOST_WAITING:
            await self.flush()
        elif self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_soon())

    async def flush(self, *, durable: bool = False) -> None:
        """Store what waits. Raises `LostError`."""
        async with self._turn:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                turns, items, self._turns, self._items = self._turns, self._items, 0, 0
                last = await event_rows.append(
                    self._db,
                    self.run.tenant,
                    self.run.id,
                    batch,
                    epoch=self.epoch,
                    turns=turns,
                    items=items,
                    durable=durable,
                )
                if last is None:
                    raise LostError
                self._bell.ring()

    async def _flush_soon(self) -> None:
        try:
            now = asyncio.get_running_loop().time
            await asyncio.sleep(max(0.0, self._flushed + FLUSH - now()))
            await self.flush()
            self._flushed = now()
        except (asyncio.CancelledError, Exception) as error:  # told to whoever tells next
            self._fault = error
        finally:
            self._flushing = None

    def _masked(self, value: Any) -> Any:
        """Answer what is told without secrets, however deep they stand."""
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, Mapping):
            return {str(key): self._masked(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(part) for part in value]
        return value
