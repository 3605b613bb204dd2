"""Rows of the outbox: what is told of an account, and who delivers it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from linkspan.store import accounts, outbox, tenants, webhooks
from linkspan.store.accounts import State
from linkspan.store.database import Database, StoreFault
from linkspan.store.outbox import EVENTS, Delivery, Event, events_of
from tests.store.engines import Engine
from tests.store.processes import run_together
from tests.store.rows import account, webhook

ALL: Any = {"events": ()}


def named(*words: str) -> list[str]:
    """Answer events by their last words."""
    return [f"integrated_account:{word}" for word in words]


async def told(db: Database, **asked: Any) -> list[str]:
    """Answer which events wait or waited, oldest first."""
    return [delivery.event for delivery in reversed(await outbox.listed(db, **asked))]


@pytest.fixture
async def heard(db: Database) -> Database:
    """Two tenants, and a webhook that hears everything of one of them."""
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
    await webhooks.insert(db, webhook("acme", **ALL))
    return db


@pytest.mark.parametrize(
    ("before", "after", "relinked", "events"),
    [
        (None, "active", False, ["created", "active"]),
        (None, "connecting", False, ["created"]),
        ("connecting", "active", True, ["active"]),
        ("connecting", "active", False, ["active"]),
        ("connecting", "validation_error", False, ["validation_error"]),
        ("connecting", "post_install_error", False, ["post_install_error"]),
        ("active", "active", True, ["updated", "active"]),
        ("needs_reauth", "active", True, ["updated", "active"]),
        ("active", "active", False, []),
        ("needs_reauth", "needs_reauth", False, []),
        ("active", "needs_reauth", False, ["authentication_error"]),
        ("needs_reauth", "active", False, ["reactivated"]),
        ("validation_error", "active", False, ["reactivated"]),
        ("active", None, False, ["deleted"]),
        ("connecting", None, False, ["deleted"]),
    ],
)
def test_what_is_told_of_a_change(
    before: State | None, after: State | None, relinked: bool, events: list[str]
) -> None:
    """Each change of state has its events, and a state that stays is no news."""
    old = account("acme", state=before) if before else None
    new = account("acme", state=after) if after else None
    assert list(events_of(old, new, relinked=relinked)) == named(*events)


async def test_every_change_of_an_account_is_told(heard: Database) -> None:
    """Linked, refused, found good, linked again, deleted: in this order, with the account as it was then."""
    one = account("acme")
    await accounts.insert(heard, one)
    await accounts.set_state(heard, "acme", "acc_1", "needs_reauth", "a 401", version=0, now=2.0)
    await accounts.verified(heard, account("acme", updated=3.0), quiet=False)
    await accounts.verified(heard, account("acme", updated=4.0), quiet=True)
    await accounts.set_error(heard, "acme", "acc_1", "a 403")
    await accounts.replace(heard, account("acme", updated=5.0))
    assert await accounts.delete(heard, "acme", "acc_1", now=6.0)
    found = list(reversed(await outbox.listed(heard)))
    assert [(delivery.event, delivery.created) for delivery in found] == list(
        zip(
            named("created", "active", "authentication_error", "reactivated", "updated", "active", "deleted"),
            [1.0, 1.0, 2.0, 3.0, 5.0, 5.0, 6.0],
            strict=True,
        )
    )
    refused = json.loads(found[2].payload)
    assert (refused["status"], refused["last_error"]) == ("needs_reauth", "a 401")
    assert refused["tenant_id"] == "acme"
    assert refused["integration"] == {"name": "desk"}
    assert refused["updated_at"] == "1970-01-01T00:00:02.000Z"
    assert json.loads(found[-1].payload)["id"] == "acc_1"


async def test_a_change_that_is_not_made_is_not_told(heard: Database) -> None:
    """Secrets that were replaced meanwhile, an account that is not there, a tenant that is not there."""
    await accounts.insert(heard, account("acme", version=0))
    before = await told(heard)
    assert not await accounts.set_state(heard, "acme", "acc_1", "needs_reauth", "x", version=7, now=2.0)
    assert not await accounts.delete(heard, "acme", "acc_2", now=2.0)
    assert not await accounts.delete(heard, "bolt", "acc_1", now=2.0)
    assert await accounts.replace(heard, account("acme", id="acc_2")) is None
    assert not await accounts.insert(heard, account("nobody"))
    assert await told(heard) == before


async def test_an_account_that_turns_out_to_be_another_is_told_as_deleted(heard: Database) -> None:
    """It goes in the moment in which the other one is linked again."""
    await accounts.insert(heard, account("acme"))
    await accounts.insert(heard, account("acme", id="acc_2", state="connecting"))
    await accounts.replace(heard, account("acme"), instead_of="acc_2")
    assert (await told(heard))[3:] == named("updated", "active", "deleted")


async def test_the_change_and_its_event_are_kept_together(heard: Database, engine: Engine) -> None:
    """When the event cannot be written, the account is not changed either."""
    await accounts.insert(heard, account("acme"))
    await engine.fill_disk(heard)
    long = "x" * 200_000
    with pytest.raises(StoreFault):
        await accounts.set_state(heard, "acme", "acc_1", "needs_reauth", long, version=0, now=2.0)
    await engine.free_disk(heard)
    found = await accounts.find(heard, "acme", "acc_1")
    assert found is not None
    assert found.state == "active"
    assert await told(heard) == named("created", "active")


async def test_who_is_told_what(heard: Database) -> None:
    """A webhook hears of its tenant, one without a tenant of all; only what it asked for; not while off."""
    await webhooks.insert(heard, webhook(None, events=tuple(named("deleted", "created"))))
    await webhooks.insert(heard, webhook("bolt", **ALL, active=False))
    for name in ("acme", "bolt"):
        await accounts.insert(heard, account(name))
    heard_of = Counter((delivery.webhook, delivery.tenant) for delivery in await outbox.listed(heard))
    assert heard_of == {("wh_acme", "acme"): 2, ("wh_None", "acme"): 1, ("wh_None", "bolt"): 1}
    assert await told(heard, webhook="wh_None") == named("created", "created")


async def test_nothing_is_kept_when_nobody_hears(db: Database) -> None:
    """No webhook, no rows."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    assert await outbox.listed(db) == []
    assert await outbox.next_due(db) is None


