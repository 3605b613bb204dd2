"""What is kept of a run that ends, for later readers: its transcript, and the words by which it is found."""

from __future__ import annotations

from typing import Final

from linkspan.runs.kept import Kept
from linkspan.runs.transcript import terms_texts, transcript_of
from linkspan.store import audit, run_terms
from linkspan.store import run_events as event_rows
from linkspan.store.audit import AuditFilter, AuditRow
from linkspan.store.database import Database
from linkspan.store.run_events import RunEvent
from linkspan.store.run_terms import terms_of
from linkspan.store.runs import Run

_MOST_CALLS: Final = 5_000
_BATCH: Final = 500


async def remember(db: Database, kept: Kept, run: Run, *, ending: str | None, epoch: int | None) -> bool:
    """Keep them; False when somebody else took the run since.

    `ending` is the sentence of its end. `epoch` is None for a run that ended before anybody took it: nobody
    writes of it any more.
    """
    events = await events_of(db, run)
    calls = await calls_of(db, run.tenant, run.thread_id)
    text = transcript_of(run, events, calls, ending=ending).encode()
    media_type = "text/markdown; charset=utf-8"
    if not await kept.put(run.tenant, run.id, "transcript", media_type, text, epoch=epoch):
        return False
    terms = terms_of(terms_texts(run, events, ending=ending))
    return await run_terms.put(db, run.tenant, run.id, terms, epoch=epoch)


async def events_of(db: Database, run: Run) -> list[RunEvent]:
    """Answer all events of a run."""
    found: list[RunEvent] = []
    while True:
        seen = found[-1].seq if found else 0
        batch = await event_rows.after(db, run.tenant, run.id, seen, limit=_BATCH)
        found += batch
        if len(batch) < _BATCH:
            return found


async def calls_of(db: Database, tenant: str, thread: str | None) -> list[AuditRow]:
    """Answer what a conversation called, in the order of its calls: the row of a write is stored sooner."""
    if thread is None:
        return []
    found = await audit.find(db, tenant, AuditFilter(thread_id=thread), limit=_MOST_CALLS)
    return [entry.row for entry in sorted(found, key=lambda entry: (entry.row.time, entry.id))]
