"""Rows of programs that registered themselves."""

from __future__ import annotations

from linkspan.store import oauth_clients, tenants
from linkspan.store.database import Database
from tests.store.rows import client


async def test_a_registration_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field, and under no other tenant."""
    await tenants.add(db, "acme", 1.0)
    assert await oauth_clients.insert(db, client("acme"), most=1) == "stored"
    assert await oauth_clients.find(db, "acme", "cl") == client("acme")
    assert await oauth_clients.find(db, "bolt", "cl") is None


async def test_a_registration_needs_its_tenant(db: Database) -> None:
    """Nothing is stored for a tenant that is not there."""
    assert await oauth_clients.insert(db, client("acme"), most=1) == "no tenant"
    assert await oauth_clients.find(db, "acme", "cl") is None


async def test_a_tenant_has_only_so_many_and_what_is_over_makes_room(db: Database) -> None:
    """Full is full, until one of them ends; another tenant has room of its own."""
    await tenants.add(db, "acme", 1.0)
    await tenants.add(db, "bolt", 1.0)
    assert await oauth_clients.insert(db, client("acme", expires=5.0), most=1) == "stored"
    assert await oauth_clients.insert(db, client("acme", id="c2"), most=1) == "full"
    assert await oauth_clients.insert(db, client("bolt", id="c2"), most=1) == "stored"
    assert await oauth_clients.insert(db, client("acme", id="c2", created=5.0), most=1) == "stored"
    assert await oauth_clients.find(db, "acme", "cl") is None


async def test_a_registration_that_is_used_is_kept_and_never_for_less_long(db: Database) -> None:
    """Its end moves on only."""
    await tenants.add(db, "acme", 1.0)
    await oauth_clients.insert(db, client("acme"), most=1)
    await oauth_clients.keep_until(db, "acme", "cl", 50.0)
    await oauth_clients.keep_until(db, "acme", "cl", 20.0)
    await oauth_clients.keep_until(db, "bolt", "cl", 99.0)
    assert await oauth_clients.find(db, "acme", "cl") == client("acme", expires=50.0)