async def test_no_secret_and_no_sealed_value_is_in_a_payload(heard: Database) -> None:
    """Not even sealed."""
    await accounts.insert(heard, account("acme", sealed=b"sealed-already"))
    assert all("sealed" not in row.payload for row in await outbox.listed(heard))


async def one(db: Database) -> Delivery:
    """Let one delivery wait."""
    await tenants.add(db, "acme", 1.0)
    await webhooks.insert(db, webhook("acme"))
    await accounts.insert(db, account("acme"))
    (found,) = await outbox.listed(db)
    return found


async def test_a_delivery_is_taken_once_until_its_lease_ends(db: Database, other: Database) -> None:
    """Two replicas ask: one gets it. When that one dies, the other gets it after the lease, as the same."""
    waiting = await one(db)
    assert await outbox.next_due(other) == 1.0
    (first,) = await outbox.claim(db, now=2.0, lease=60.0, limit=10)
    assert await outbox.claim(other, now=61.9, lease=60.0, limit=10) == []
    assert await outbox.next_due(other) == 62.0
    (second,) = await outbox.claim(other, now=62.0, lease=60.0, limit=10)
    assert first.public_id == second.public_id == waiting.public_id
    assert (first.attempts, second.attempts) == (1, 2)
    assert not await outbox.delivered(db, first, status=200, now=63.0), "somebody else has it"
    assert await outbox.delivered(other, second, status=200, now=63.0)
    assert await outbox.claim(db, now=1e9, lease=60.0, limit=10) == []


