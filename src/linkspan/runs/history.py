"""What is looked up afterwards: conversations and their calls, runs by their words, everything of one run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from linkspan.accounts.principal import Principal
from linkspan.errors import InvalidArgument, NotFound
from linkspan.runs.remembering import calls_of, events_of
from linkspan.runs.rights import may, may_look, reader_of
from linkspan.runs.runs import Runs
from linkspan.runs.telling import lines_of, searched
from linkspan.store import runs as rows
from linkspan.store import threads as thread_rows
from linkspan.store.approvals import Approval
from linkspan.store.audit import AuditRow
from linkspan.store.database import Database
from linkspan.store.run_events import RunEvent
from linkspan.store.run_terms import terms_of
from linkspan.store.runs import Run
from linkspan.store.threads import CalledThread

_MOST_TERMS: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A run in which all words are, and a line of it that has one of them."""

    run: Run
    line: str | None


@dataclass(frozen=True, slots=True)
class Threads:
    """Conversations with their runs, and after which place the next ones come."""

    shown: Sequence[tuple[CalledThread, Sequence[Run]]]
    next: tuple[float, str] | None


@dataclass(frozen=True, slots=True)
class ThreadHistory:
    """What a conversation did with our tools, in order, and the runs whose conversation it was."""

    id: str
    calls: Sequence[AuditRow]
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that is told of one run."""

    run: Run
    events: Sequence[RunEvent] = field(repr=False)
    approvals: Sequence[Approval] = field(repr=False)
    calls: Sequence[AuditRow]
    texts: Mapping[str, str] = field(repr=False)
    """What it made and can be read: diff, patch, output."""


_READABLE: Final = ("diff", "patch", "output")


class History:
    """Looks up what was."""

    def __init__(self, db: Database, runs: Runs) -> None:
        self._db = db
        self._runs = runs

    async def search(self, principal: Principal, words: str, *, limit: int = 20) -> list[Found]:
        """Answer runs in which each word begins a word, the one that changed last first.

        Only runs that have ended are found. Raises `InvalidArgument`.
        """
        may(principal, "run.list", "read")
        terms = terms_of([words])
        if not terms or len(terms) > _MOST_TERMS:
            raise InvalidArgument(f"search for 1 to {_MOST_TERMS} words")
        reader = reader_of(principal)
        found = await rows.with_terms(self._db, principal.tenant, terms, reader=reader, limit=limit)
        return [Found(run, await self._line(run, terms)) for run in found]

    async def threads(
        self,
        principal: Principal,
        *,
        entity: str | None = None,
        entity_id: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> Threads:
        """Answer the conversations that called tools, the last one first, each with its runs.

        A person is told of their own calls and of conversations of runs that they may look at.
        """
        may(principal, "run.list", "read")
        found = await thread_rows.listed(
            self._db,
            principal.tenant,
            entity=entity,
            entity_id=entity_id,
            reader=reader_of(principal),
            before=before,
            limit=limit + 1,
        )
        more = len(found) > limit
        found = found[:limit]
        runs = await rows.of_threads(self._db, principal.tenant, [each.id for each in found])
        hidden = {run.thread_id for run in runs if not may_look(principal, run)}
        shown = [
            (each, [run for run in runs if run.thread_id == each.id])
            for each in found
            if each.id not in hidden
        ]
        return Threads(shown, (found[-1].last, found[-1].id) if more else None)

    async def thread(self, principal: Principal, thread: str) -> ThreadHistory:
        """Answer one conversation. Raises `NotFound`."""
        may(principal, "run.get", "read")
        calls = await calls_of(self._db, principal.tenant, thread)
        runs = await rows.of_threads(self._db, principal.tenant, [thread])
        hidden = any(not may_look(principal, run) for run in runs)
        calls = [call for call in calls if runs or _may_hear(principal, call)]
        if hidden or (not calls and not runs):
            raise NotFound(f"no conversation {thread!r} has called a tool", hint="See: linkspan history list")
        return ThreadHistory(thread, calls, runs)

    async def record(self, principal: Principal, run: str) -> Record:
        """Answer everything that is told of a run. Raises `NotFound`."""
        found = await self._runs.get(principal, run)
        texts = {}
        for artifact in await self._runs.artifacts(principal, run):
            if artifact.name in _READABLE:
                _made, data = await self._runs.artifact(principal, run, artifact.name)
                texts[artifact.name] = data.decode(errors="replace")
        return Record(
            found,
            await events_of(self._db, found),
            await self._runs.approvals(principal, run),
            await calls_of(self._db, found.tenant, found.thread_id),
            texts,
        )

    async def everything(self, principal: Principal) -> AsyncIterator[Record]:
        """Answer every run of the tenant, in the order of their changes."""
        after: tuple[float, str] = (0.0, "")
        while True:
            page = await self._runs.list(principal, after=after, limit=50)
            if not page:
                return
            for run in page:
                yield await self.record(principal, run.id)
            after = (page[-1].updated, page[-1].id)

    async def _line(self, run: Run, terms: Sequence[str]) -> str | None:
        for event in await events_of(self._db, run):
            for line in searched(lines_of(event)):
                words = terms_of([line])
                if any(word.startswith(term) for word in words for term in terms):
                    return line
        return None


def _may_hear(principal: Principal, call: AuditRow) -> bool:
    """Tell whether somebody is told of a call in a conversation of no run that they may look at.

    What a conversation is called does not prove whose it is.
    """
    if principal.kind == "person":
        return (call.principal_kind, call.principal_subject) == ("person", principal.subject)
    return principal.kind == "operator" or call.principal_kind != "run"
