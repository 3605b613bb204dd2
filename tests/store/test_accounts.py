"""Rows of accounts."""

from __future__ import annotations

from dataclasses import replace

from linkspan.store import accounts, tenants
from linkspan.store.database import Database
from tests.store.engines import on_sqlite
from tests.store.rows import account


async def test_an_account_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field, bytes and empty ones included."""
    await tenants.add(db, "acme", 1.0)
    stored = account("acme", subject="bo", sealed=bytes(range(256)), verified=None, settings={})
    assert await accounts.insert(db, stored)
    assert await accounts.find(db, "acme", "acc_1") == stored


async def test_an_account_needs_its_tenant(db: Database) -> None:
    """Nothing is stored for a tenant that is not there."""
    assert not await accounts.insert(db, account("acme"))


async def test_nobody_reaches_another_tenants_account(db: Database) -> None:
    """Two tenants may have accounts of the same id; every function acts on the one of its tenant."""
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
        await accounts.insert(db, account(name, sealed=name.encode()))
    bolts = account("bolt", sealed=b"bolt")
    await accounts.replace(db, account("acme", sealed=b"new"))
    await accounts.set_error(db, "acme", "acc_1", "a 403")
    await accounts.set_forbidden(db, "acme", "acc_1", "a 403", {"resource": "ticket"})
    await accounts.verified(db, account("acme", version=1, verified=9.0), quiet=True)
    leased = await accounts.take_lease(db, account("acme", version=1), owner="me", now=1.0, until=9.0)
    assert leased is not None
    await accounts.release_lease(db, leased, owner="me", retry_after=None)
    assert await accounts.claim(db, leased, now=9.0, before=1.0)
    assert await accounts.renew(db, replace(leased, sealed=b"newer"))
    await accounts.set_state(db, "acme", "acc_1", "needs_reauth", "a 401", version=2, now=9.0)
    assert await accounts.of_connector(db, "bolt", "desk") == [bolts]
    assert await accounts.delete(db, "acme", "acc_1", now=9.0)
    assert await accounts.of_tenant(db, "acme") == []
    assert await accounts.of_tenant(db, "bolt") == [bolts]


async def test_a_state_belongs_to_the_secrets_it_was_found_with(db: Database) -> None:
    """What is found out about secrets that were replaced meanwhile is not written over the new ones."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    new = await accounts.replace(db, account("acme", sealed=b"new"))
    assert new == account("acme", sealed=b"new", version=1)
    assert not await accounts.set_state(db, "acme", "acc_1", "needs_reauth", "a 401", version=0, now=9.0)
    assert not await accounts.verified(db, account("acme", version=0, verified=9.0), quiet=True)
    assert not await accounts.renew(db, account("acme", version=0, sealed=b"successor of the old one"))
    assert await accounts.find(db, "acme", "acc_1") == new


async def test_one_renews_while_others_wait(db: Database, other: Database) -> None:
    """Until the lease is over, given back, or used: then the successor is there, of another version."""
    await tenants.add(db, "acme", 1.0)
    old = account("acme", expires=10.0)
    await accounts.insert(db, old)
    leased = await accounts.take_lease(db, old, owner="me", now=10.0, until=40.0)
    assert leased == replace(old, lease_owner="me", lease_until=40.0)
    assert await accounts.take_lease(other, old, owner="you", now=39.0, until=69.0) is None
    assert await accounts.take_lease(other, old, owner="you", now=40.0, until=70.0)
    await accounts.release_lease(db, old, owner="me", retry_after=None)
    assert await accounts.take_lease(db, old, owner="me", now=50.0, until=80.0) is None
    await accounts.release_lease(other, old, owner="you", retry_after=60.0)
    assert await accounts.take_lease(db, old, owner="me", now=59.0, until=80.0) is None
    leased = await accounts.take_lease(db, old, owner="me", now=60.0, until=90.0)
    assert leased
    new = await accounts.renew(db, replace(leased, sealed=b"new", expires=99.0, renewed=60.0, scopes=("a",)))
    assert new == replace(old, sealed=b"new", expires=99.0, renewed=60.0, scopes=("a",), version=1)
    assert await accounts.take_lease(other, old, owner="you", now=200.0, until=230.0) is None
    assert await accounts.take_lease(other, new, owner="you", now=200.0, until=230.0)


async def test_linking_again_waits_for_no_lease(db: Database) -> None:
    """Who links the account again is not held back, and what was being renewed is not written over it."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    leased = await accounts.take_lease(db, account("acme"), owner="me", now=1.0, until=40.0)
    assert leased
    assert await accounts.replace(db, account("acme", sealed=b"linked again")) == account(
        "acme", sealed=b"linked again", version=1
    )
    assert await accounts.renew(db, replace(leased, sealed=b"successor")) is None


async def test_an_account_that_turned_out_to_be_another_goes(db: Database) -> None:
    """In the moment in which the other takes its place."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    await accounts.insert(db, account("acme", id="acc_2", state="connecting"))
    stored = await accounts.replace(db, account("acme", sealed=b"new"), instead_of="acc_2")
    assert await accounts.of_tenant(db, "acme") == [stored]
    assert await accounts.replace(db, account("acme", id="acc_2")) is None


async def test_one_looks_after_an_account_a_day(db: Database, other: Database) -> None:
    """However many replicas there are."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    assert await accounts.claim(db, account("acme"), now=100.0, before=50.0)
    assert not await accounts.claim(other, account("acme"), now=100.0, before=50.0)
    assert await accounts.claim(other, account("acme"), now=200.0, before=150.0)


@on_sqlite
async def test_a_note_throws_no_cache_away(db: Database) -> None:
    """The last error is for people; what is cached of the account stays good."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme"))
    before = db.change_mark()
    await accounts.set_error(db, "acme", "acc_1", "a 403")
    assert db.change_mark() == before
    assert await accounts.find(db, "acme", "acc_1") == account("acme", last_error="a 403")


def test_a_sealed_value_is_not_shown() -> None:
    """Not even sealed does a secret appear where a row is printed."""
    assert "sealed" not in repr(account("acme"))