async def test_many_processes_take_each_delivery_once(db: Database, engine: Engine) -> None:
    """Eight of them ask for ten at a time until nothing is left."""
    await tenants.add(db, "acme", 1.0)
    await webhooks.insert(db, webhook("acme"))
    for number in range(60):
        await accounts.insert(db, account("acme", id=f"acc_{number}"))
    code = """
from linkspan.store import outbox

async def main(place, number):
    db = open_database(place)
    mine = []
    while taken := await outbox.claim(db, now=2.0, lease=60.0, limit=10):
        mine += [delivery.id for delivery in taken]
    await db.aclose()
    return mine
"""
    taken = [each for answer in run_together(code, engine.place, count=8) for each in json.loads(answer)]
    assert len(taken) == len(set(taken)) == 60


async def test_a_failure_waits_and_then_is_a_dead_letter(db: Database) -> None:
    """Until its time nobody gets it; a dead letter nobody ever, until it is replayed."""
    await one(db)
    (first,) = await outbox.claim(db, now=2.0, lease=60.0, limit=1)
    await outbox.failed(db, first, status=500, error="answered 500", due=100.0, now=3.0)
    assert await outbox.claim(db, now=99.0, lease=60.0, limit=1) == []
    (second,) = await outbox.claim(db, now=100.0, lease=60.0, limit=1)
    await outbox.failed(db, second, status=None, error="no answer", due=None, now=101.0)
    assert await outbox.next_due(db) is None
    (dead,) = await outbox.listed(db, state="dead")
    assert (dead.last_error, dead.finished, dead.attempts) == ("no answer", 101.0, 2)
    assert await outbox.replay(db, "acme", dead.id, now=200.0)
    (again,) = await outbox.claim(db, now=200.0, lease=60.0, limit=1)
    assert (again.public_id, again.attempts, again.since) == (first.public_id, 3, 2)


async def test_what_is_given_back_was_no_attempt(db: Database) -> None:
    """A server that stops does not use up the attempts."""
    await one(db)
    (first,) = await outbox.claim(db, now=2.0, lease=60.0, limit=1)
    await outbox.release(db, first)
    (again,) = await outbox.claim(db, now=2.0, lease=60.0, limit=1)
    assert again.attempts - again.since == 1


async def test_an_id_is_of_one_delivery(db: Database) -> None:
    """A made-up one finds nothing, and a number that comes again after a restore has another id."""
    found = await one(db)
    assert await outbox.find(db, found.public_id) == found
    head, number, tail = found.public_id.split("_")
    assert await outbox.find(db, f"{head}_{number}_{'a' * len(tail)}") is None
    assert await outbox.find(db, f"{head}_{number}9_{tail}") is None
    assert await outbox.find(db, "dlv_1") is None
    await db.execute("UPDATE outbox SET created = 2.0")
    assert await outbox.find(db, found.public_id) is None


async def test_another_tenants_delivery_is_not_replayed(db: Database) -> None:
    """Its number is not enough."""
    found = await one(db)
    await tenants.add(db, "bolt", 1.0)
    assert not await outbox.replay(db, "bolt", found.id, now=2.0)


async def test_old_ones_are_swept_away(db: Database) -> None:
    """What is finished goes after its time; what waits stays."""
    await one(db)
    await accounts.insert(db, account("acme", id="acc_2"))
    first, _second = await outbox.claim(db, now=2.0, lease=60.0, limit=2)
    await outbox.delivered(db, first, status=200, now=3.0)
    assert await outbox.sweep(db, finished_before=3.0) == 0
    assert await outbox.sweep(db, finished_before=4.0) == 1
    assert [row.state for row in await outbox.listed(db)] == ["pending"]


def test_the_events_are_those_that_are_promised() -> None:
    """Truto's names."""
    promised: list[Event] = [
        "integrated_account:created",
        "integrated_account:active",
        "integrated_account:updated",
        "integrated_account:reactivated",
        "integrated_account:authentication_error",
        "integrated_account:validation_error",
        "integrated_account:deleted",
    ]
    assert set(promised) <= set(EVENTS)
