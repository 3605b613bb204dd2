"""Threads of embedded sessions, and the runs that their turns are.

A turn has its row before its run has one, so that of two who speak at the same time one is told; a row whose
run is not there says nothing. Nothing in here is cached by anybody, so every write is quiet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction
from linkspan.store.runs import Run, run_of


@dataclass(frozen=True, slots=True)
class SessionThread:
    """A conversation with Codex that one person has on one thing. Times are epoch seconds."""

    tenant: str
    id: str
    recipe: str
    entity_id: str | None
    account: str | None
    subject: str
    """The product's backend that vouched for the person."""
    person: str
    created: float
    updated: float


_COLUMNS: Final = tuple(each.name for each in fields(SessionThread))
_OWNER: Final = (
    "tenant = :tenant AND subject = :subject AND person = :person AND recipe = :recipe"
    " AND coalesce(entity_id, '') = :entity_id AND coalesce(account, '') = :account"
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose threads, and on what."""

    tenant: str
    subject: str
    person: str
    recipe: str
    entity_id: str | None
    account: str | None

    @property
    def values(self) -> Row:
        """Answer it as parameters of a query."""
        return {
            "tenant": self.tenant,
            "subject": self.subject,
            "person": self.person,
            "recipe": self.recipe,
            "entity_id": self.entity_id or "",
            "account": self.account or "",
        }


async def insert(db: Database, thread: SessionThread) -> bool:
    """Store a new thread; False without its tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, thread.tenant):
            return False
        tx.execute(
            f"INSERT INTO session_threads ({', '.join(_COLUMNS)})"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
            {name: getattr(thread, name) for name in _COLUMNS},
        )
        return True

    return await db.transaction(work, quiet=True)


async def find(db: Database, owner: Owner, thread: str) -> SessionThread | None:
    """Answer a thread, if it is theirs."""
    rows = await db.query(
        f"SELECT * FROM session_threads WHERE id = :id AND {_OWNER}",  # noqa: S608
        {**owner.values, "id": thread},
    )
    return _thread(rows[0]) if rows else None


async def listed(
    db: Database, owner: Owner, *, before: tuple[float, str] | None, limit: int
) -> list[SessionThread]:
    """Answer their threads, the one that was spoken in last first; those from before one of them."""
    later, name = before or (float("inf"), "")
    rows = await db.query(
        f"SELECT * FROM session_threads WHERE {_OWNER}"  # noqa: S608
        " AND (updated < :later OR (updated = :later AND id < :name))"
        " ORDER BY updated DESC, id DESC LIMIT :limit",
        {**owner.values, "later": min(later, 1e18), "name": name, "limit": limit},
    )
    return [_thread(row) for row in rows]


async def count(db: Database, owner: Owner) -> int:
    """Answer how many threads they have."""
    (row,) = await db.query(
        f"SELECT count(*) AS number FROM session_threads WHERE {_OWNER}",  # noqa: S608
        owner.values,
    )
    number: int = row["number"]
    return number


async def turns(db: Database, tenant: str, thread: str) -> Sequence[tuple[int, Run]]:
    """Answer the turns of a thread, oldest first, each with its number."""
    rows = await db.query(
        "SELECT session_turns.number AS turn_number, runs.* FROM session_turns JOIN runs"
        " ON runs.tenant = session_turns.tenant AND runs.id = session_turns.run"
        " WHERE session_turns.tenant = :tenant AND session_turns.thread = :thread ORDER BY turn_number",
        {"tenant": tenant, "thread": thread},
    )
    return [
        (row["turn_number"], run_of({k: v for k, v in row.items() if k != "turn_number"})) for row in rows
    ]


async def count_turns(db: Database, tenant: str, thread: str) -> int:
    """Answer how many turns a thread has."""
    (row,) = await db.query(
        "SELECT count(*) AS number FROM session_turns JOIN runs"
        " ON runs.tenant = session_turns.tenant AND runs.id = session_turns.run"
        " WHERE session_turns.tenant = :tenant AND session_turns.thread = :thread",
        {"tenant": tenant, "thread": thread},
    )
    number: int = row["number"]
    return number


async def begin_turn(db: Database, thread: SessionThread, number: int, run: str, *, now: float) -> bool:
    """Write down which run a turn is; False when somebody else has just begun it."""

    def work(tx: Transaction) -> bool:
        values = {"tenant": thread.tenant, "thread": thread.id, "number": number, "run": run, "now": now}
        added = tx.execute(
            "INSERT INTO session_turns (tenant, thread, number, run)"
            " SELECT tenant, id, :number, :run FROM session_threads WHERE tenant = :tenant AND id = :thread"
            " ON CONFLICT (tenant, thread, number) DO NOTHING",
            values,
        )
        if added == 1:
            tx.execute(
                "UPDATE session_threads SET updated = :now WHERE tenant = :tenant AND id = :thread", values
            )
        return added == 1

    return await db.transaction(work, quiet=True)


async def last_number(db: Database, tenant: str, thread: str) -> int:
    """Answer the number of the last turn that was begun, 0 without one."""
    (row,) = await db.query(
        "SELECT coalesce(max(number), 0) AS number FROM session_turns WHERE tenant = :tenant"
        " AND thread = :thread",
        {"tenant": tenant, "thread": thread},
    )
    number: int = row["number"]
    return number


async def sweep(db: Database, *, spoken_before: float) -> int:
    """Delete threads that nobody has spoken in since a time and of which no run is left; answer how many.

    Until then its turns keep their rows, and with them their numbers, however many of their runs are gone.
    """

    def work(tx: Transaction) -> int:
        old = {"time": spoken_before}
        over = (
            "updated < :time AND NOT EXISTS (SELECT 1 FROM session_turns t JOIN runs r"
            " ON r.tenant = t.tenant AND r.id = t.run"
            " WHERE t.tenant = session_threads.tenant AND t.thread = session_threads.id)"
        )
        gone = tx.query(f"SELECT tenant, id FROM session_threads WHERE {over}", old)  # noqa: S608
        for thread in gone:
            tx.execute("DELETE FROM session_turns WHERE tenant = :tenant AND thread = :id", thread)
            tx.execute("DELETE FROM session_threads WHERE tenant = :tenant AND id = :id", thread)
        return len(gone)

    return await db.transaction(work, quiet=True)


def _thread(row: Row) -> SessionThread:
    return SessionThread(**{name: row[name] for name in _COLUMNS})
