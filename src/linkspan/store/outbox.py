"""What is to be told to webhooks: written in the transaction that changes something, delivered by anybody.

One row is one delivery: an event for one webhook. It is there exactly when the change is, and it stays until
it was delivered or given up. A row is taken with a lease, so that of several replicas one sends it; one whose
process died is taken again when the lease is over, and is sent again under the same id.

`claim`, `next_due` and `sweep` are asked by the process itself, for all tenants at once; every other query
that may be asked for somebody takes a tenant.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from linkspan.store.database import Database, Row, Transaction

if TYPE_CHECKING:
    from linkspan.store.accounts import Account

Event = Literal[
    "integrated_account:created",
    "integrated_account:active",
    "integrated_account:updated",
    "integrated_account:reactivated",
    "integrated_account:authentication_error",
    "integrated_account:validation_error",
    "integrated_account:post_install_error",
    "integrated_account:deleted",
    "run:queued",
    "run:started",
    "run:waiting_approval",
    "run:succeeded",
    "run:failed",
    "run:cancelled",
    "run:timed_out",
]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
DeliveryState = Literal["pending", "delivered", "dead"]
_ENTERED: Final[dict[str, Event]] = {
    "active": "integrated_account:active",
    "needs_reauth": "integrated_account:authentication_error",
    "validation_error": "integrated_account:validation_error",
    "post_install_error": "integrated_account:post_install_error",
}
_PUBLIC: Final = re.compile(r"dlv_([1-9][0-9]{0,17})_([a-z2-7]{16})")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook. Times are epoch seconds."""

    id: int
    tenant: str
    webhook: str
    event: str
    payload: str
    """JSON: the account or the run as it was right after the change (an account that is deleted: right
    before), without secrets."""
    created: float
    state: DeliveryState
    attempts: int
    """How often it was taken to be sent; it only grows, and tells whether somebody has taken it since."""
    since: int
    """`attempts` when it was last started from the beginning: 0, or what it was at the last replay."""
    due: float
    lease: float | None
    finished: float | None
    last_status: int | None
    last_error: str | None

    @property
    def public_id(self) -> str:
        """What receivers know it by: the same for every attempt, and for none but this delivery.

        The number alone comes again when a backup was restored; the rest tells the two apart.
        """
        # SQLite's RETURNING answers 1 where a SELECT answers 1.0.
        created = repr(float(self.created))
        told = "\0".join((str(self.id), self.webhook, self.tenant, self.event, created))
        digest = hashlib.sha256(f"{told}\0{self.payload}".encode()).digest()[:10]
        return f"dlv_{self.id}_{base64.b32encode(digest).decode().lower()}"


def snapshot(account: Account) -> dict[str, Any]:
    """Answer an account as webhooks and the management API show it, with Truto's names and no secret."""
    return {
        "id": account.id,
        "tenant_id": account.tenant,
        "integration": {"name": account.connector},
        "status": account.state,
        "authentication_method": account.method,
        "subject": account.subject,
        "identity": {"id": account.identity_id, "label": account.identity_label},
        "context": dict(account.settings),
        "origins": list(account.origins),
        "scopes": None if account.scopes is None else list(account.scopes),
        "is_sandbox": account.sandbox,
        "last_error": account.last_error,
        "last_forbidden_error": None if account.last_forbidden is None else dict(account.last_forbidden),
        "created_at": iso(account.created),
        "updated_at": iso(account.updated),
        "verified_at": iso(account.verified),
    }


