"""What products told us, a row for each event and recipe, and the sealed secrets that deliveries prove.

Nothing of a delivery is kept but what it is about: the thing is read anew when the event is worked. A row is
taken with a lease, so that of several workers one works it, and another one after it when that has died.

A secret belongs to an account, or (without a tenant) to a connector whose product knows one address for all.
`secret`, `claim` and `sweep` are asked by the process itself; every other query takes a tenant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction

ArrivalState = Literal["pending", "done", "ignored", "failed"]
Does = Literal["start", "mention", "stop", "follow", "follow_end"]
"""`follow_end` is a `follow` that was our own doing: only whether the pull request is over counts then.
A `mention` starts what a comment asks for: it waits for no quiet, and no later event stands for it."""
OVERTAKEN: Final = "A later event stands for it."
LONGEST_ID: Final = 2000
"""Bytes of a thing's id: beside the other names, less than a row of PostgreSQL's index holds (2704)."""
PATIENCE: Final = 10.0
"""Times the quiet that an event waits for, after which it waits no longer."""


@dataclass(frozen=True, slots=True)
class HookSecret:
    """What deliveries are proved with: of an account, or without a tenant of a connector."""

    id: str
    tenant: str | None
    sealed: bytes = field(repr=False)
    created: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event of one delivery, for one account and one recipe. Times are epoch seconds."""

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
    recipe: str = ""
    does: Does = "start"
    """What it does to the recipe's run on the thing."""
    failures: int = 0
    """How often the product did not answer when it was worked."""
    first: float | None = None
    """When the first of those came that it stands for: from then on it waits for quiet."""
    lease: float | None = None
    finished: float | None = None
    outcome: str | None = None
    """What came of it, for people."""
    comment: str | None = None
    """The id of the comment that it tells of."""
    waits_for: str | None = None
    """The run that is to end before it is looked at again."""


_COLUMNS: Final = tuple(each.name for each in fields(Arrival))


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


async def add(db: Database, arrivals: Sequence[Arrival], *, quiet: Mapping[str, float] | None = None) -> int:
    """Keep events, all or none; answers how many of them are new.

    `quiet`: the seconds of quiet that a recipe waits for. Of those that wait for the same one on the same
    thing only the last is worked, and how long it waits is counted from the first.
    """
    return await db.transaction(lambda tx: added(tx, arrivals, quiet or {}), quiet=True)


def added(tx: Transaction, arrivals: Sequence[Arrival], quiet: Mapping[str, float]) -> int:
    """Do the same inside a transaction."""
    there = {tenant for tenant in {each.tenant for each in arrivals} if tenants.known(tx, tenant)}
    names = ", ".join(_COLUMNS)
    values = ", ".join(f":{name}" for name in _COLUMNS)
    count = 0
    for arrival in arrivals:
        if arrival.tenant not in there:
            continue
        new = tx.execute(
            f"INSERT INTO arrivals ({names}) VALUES ({values}) ON CONFLICT (tenant, id) DO NOTHING",  # noqa: S608
            asdict(arrival),
        )
        count += new
        wait = quiet.get(arrival.recipe)
        if new and wait is not None and arrival.state == "pending" and arrival.does == "start":
            _overtake(tx, arrival, wait)
    return count


def _overtake(tx: Transaction, arrival: Arrival, wait: float) -> None:
    """Let a new event stand for those that wait, and wait itself."""
    now = arrival.received
    older = tx.query(
        "UPDATE arrivals SET state = 'ignored', outcome = :outcome, finished = :now"
        " WHERE tenant = :tenant AND recipe = :recipe AND entity_id = :entity_id AND account = :account"
        " AND state = 'pending' AND does = 'start' AND id <> :id AND (lease IS NULL OR lease <= :now)"
        " RETURNING received, first",
        {**_thing(arrival), "id": arrival.id, "now": now, "outcome": OVERTAKEN},
    )
    first = min([now, *(row["received"] if row["first"] is None else row["first"] for row in older)])
    tx.execute(
        "UPDATE arrivals SET first = :first, due = :due WHERE tenant = :tenant AND id = :id",
        {
            "tenant": arrival.tenant,
            "id": arrival.id,
            "first": first,
            "due": min(now + wait, first + PATIENCE * wait),
        },
    )


async def is_overtaken(db: Database, arrival: Arrival) -> bool:
    """Tell whether a later event waits for the same recipe on the same thing."""
    rows = await db.query(
        "SELECT 1 FROM arrivals WHERE tenant = :tenant AND recipe = :recipe AND entity_id = :entity_id"
        " AND account = :account AND state = 'pending' AND does = 'start'"
        " AND (received, id) > (:received, :id) LIMIT 1",
        {**_thing(arrival), "received": arrival.received, "id": arrival.id},
    )
    return bool(rows)


