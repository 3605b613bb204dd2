"""What is listened to or looked at for an account, how far that has come, and who does it now.

Whoever takes a watch moves its epoch and holds it for a lease; what they note names the epoch, and is refused
when somebody else has taken it since. What was seen and how far it has come are stored together.

`everything`, `claim` and `renew` are asked by workers, for all tenants at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from linkspan.store import deliveries, tenants
from linkspan.store.database import Database, Row, Transaction
from linkspan.store.deliveries import Arrival

Key = tuple[str, str, str]
"""Tenant, account and name."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One watch or stream of one account. Times are epoch seconds."""

    tenant: str
    account: str
    name: str
    position: Mapping[str, Any] | None = field(repr=False)
    """How far it has come; None before it has begun."""
    epoch: int
    lease: float | None
    due: float
    failures: int
    """How often in a row it did not work."""
    told: str | None
    """Why not, for people."""

    @property
    def key(self) -> Key:
        """Which one it is."""
        return self.tenant, self.account, self.name


async def everything(db: Database) -> list[Watched]:
    """Answer all there are, of all tenants."""
    return [_watched(row) for row in await db.query("SELECT * FROM watches ORDER BY due, account, name")]


async def of_tenant(db: Database, tenant: str) -> list[Watched]:
    """Answer those of a tenant."""
    rows = await db.query(
        "SELECT * FROM watches WHERE tenant = :tenant ORDER BY account, name", {"tenant": tenant}
    )
    return [_watched(row) for row in rows]


async def add(db: Database, key: Key, *, now: float) -> bool:
    """Add one that begins now; False when it is there already, or the tenant is gone."""

    def work(tx: Transaction) -> int:
        if not tenants.known(tx, key[0]):
            return 0
        return tx.execute(
            "INSERT INTO watches (tenant, account, name, position, epoch, lease, due, failures, told) VALUES"
            " (:tenant, :account, :name, NULL, 0, NULL, :now, 0, NULL) ON CONFLICT DO NOTHING",
            {**_key(key), "now": now},
        )

    return await db.transaction(work, quiet=True) == 1


async def forget(db: Database, key: Key) -> None:
    """Forget one that nobody waits for any more: it would begin anew."""
    await db.execute(
        "DELETE FROM watches WHERE tenant = :tenant AND account = :account AND name = :name",
        _key(key),
        quiet=True,
    )


async def claim(db: Database, keys: Sequence[Key], *, now: float, lease: float) -> list[Watched]:
    """Take those of these that are due and that nobody holds."""

    def work(tx: Transaction) -> list[Row]:
        taken: list[Row] = []
        for key in sorted(keys):  # in one order, or two processes may wait for each other's
            taken += tx.query(
                "UPDATE watches SET epoch = epoch + 1, lease = :until WHERE tenant = :tenant"
                " AND account = :account AND name = :name AND due <= :now"
                " AND (lease IS NULL OR lease <= :now) RETURNING *",
                {**_key(key), "now": now, "until": now + lease},
            )
        return taken

    return [_watched(row) for row in await db.transaction(work, quiet=True)] if keys else []


async def renew(db: Database, watched: Watched, *, until: float) -> bool:
    """Hold it for longer; False when somebody else has taken it."""
    renewed = await db.execute(
        "UPDATE watches SET lease = :until WHERE tenant = :tenant AND account = :account AND name = :name"
        " AND epoch = :epoch",
        {**_key(watched.key), "epoch": watched.epoch, "until": until},
        quiet=True,
    )
    return renewed == 1


async def note(
    db: Database,
    watched: Watched,
    position: Mapping[str, Any] | None,
    arrivals: Sequence[Arrival],
    *,
    quiet: Mapping[str, float],
    lease: float | None,
    due: float,
) -> int | None:
    """Keep what was seen, with how far it has come; None (and nothing is kept) when somebody else has it.

    `lease` None lets it go. Answers how many events are new.
    """

    def work(tx: Transaction) -> int | None:
        moved = tx.execute(
            "UPDATE watches SET position = :position, lease = :lease, due = :due, failures = 0, told = NULL"
            " WHERE tenant = :tenant AND account = :account AND name = :name AND epoch = :epoch",
            {
                **_key(watched.key),
                "epoch": watched.epoch,
                "position": None if position is None else json.dumps(dict(position), separators=(",", ":")),
                "lease": lease,
                "due": due,
            },
        )
        return deliveries.added(tx, arrivals, quiet) if moved else None

    return await db.transaction(work, quiet=True)


async def failed(db: Database, watched: Watched, told: str, *, due: float) -> bool:
    """Note that it did not work, and let it go; how far it has come stays."""
    noted = await db.execute(
        "UPDATE watches SET lease = NULL, due = :due, failures = failures + 1, told = :told"
        " WHERE tenant = :tenant AND account = :account AND name = :name AND epoch = :epoch",
        {**_key(watched.key), "epoch": watched.epoch, "due": due, "told": told},
        quiet=True,
    )
    return noted == 1


def _key(key: Key) -> dict[str, str]:
    return dict(zip(("tenant", "account", "name"), key, strict=True))


def _watched(row: Row) -> Watched:
    position = row["position"]
    return Watched(**{**row, "position": None if position is None else json.loads(position)})
