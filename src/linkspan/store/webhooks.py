"""Webhooks out: where events are told to, and the sealed secret that signs them.

A webhook is the operator's, also one that hears of a single tenant: so its id is enough to find it. One
without a tenant hears of all. What it waits to be told goes with it when it is deleted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from linkspan.store import tenants
from linkspan.store.database import Database, Parameters, Row, Transaction


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver. Times are epoch seconds."""

    id: str
    tenant: str | None
    """Of whom it hears; None: of all tenants."""
    url: str
    events: tuple[str, ...]
    """Which events it wants; none named: every one."""
    truto_signature: bool
    """Whether deliveries carry Truto's header besides those of Standard Webhooks."""
    active: bool
    sealed: bytes = field(repr=False)
    created: float
    updated: float


async def insert(db: Database, webhook: Webhook) -> bool:
    """Store a new webhook; False when it is for a tenant that is not there."""

    def work(tx: Transaction) -> bool:
        if webhook.tenant is not None and not tenants.known(tx, webhook.tenant):
            return False
        tx.execute(
            "INSERT INTO webhooks (id, tenant, url, events, truto_signature, active, sealed, created,"
            " updated) VALUES (:id, :tenant, :url, :events, :truto_signature, :active, :sealed, :created,"
            " :updated)",
            _parameters(webhook),
        )
        return True

    return await db.transaction(work, quiet=True)


async def replace(db: Database, webhook: Webhook) -> bool:
    """Store what changed of a webhook; its tenant, secret and creation stay. False when there is none."""
    changed = await db.execute(
        "UPDATE webhooks SET url = :url, events = :events, truto_signature = :truto_signature,"
        " active = :active, updated = :updated WHERE id = :id",
        _parameters(webhook),
        quiet=True,
    )
    return changed == 1


async def find(db: Database, webhook: str) -> Webhook | None:
    """Answer one webhook."""
    rows = await db.query("SELECT * FROM webhooks WHERE id = :id", {"id": webhook})
    return _webhook(rows[0]) if rows else None


async def listed(
    db: Database,
    *,
    tenant: str | None = None,
    after: tuple[float, str] | None = None,
    limit: int = 100,
) -> list[Webhook]:
    """Answer webhooks, oldest first; with `tenant`, those that are for it alone.

    `after` is the creation and the id of the last one that was answered before.
    """
    clauses = ["1 = 1"]
    values: dict[str, object] = {"limit": limit}
    if tenant is not None:
        clauses.append("tenant = :tenant")
        values["tenant"] = tenant
    if after is not None:
        clauses.append("(created, id) > (:created, :id)")
        values["created"], values["id"] = after
    rows = await db.query(
        f"SELECT * FROM webhooks WHERE {' AND '.join(clauses)} ORDER BY created, id LIMIT :limit",  # noqa: S608
        values,
    )
    return [_webhook(row) for row in rows]


async def delete(db: Database, webhook: str) -> int | None:
    """Delete a webhook; answers how many deliveries went with it, None when there is no such webhook."""

    def work(tx: Transaction) -> int | None:
        key = {"id": webhook}
        deliveries = tx.execute("DELETE FROM outbox WHERE webhook = :id", key)
        return deliveries if tx.execute("DELETE FROM webhooks WHERE id = :id", key) else None

    return await db.transaction(work, quiet=True)


def _parameters(webhook: Webhook) -> Parameters:
    return {
        **asdict(webhook),
        "events": " ".join(webhook.events),
        "truto_signature": int(webhook.truto_signature),
        "active": int(webhook.active),
    }


def _webhook(row: Row) -> Webhook:
    return Webhook(
        **{
            **row,
            "events": tuple(row["events"].split()),
            "truto_signature": bool(row["truto_signature"]),
            "active": bool(row["active"]),
            "sealed": bytes(row["sealed"]),
        }
    )