async def stopped_since(db: Database, arrival: Arrival, since: float) -> bool:
    """Tell whether an event that ends runs of the recipe on the thing came after a time."""
    rows = await db.query(
        "SELECT 1 FROM arrivals WHERE tenant = :tenant AND recipe = :recipe AND entity_id = :entity_id"
        " AND account = :account AND does = 'stop' AND received > :since LIMIT 1",
        {**_thing(arrival), "since": since},
    )
    return bool(rows)


async def drop_waiting(db: Database, arrival: Arrival, outcome: str, *, now: float) -> tuple[int, int]:
    """Let nothing come of what waits to start a recipe on a thing; what came after this event stays.

    Answers how many that were, and how many somebody is working at this moment.
    """
    which = (
        " WHERE tenant = :tenant AND recipe = :recipe AND entity_id = :entity_id AND account = :account"
        " AND state = 'pending' AND does IN ('start', 'mention') AND received <= :received"
    )
    values = {**_thing(arrival), "received": arrival.received, "outcome": outcome, "now": now}

    def work(tx: Transaction) -> tuple[int, int]:
        dropped = tx.execute(
            f"UPDATE arrivals SET state = 'ignored', outcome = :outcome, finished = :now{which}"  # noqa: S608
            " AND (lease IS NULL OR lease <= :now)",
            values,
        )
        (row,) = tx.query(f"SELECT count(*) AS n FROM arrivals{which}", values)  # noqa: S608
        return dropped, row["n"]

    return await db.transaction(work, quiet=True)


def _thing(arrival: Arrival) -> dict[str, str]:
    return {
        "tenant": arrival.tenant,
        "recipe": arrival.recipe,
        "entity_id": arrival.entity_id,
        "account": arrival.account,
    }


async def claim(db: Database, *, now: float, lease: float, limit: int) -> list[Arrival]:
    """Take up to `limit` events that are due: nobody else is given them for `lease` seconds.

    One that waits for a run is due when that has ended, in days perhaps: nothing is read for it meanwhile.
    """
    rows = await db.query(
        "SELECT tenant, id, attempts FROM arrivals WHERE state = 'pending' AND due <= :now"
        " AND (lease IS NULL OR lease <= :now) AND (waits_for IS NULL OR NOT EXISTS (SELECT 1 FROM runs"
        " WHERE runs.tenant = arrivals.tenant AND runs.id = arrivals.waits_for AND runs.finished IS NULL))"
        " ORDER BY due, id LIMIT :limit",
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
    db: Database,
    arrival: Arrival,
    state: ArrivalState,
    outcome: str,
    *,
    now: float,
    due: float | None = None,
    failures: int = 0,
    waits_for: str | None = None,
) -> bool:
    """Note what came of an event. False when somebody else has taken it.

    `due`: it is tried again then, and not before the run `waits_for` has ended.
    """
    changed = await db.execute(
        "UPDATE arrivals SET state = :state, outcome = :outcome, lease = NULL, finished = :finished,"
        " due = :due, failures = :failures, waits_for = :waits_for"
        " WHERE tenant = :tenant AND id = :id AND attempts = :attempts AND state = 'pending'",
        {
            "tenant": arrival.tenant,
            "id": arrival.id,
            "attempts": arrival.attempts,
            "state": state,
            "outcome": outcome,
            "finished": None if state == "pending" else now,
            "due": arrival.due if due is None else due,
            "failures": failures,
            "waits_for": waits_for,
        },
        quiet=True,
    )
    return changed == 1


async def again(db: Database, tenant: str, identified: str, *, now: float) -> Arrival | None:
    """Have an event worked once more from the beginning; None when there is none."""

    def work(tx: Transaction) -> list[Row]:
        return tx.query(
            "UPDATE arrivals SET state = 'pending', due = :now, lease = NULL, finished = NULL,"
            " outcome = NULL, failures = 0, waits_for = NULL WHERE tenant = :tenant AND id = :id RETURNING *",
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
    """Forget what is over and older than that.

    What told that a thing is over stays as long as a run from before does: `stopped_since` is asked about it.
    """
    return await db.execute(
        "DELETE FROM arrivals WHERE state <> 'pending' AND finished < :before AND NOT (does = 'stop'"
        " AND EXISTS (SELECT 1 FROM runs WHERE runs.tenant = arrivals.tenant"
        " AND runs.recipe = arrivals.recipe AND runs.entity_id = arrivals.entity_id"
        " AND runs.created < arrivals.received))",
        {"before": finished_before},
        quiet=True,
    )
