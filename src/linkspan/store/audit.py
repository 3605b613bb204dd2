"""The audit log: one row a call, who did what to which thing and how it ended. No values, no secrets.

Rows of reads are written behind, many in one transaction, because one transaction a call would cost more than
the call; rows of writes are on the disk before the call is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from operator import attrgetter

from linkspan.store import tenants
from linkspan.store.database import Database, StoreFault, Transaction

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One call. `time` is when it began, in epoch seconds; `outcome` is `ok`, `dry_run` or an error code."""

    tenant: str
    time: float
    principal_kind: str
    principal_subject: str
    token_id: str | None
    request_id: str
    via: str
    tool: str
    entity: str
    entity_id: str | None
    connector: str | None
    account: str | None
    upstream_status: int | None
    outcome: str
    duration_ms: float
    thread_id: str | None = None
    """This and the next two: what Codex says of itself; claimed, not proved."""
    turn_id: str | None = None
    call_id: str | None = None
    steps: str | None = None
    """Of a call of several requests: a JSON list of `METHOD /path/{as}/written STATUS`."""
    bodies: str | None = None
    """What bodies are kept by, where an operator wanted them (store/log_bodies.py)."""


_COLUMNS = tuple(field.name for field in fields(AuditRow))
_values = attrgetter(*_COLUMNS)


def _inserting(count: int) -> tuple[str, tuple[str, ...]]:
    """Answer a statement for that many rows, and its parameters' names in the order of rows and columns."""
    names = [[f"{name}_{number}" for name in _COLUMNS] for number in range(count)]
    places = ", ".join(f"(:{', :'.join(row)})" for row in names)
    return f"INSERT INTO audit ({', '.join(_COLUMNS)}) VALUES {places}", tuple(chain.from_iterable(names))  # noqa: S608


_INSERTS = tuple((count, *_inserting(count)) for count in (48, 12, 3, 1))
"""Many rows in one statement: sqlite3 hands the interpreter's lock over and back at each statement, and at
hundreds of calls a second those hand-overs cost the event loop more than the writing itself."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What rows are asked for: every field that is given must fit. Times are epoch seconds."""

    since: float | None = None
    until: float | None = None
    principal_kind: str | None = None
    principal_subject: str | None = None
    token_id: str | None = None
    request_id: str | None = None
    tool: str | None = None
    entity: str | None = None
    entity_id: str | None = None
    connector: str | None = None
    account: str | None = None
    outcome: str | None = None
    upstream_status: int | None = None
    via: str | None = None
    thread_id: str | None = None
    turn_id: str | None = None
    call_id: str | None = None


_BOUNDS = {"since": "time >= :since", "until": "time < :until", "before": "id < :before"}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A row that is stored. Ids grow; `before` an id goes on in a list."""

    id: int
    row: AuditRow


async def find(
    db: Database,
    tenant: str,
    wanted: AuditFilter | None = None,
    *,
    limit: int = 100,
    before: int | None = None,
) -> list[AuditEntry]:
    """Answer the tenant's newest rows that fit, newest first; with `before`, those older than that id."""
    asked = {**asdict(wanted or AuditFilter()), "before": before}
    given = {name: value for name, value in asked.items() if value is not None}
    clauses = ["tenant = :tenant", *(_BOUNDS.get(name, f"{name} = :{name}") for name in given)]
    rows = await db.query(
        f"SELECT id, {', '.join(_COLUMNS)} FROM audit WHERE {' AND '.join(clauses)}"  # noqa: S608
        " ORDER BY id DESC LIMIT :limit",
        {**given, "tenant": tenant, "limit": limit},
    )
    return [AuditEntry(row.pop("id"), AuditRow(**row)) for row in rows]


async def get(db: Database, tenant: str, number: int) -> AuditEntry | None:
    """Answer one row of the tenant's."""
    rows = await db.query(
        f"SELECT id, {', '.join(_COLUMNS)} FROM audit WHERE tenant = :tenant AND id = :id",  # noqa: S608
        {"tenant": tenant, "id": number},
    )
    return AuditEntry(rows[0].pop("id"), AuditRow(**rows[0])) if rows else None


async def every(db: Database, tenant: str, wanted: AuditFilter | None = None) -> AsyncIterator[AuditEntry]:
    """Answer all rows of the tenant that fit, newest first, without holding them at once."""
    before: int | None = None
    while True:
        found = await find(db, tenant, wanted, limit=500, before=before)
        for entry in found:
            yield entry
        if len(found) < 500:
            return
        before = found[-1].id


