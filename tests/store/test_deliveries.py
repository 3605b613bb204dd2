"""Rows of events that came in: kept once, taken by one, on both stores."""

from __future__ import annotations

from dataclasses import replace

from linkspan.store import accounts, deliveries, tenants
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, HookSecret
from tests.store.rows import account

ARRIVAL = Arrival(
    "acme", "arr_1", "desk", "acc_1", "ticket.assigned", "ticket", "HC-1", 1.0, "pending", 0, 1.0
)


async def test_an_event_is_kept_once_and_taken_by_one(db: Database, other: Database) -> None:
    """By whoever comes first; by another when the lease is over, and the first one then changes nothing."""
    await tenants.add(db, "acme", 1.0)
    assert await deliveries.add(db, [ARRIVAL, replace(ARRIVAL, id="arr_2"), ARRIVAL]) == 2
    assert await deliveries.add(db, [ARRIVAL]) == 0
    assert await deliveries.add(db, [replace(ARRIVAL, tenant="nobody")]) == 0
    first, _ = await deliveries.claim(db, now=2.0, lease=60.0, limit=10)
    assert await deliveries.claim(other, now=61.9, lease=60.0, limit=10) == []
    second, _ = await deliveries.claim(other, now=62.0, lease=60.0, limit=10)
    assert not await deliveries.settle(db, first, "done", "late", now=63.0)
    assert await deliveries.settle(other, second, "done", "run_1", now=63.0)
    assert await deliveries.sweep(db, finished_before=63.0) == 0
    assert await deliveries.sweep(db, finished_before=64.0) == 1


async def test_a_secret_is_taken_over_by_no_other_tenant(db: Database) -> None:
    """Though an account of theirs has the same id."""
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
        await accounts.insert(db, account(name))
    assert await deliveries.put_secret(db, HookSecret("acc_1", "acme", b"one", 1.0))
    assert not await deliveries.put_secret(db, HookSecret("acc_1", "bolt", b"two", 1.0))
    assert not await deliveries.put_secret(db, HookSecret("acc_2", "acme", b"two", 1.0))
    kept = await deliveries.secret(db, "acc_1")
    assert kept is not None
    assert (kept.tenant, kept.sealed) == ("acme", b"one")
