"""Rows of events that came in: kept once, taken by one, on both stores."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from string import ascii_letters

from linkspan.store import accounts, deliveries, starts, tenants
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, HookSecret
from tests.store.rows import account, run

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


async def test_an_event_that_waits_for_a_run_is_taken_when_that_has_ended(db: Database) -> None:
    """And one whose run is not there any more; worked once more, it waits for none."""
    await tenants.add(db, "acme", 1.0)
    for number in range(2):
        await starts.add(db, run("acme", id=f"run_{number}", entity_id=f"HC-{number}"))
    await deliveries.add(db, [replace(ARRIVAL, id=f"arr_{number}") for number in range(3)])
    for each in await deliveries.claim(db, now=2.0, lease=60.0, limit=10):
        waits_for = each.id.replace("arr", "run")
        assert await deliveries.settle(db, each, "pending", "waits", now=2.0, due=4.0, waits_for=waits_for)

    async def taken(now: float) -> list[str]:
        return sorted(each.id for each in await deliveries.claim(db, now=now, lease=60.0, limit=10))

    assert await taken(3.9) == []
    assert await taken(4.0) == ["arr_2"]
    await db.execute("UPDATE runs SET state = 'succeeded', finished = 5 WHERE id = 'run_1'")
    assert await taken(5.0) == ["arr_1"]
    assert await deliveries.again(db, "acme", "arr_0", now=6.0) is not None
    assert await taken(6.0) == ["arr_0"]


async def test_that_a_thing_was_over_is_known_as_long_as_its_run(db: Database) -> None:
    """However old: what told it is forgotten with the last run from before, other events earlier."""
    await tenants.add(db, "acme", 1.0)
    await starts.add(db, run("acme", recipe="fix", entity_id="HC-1", created=2.0))
    over = replace(ARRIVAL, recipe="fix", does="stop", state="done", received=3.0, finished=3.0)
    others = {"before": {"received": 2.0}, "elsewhere": {"entity_id": "HC-2"}, "start": {"does": "start"}}
    more = [replace(over, id=name, **changes) for name, changes in others.items()]  # type: ignore[arg-type]
    assert await deliveries.add(db, [over, *more]) == 4
    assert await deliveries.sweep(db, finished_before=10.0) == 3
    assert await deliveries.stopped_since(db, ARRIVAL, 2.0) is False
    assert await deliveries.stopped_since(db, over, 2.0)
    await db.execute("DELETE FROM runs")
    assert await deliveries.sweep(db, finished_before=10.0) == 1


async def test_the_longest_id_is_kept_whole(db: Database) -> None:
    """Of an event and of a run; made of what no index can press together."""
    await tenants.add(db, "acme", 1.0)
    random = Random(7)
    longest = "".join(random.choice(ascii_letters) for _ in range(deliveries.LONGEST_ID))
    assert await deliveries.add(db, [replace(ARRIVAL, entity_id=longest)]) == 1
    (kept,) = await deliveries.claim(db, now=2.0, lease=60.0, limit=1)
    added = await starts.add(db, run("acme", entity_id=kept.entity_id))
    assert isinstance(added, tuple)
    assert added[0].entity_id == longest


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