async def forget(db: Database, tenant: str, before: float, *, at_once: int = 500) -> int:
    """Delete the tenant's rows that are older, as many as may be in one transaction; answer how many.

    Rows are stored about in the order of time, so nothing behind the first that stays is looked at.
    """

    def work(tx: Transaction) -> int:
        oldest = tx.query(
            "SELECT id, time FROM audit WHERE tenant = :tenant ORDER BY id LIMIT :limit",
            {"tenant": tenant, "limit": at_once},
        )
        last = None
        for row in oldest:
            if row["time"] >= before:
                break
            last = row["id"]
        if last is None:
            return 0
        tx.execute(
            "DELETE FROM audit WHERE tenant = :tenant AND id <= :last", {"tenant": tenant, "last": last}
        )
        return sum(1 for row in oldest if row["id"] <= last)

    return await db.transaction(work, quiet=True)


class AuditWriter:
    """Writes rows, now or soon. It lives on one event loop.

    `delay` is how many seconds a row may wait. While the database is full or read-only, rows are kept and
    tried again every `retry` seconds; beyond `capacity` the oldest are lost, and the log says how many.
    """

    def __init__(
        self, db: Database, *, delay: float = 0.05, retry: float = 1.0, capacity: int = 10_000
    ) -> None:
        self._db = db
        self._delay = delay
        self._retry = retry
        self._capacity = capacity
        self._waiting: deque[AuditRow] = deque()
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = False

    def write_behind(self, row: AuditRow) -> None:
        """Write a row soon."""
        self._keep([row])
        self._schedule()

    async def write(self, row: AuditRow) -> None:
        """Write a row before this returns.

        What it reports has happened already, so a fault of the database is logged and the row is kept to be
        tried again: the caller's answer must not say that nothing was done.
        """
        try:
            await self._insert([row], durable=True)
        except StoreFault as fault:
            self._failed(fault)
            self._keep([row])
            self._schedule()

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._waiting)

    async def flush(self) -> None:
        """Write everything that waits now."""
        if self._writing is not None:
            await asyncio.shield(self._writing)
        await self._write_waiting()

    async def aclose(self) -> None:
        """Write everything that waits, and stop."""
        self._cancel_timer()
        await self.flush()
        self._cancel_timer()
        if self._waiting:
            _log.error("%d audit rows could not be written and are lost", len(self._waiting))

    def _keep(self, rows: Sequence[AuditRow]) -> None:
        self._waiting.extend(rows)
        while len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self._lost += 1

    def _schedule(self) -> None:
        if self._timer is None and self._writing is None:
            delay = self._retry if self._is_failing else self._delay
            self._timer = asyncio.get_running_loop().call_later(delay, self._start)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write_in_turn())

    async def _write_in_turn(self) -> None:
        try:
            await self._write_waiting()
        finally:
            self._writing = None
            if self._waiting:
                self._schedule()

    async def _write_waiting(self) -> None:
        rows = list(self._waiting)
        self._waiting.clear()
        if not rows:
            return
        try:
            await self._insert(rows, durable=False)
        except StoreFault as fault:
            self._failed(fault)
            newer = list(self._waiting)
            self._waiting.clear()
            self._keep([*rows, *newer])
            return
        self._is_failing = False
        if self._lost:
            _log.error("%d audit rows were lost while the database could not be written", self._lost)
            self._lost = 0

    def _failed(self, fault: StoreFault) -> None:
        if not self._is_failing:
            _log.error("audit rows wait to be written: %s", fault.message)
        self._is_failing = True

    async def _insert(self, rows: Sequence[AuditRow], *, durable: bool) -> None:
        def work(tx: Transaction) -> None:
            # A tenant that was removed meanwhile leaves nothing behind.
            there = {tenant for tenant in {row.tenant for row in rows} if tenants.known(tx, tenant)}
            left = [row for row in rows if row.tenant in there]
            for count, sql, names in _INSERTS:
                while len(left) >= count:
                    now, left = left[:count], left[count:]
                    tx.execute(sql, dict(zip(names, chain.from_iterable(map(_values, now)), strict=True)))

        await self._db.transaction(work, durable=durable, quiet=True)
