"""What products told us, one row for each event, and the sealed secrets that deliveries are proved with.

Nothing of a delivery is kept but what it is about: the thing is read anew when the event is worked. A row is
taken with a lease, so that of several workers one works it, and another one after it when that has died.

A secret belongs to an account, or (without a tenant) to a connector whose product knows one address for all.
`secret`, `claim` and `sweep` are asked by the process itself; every other query takes a tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction

ArrivalState = Literal["pending", "done", "ignored", "failed"]


@dataclass(frozen=True, slots=True)
class HookSecret:
    """What deliveries are proved with: of an account, or without a tenant of a connector."""

    id: str
    tenant: str | None
    sealed: bytes = field(repr=False)
    created: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event of one delivery, for one account. Times are epoch seconds."""

    tenant: str
    id: str
    connector: str
    account: str
    event: str
    entity: str
    entity_id: str
    received: float
    state: ArrivalState
    attempts: int
    """How often it was taken; it only grows."""
    due: float
    lease: float | None = None
    finished: float | None = None
    outcome: str | None = None
    """What came of it, for people."""


async def put_secret(db: Database, secret: HookSecret) -> bool:
    """Store a secret in place of what was there; False when its tenant or account is not there.

    The id of one tenant's account is never taken over by another.
    """

    def work(tx: Transaction) -> bool:
        if secret.tenant is not None and (
            not tenants.known(tx, secret.tenant)
            or not tx.query(
                "SELECT 1 FROM accounts WHERE tenant = :tenant AND id = :id",
                {"tenant": secret.tenant, "id": secret.id},
            )
        ):
            return False
        put = tx.execute(
            "INSERT INTO hook_secrets (id, tenant, sealed, created) VALUES (:id, :tenant, :sealed, :created)"
            " ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, created = excluded.created"
            " WHERE coalesce(hook_secrets.tenant, '') = coalesce(excluded.tenant, '')",
            asdict(secret),
        )
        return put == 1

    return await db.transaction(work, quiet=True)


async def secret(db: Database, identified: str) -> HookSecret | None:
    """Answer the secret of an account or a connector."""
    rows = await db.query("SELECT * FROM hook_secrets WHERE id = :id", {"id": identified})
    return HookSecret(**{**rows[0], "sealed": bytes(rows[0]["sealed"])}) if rows else None


async def add(db: Database, arrivals: Sequence[Arrival]) -> int:
    """Keep events, all or none; answers how many of them are new."""

    def work(tx: Transaction) -> int:
        there = {each.tenant for each in arrivals}
        there = {tenant for tenant in there if tenants.known(tx, tenant)}
        return sum(
            tx.execute(
                "INSERT INTO arrivals (tenant, id, connector, account, event, entity, entity_id, received,"
                " state, attempts, due, lease, finished, outcome) VALUES (:tenant, :id, :connector,"
                " :account, :event, :entity, :entity_id, :received, :state, :attempts, :due, :lease,"
                " :finished, :outcome) ON CONFLICT (tenant, id) DO NOTHING",
                asdict(arrival),
            )
            for arrival in arrivals
            if arrival.tenant in there
        )

    return await db.transaction(work, quiet=True)


async def claim(db: Database, *, now: float, lease: float, limit: int) -> list[Arrival]:
    """Take up to `limit` events that are due: nobody else is given them for `lease` seconds."""
    rows = await db.query(
        "SELECT tenant, id, attempts FROM arrivals WHERE state = 'pending' AND due <= :now"
        " AND (lease IS NULL OR lease <= :now) ORDER BY due, id LIMIT :limit",
        {"now": now, "limit": limit},
    )
    if not rows:
        return []

    def work(tx: Transaction) -> list[Row]:
        taken = []
        for row in rows:
            taken += tx.query(
                "UPDATE arrivals SET lease = :until, attempts = attempts + 1 WHERE tenant = :tenant"
                " AND id = :id AND attempts = :attempts AND state = 'pending' RETURNING *",
                {**row, "until": now + lease},
            )
        return taken

    return [Arrival(**row) for row in await db.transaction(work, quiet=True)]


async def settle(
    db: Database, arrival: Arrival, state: ArrivalState, outcome: str, *, now: float, due: float | None = None
) -> bool:
    """Note what came of an event; `due`: it is tried again then. False when somebody else has taken it."""
    changed = await db.execute(
        "UPDATE arrivals SET state = :state, outcome = :outcome, lease = NULL, finished = :finished,"
        " due = :due WHERE tenant = :tenant AND id = :id AND attempts = :attempts AND state = 'pending'",
        {
            "tenant": arrival.tenant,
            "id": arrival.id,
            "attempts": arrival.attempts,
            "state": state,
            "outcome": outcome,
            "finished": None if state == "pending" else now,
            "due": arrival.due if due is None else due,
        },
        quiet=True,
    )
    return changed == 1


async def again(db: Database, tenant: str, identified: str, *, now: float) -> Arrival | None:
    """Have an event worked once more from the beginning; None when there is none."""

    def work(tx: Transaction) -> list[Row]:
        return tx.query(
            "UPDATE arrivals SET state = 'pending', due = :now, lease = NULL, finished = NULL, outcome = NULL"
            " WHERE tenant = :tenant AND id = :id RETURNING *",
            {"tenant": tenant, "id": identified, "now": now},
        )

    rows = await db.transaction(work, quiet=True)
    return Arrival(**rows[0]) if rows else None


async def find(db: Database, tenant: str, identified: str) -> Arrival | None:
    """Answer one event."""
    rows = await db.query(
        "SELECT * FROM arrivals WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": identified}
    )
    return Arrival(**rows[0]) if rows else None


async def listed(
    db: Database, tenant: str, *, state: ArrivalState | None = None, limit: int = 50
) -> list[Arrival]:
    """Answer a tenant's events, the newest first."""
    values: dict[str, Any] = {"tenant": tenant, "limit": limit}
    only = ""
    if state is not None:
        only, values["state"] = " AND state = :state", state
    rows = await db.query(
        f"SELECT * FROM arrivals WHERE tenant = :tenant{only} ORDER BY received DESC, id LIMIT :limit",  # noqa: S608
        values,
    )
    return [Arrival(**row) for row in rows]


async def sweep(db: Database, *, finished_before: float) -> int:
    """Forget what is over and older than that."""
    return await db.execute(
        "DELETE FROM arrivals WHERE state <> 'pending' AND finished < :before",
        {"before": finished_before},
        quiet=True,
    )