def iso(seconds: float | None) -> str | None:
    """Answer a time as JSON tells it: ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def events_of(before: Account | None, after: Account | None, *, relinked: bool) -> tuple[Event, ...]:
    """Answer what is told of a change, in order; None: the account was not there, or is not any more.

    `relinked` says that somebody has linked it again. A state that stays is told again only then: an account
    that is found good every day is no news.
    """
    if after is None:
        return ("integrated_account:deleted",)
    entered = _ENTERED.get(after.state)
    news = () if entered is None else (entered,)
    if before is None:
        return ("integrated_account:created", *news)
    if relinked and before.state != "connecting":
        return ("integrated_account:updated", *news)
    if before.state == after.state and not relinked:
        return ()
    if after.state == "active" and before.state != "connecting":
        return ("integrated_account:reactivated",)
    return news


def record(
    tx: Transaction, before: Account | None, after: Account | None, *, now: float, relinked: bool = False
) -> None:
    """Write what is to be told of a change, for every webhook that wants it, inside its transaction."""
    shown = after or before
    if shown is None:
        return
    events = events_of(before, after, relinked=relinked)
    if not events:
        return
    write(tx, shown.tenant, events, lambda: snapshot(shown), now=now)


def write(
    tx: Transaction,
    tenant: str,
    events: Sequence[Event],
    payload: Callable[[], dict[str, Any]],
    *,
    now: float,
) -> None:
    """Write events of a tenant, for every webhook that wants them, inside the transaction of what they tell.

    `payload` is made only when somebody hears of it.
    """
    hearing = tx.query(
        "SELECT id, events FROM webhooks WHERE active = 1 AND (tenant IS NULL OR tenant = :tenant)"
        " ORDER BY id",
        {"tenant": tenant},
    )
    wanted = [
        (event, webhook["id"])
        for event in events
        for webhook in hearing
        if not webhook["events"] or event in webhook["events"].split()
    ]
    if not wanted:
        return
    text = json.dumps(payload(), separators=(",", ":"))
    tx.execute_many(
        "INSERT INTO outbox (tenant, webhook, event, payload, created, state, attempts, since, due)"
        " VALUES (:tenant, :webhook, :event, :payload, :now, 'pending', 0, 0, :now)",
        [
            {"tenant": tenant, "webhook": webhook, "event": event, "payload": text, "now": now}
            for event, webhook in wanted
        ],
    )


async def next_due(db: Database) -> float | None:
    """Answer when the next delivery may be taken; None when nothing waits."""
    rows = await db.query(
        "SELECT min(CASE WHEN lease > due THEN lease ELSE due END) AS due FROM outbox WHERE state = 'pending'"
    )
    due: float | None = rows[0]["due"]
    return due


async def claim(db: Database, *, now: float, lease: float, limit: int) -> list[Delivery]:
    """Take up to `limit` deliveries that are due: nobody else is given them for `lease` seconds."""

    def work(tx: Transaction) -> list[Row]:
        return tx.query(
            "UPDATE outbox SET lease = :until, attempts = attempts + 1 WHERE state = 'pending'"
            " AND due <= :now AND (lease IS NULL OR lease <= :now) AND id IN (SELECT id FROM outbox"
            " WHERE state = 'pending' AND due <= :now AND (lease IS NULL OR lease <= :now)"
            " ORDER BY id LIMIT :limit) RETURNING *",
            {"now": now, "until": now + lease, "limit": limit},
        )

    rows = await db.transaction(work, quiet=True)
    return sorted((Delivery(**row) for row in rows), key=lambda delivery: delivery.id)


async def delivered(db: Database, delivery: Delivery, *, status: int, now: float) -> bool:
    """Note that a receiver took it; False when somebody else has taken the row since."""
    return await _settle(
        db,
        delivery,
        "state = 'delivered', finished = :now, lease = NULL, last_status = :status, last_error = NULL",
        {"now": now, "status": status},
    )


async def failed(
    db: Database, delivery: Delivery, *, status: int | None, error: str, due: float | None, now: float
) -> bool:
    """Note that it was not taken: it is tried again at `due`, or is a dead letter when that is None."""
    return await _settle(
        db,
        delivery,
        "state = :state, finished = :finished, due = :due, lease = NULL, last_status = :status,"
        " last_error = :error",
        {
            "state": "dead" if due is None else "pending",
            "finished": now if due is None else None,
            "due": delivery.due if due is None else due,
            "status": status,
            "error": error,
        },
    )


async def release(db: Database, delivery: Delivery) -> None:
    """Give back what was taken and not sent to its end: it may be taken at once, and was no attempt."""
    await _settle(db, delivery, "lease = NULL, since = since + 1", {})


async def replay(db: Database, tenant: str, delivery: int, now: float) -> bool:
    """Start a delivery from the beginning, whatever became of it; False when there is none."""
    changed = await db.execute(
        "UPDATE outbox SET state = 'pending', due = :now, lease = NULL, finished = NULL, since = attempts"
        " WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": delivery, "now": now},
        quiet=True,
    )
    return changed == 1


async def find(db: Database, public_id: str) -> Delivery | None:
    """Answer a delivery by the id that receivers know."""
    match = _PUBLIC.fullmatch(public_id)
    if match is None:
        return None
    rows = await db.query("SELECT * FROM outbox WHERE id = :id", {"id": int(match[1])})
    found = Delivery(**rows[0]) if rows else None
    return found if found is not None and found.public_id == public_id else None


async def listed(
    db: Database,
    *,
    tenant: str | None = None,
    webhook: str | None = None,
    state: DeliveryState | None = None,
    event: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """Answer the newest deliveries that fit, newest first; with `before`, those older than that number."""
    given = {"tenant": tenant, "webhook": webhook, "state": state, "event": event}
    asked = {name: value for name, value in given.items() if value is not None}
    clauses = [f"{name} = :{name}" for name in asked]
    if before is not None:
        clauses.append("id < :before")
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    rows = await db.query(
        f"SELECT * FROM outbox{where} ORDER BY id DESC LIMIT :limit",  # noqa: S608
        {**asked, **({} if before is None else {"before": before}), "limit": limit},
    )
    return [Delivery(**row) for row in rows]


async def sweep(db: Database, *, finished_before: float) -> int:
    """Delete what was delivered or given up before a time; answer how many."""
    return await db.execute(
        "DELETE FROM outbox WHERE state <> 'pending' AND finished < :time",
        {"time": finished_before},
        quiet=True,
    )


async def _settle(db: Database, delivery: Delivery, change: str, values: dict[str, Any]) -> bool:
    changed = await db.execute(
        f"UPDATE outbox SET {change} WHERE tenant = :tenant AND id = :id AND state = 'pending'"  # noqa: S608
        " AND attempts = :attempts AND lease IS NOT NULL",
        {**values, "tenant": delivery.tenant, "id": delivery.id, "attempts": delivery.attempts},
        quiet=True,
    )
    return changed == 1
