"""What stands in the way of a run that is to start."""

from __future__ import annotations

import pytest

from linkspan.store import accounts, runs, starts, tenants
from linkspan.store.database import Database
from tests.store.rows import account, run


@pytest.fixture
async def acme(db: Database) -> Database:
    """A database with a tenant that has ways to four products."""
    await tenants.add(db, "acme", now=1.0)
    bolt = {"site": "bolt"}
    await accounts.insert(db, account("acme", id="acc_shared"))
    await accounts.insert(db, account("acme", id="acc_second"))
    await accounts.insert(db, account("acme", id="acc_bo", subject="bo"))
    await accounts.insert(db, account("acme", id="acc_al", subject="al"))
    await accounts.insert(db, account("acme", id="acc_bolt", subject="bo", settings=bolt))
    await accounts.insert(db, account("acme", id="acc_other", subject="bo", connector="roundup"))
    return db


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("acc_shared", "acc_shared", True),
        ("acc_shared", None, True),
        (None, "acc_bo", True),
        ("acc_shared", "acc_bo", True),
        ("acc_bo", "acc_al", True),
        ("acc_shared", "acc_second", False),
        ("acc_bo", "acc_bolt", False),
        ("acc_bo", "acc_other", False),
        ("acc_bo", "acc_gone", False),
    ],
)
async def test_one_id_is_one_thing_where_accounts_lead_to_one_place(
    acme: Database, one: str | None, other: str | None, is_one: bool
) -> None:
    """A person's own account is another way to the same; of two shared ones each has its own HC-103."""
    first = run("acme", account=one)
    await starts.add(acme, first)
    added = await starts.add(acme, run("acme", id="run_2", account=other))
    assert added is not None
    assert added != "full"
    assert (added[0].id, added[1]) == (("run_1", False) if is_one else ("run_2", True))
    found = await starts.active_on(acme, "acme", first.recipe, first.entity_id, account=other)
    assert (found is not None and found.id == "run_1") is is_one
    assert await starts.is_one_place(acme, "acme", one, other) is is_one
    await runs.ask_to_stop(acme, "acme", "run_1", who="person:bo", now=2.0)


async def test_the_last_run_on_a_thing_is_of_the_account_where_it_is(acme: Database) -> None:
    """Two Alertmanagers call their groups the same: what lasts at one of them says nothing of the other's."""
    for name, there, created in (("run_1", "acc_second", 1.0), ("run_2", "acc_shared", 2.0)):
        of = run("acme", id=name, account=there, created=created, source="webhook:desk")
        await starts.add(acme, of)
    found = {
        there: await starts.last_by_events(acme, "acme", of.recipe, str(of.entity_id), account=there)
        for there in ("acc_shared", "acc_second", "acc_third")
    }
    assert {there: each and each.id for there, each in found.items()} == {
        "acc_shared": "run_2",
        "acc_second": "run_1",
        "acc_third": None,
    }
