"""Rows of accounts."""

from __future__ import annotations

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
    await accounts.verified(db, account("acme", sealed=b"new", verified=9.0), quiet=True)
    await accounts.set_state(db, "acme", "acc_1", "needs_reauth", "a 401", sealed=b"new", now=9.0)
    assert await accounts.of_connector(db, "bolt", "desk") == [bolts]
    assert await accounts.delete(db, "acme", "acc_1")
    assert await accounts.of_tenant(db, "acme") == []
    assert await accounts.of_tenant(db, "bolt") == [bolts]


async def test_a_state_belongs_to_the_secrets_it_was_found_with(db: Database) -> None:
    """What is found out about secrets that were replaced meanwhile is not written over the new ones."""
    await tenants.add(db, "acme", 1.0)
    await accounts.insert(db, account("acme", sealed=b"new"))
    assert not await accounts.set_state(db, "acme", "acc_1", "needs_reauth", "a 401", sealed=b"old", now=9.0)
    assert not await accounts.verified(db, account("acme", sealed=b"old", verified=9.0), quiet=True)
    assert await accounts.find(db, "acme", "acc_1") == account("acme", sealed=b"new")


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
