"""What an engine works for: its events are stored, its questions go to people, and people's words to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from linkspan.codex.engine import Decision, Event, Interrupt, Look, Question, Steer, Thread
from linkspan.errors import LinkspanError
from linkspan.runs.bell import Bell
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease, LostError
from linkspan.store import approvals as approval_rows
from linkspan.store import run_events as event_rows
from linkspan.store.approvals import Approval
from linkspan.store.database import Database
from linkspan.store.run_events import Word

POLL: Final = 0.5
"""Seconds between two looks at what another process may have written; in this one the bell rings."""
_LONGEST_TEXT: Final = 100_000
_LONG_FIELDS: Final = ("diff", "aggregatedOutput", "text", "arguments", "result")


class RunHost:
    """The `Host` of one stay in the engine."""

    def __init__(
        self,
        db: Database,
        lease: Lease,
        bell: Bell,
        *,
        clock: Callable[[], float],
        keep_rollout: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._db = db
        self._lease = lease
        self._bell = bell
        self._clock = clock
        self._keep_rollout = keep_rollout
        self._asking = 0
        self.ended_by: str | None = None
        """Who has ended the turn by cancelling what it asked."""

    async def tell(self, event: Event) -> None:
        """Take an event; comes back when it was taken in."""
        await self._lease.tell(event.kind, _shortened(event.data))

    async def began(self, thread: Thread) -> None:
        """Keep which conversation this is, before anything else."""
        await self._lease.change(thread_id=thread.id)
        if thread.rollout:
            await self._keep_rollout(thread.rollout)

    async def holds(self) -> bool:
        """Tell whether nobody has taken the run since; False also when that cannot be known."""
        try:
            await self._lease.check()
        except (LostError, LinkspanError):
            return False
        return True

    async def decide(self, question: Question) -> Decision:
        """Ask people, and wait for the first answer; `decline` when the deadline has passed."""
        run, recipe = self._lease.run, self._lease.recipe
        now = self._clock()
        asked = await self._lease.ask(
            Approval(
                run.tenant,
                # Codex counts its questions from the beginning in every process.
                approval_id(run.id, f"{run.epoch}:{question.id}"),
                run.id,
                question.kind,
                question.reason,
                _shortened(question.data),
                now,
                now + recipe.approve_within,
            ),
        )
        self._asking += 1
        await self._lease.enter("waiting_approval")
        try:
            decided = await self._decided(asked)
        finally:
            self._asking -= 1
        if not self._asking:
            await self._lease.enter("running")
        decision = decided.decision or "decline"
        if decision == "cancel":
            self.ended_by = f"{decided.decided_by_kind}:{decided.person or decided.decided_by}"
        return decision

    async def words(self) -> AsyncIterator[Steer | Interrupt | Look]:
        """Answer what is said to the run, as it is said."""
        run = self._lease.run
        while True:
            now = self._clock()
            for word in await event_rows.hear(self._db, run.tenant, run.id, epoch=run.epoch, now=now):
                yield _heard(word)
            await self._bell.wait(POLL)

    async def _decided(self, asked: Approval) -> Approval:
        while True:
            found = await approval_rows.find(self._db, asked.tenant, asked.id) or asked
            if found.decision is not None:
                return found
            if self._clock() >= found.deadline:
                expired = await approval_rows.expire(self._db, asked.tenant, asked.id, self._clock())
                if expired is not None:
                    await self._lease.note("decided", approval=asked.id, decision="decline", by="nobody")
                continue
            await self._bell.wait(POLL)


def _heard(word: Word) -> Steer | Interrupt | Look:
    if word.kind == "look":
        return Look()
    return Steer(word.words, word.who) if word.kind == "steer" else Interrupt(word.who)


def _shortened(data: Any) -> Any:
    """Answer data whose long texts are cut: whole diffs and logs are artifacts, not events."""
    if isinstance(data, str):
        return data if len(data) <= _LONGEST_TEXT else f"{data[:_LONGEST_TEXT]}… (cut)"
    if isinstance(data, dict):
        return {key: _shortened(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_shortened(value) for value in data]
    return data
