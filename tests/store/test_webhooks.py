"""Rows of webhooks."""

from __future__ import annotations

from dataclasses import replace

from linkspan.store import accounts, outbox, tenants, webhooks
from linkspan.store.database import Database
from tests.store.rows import account, webhook


async def test_a_webhook_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field, for one tenant and for all."""
    await tenants.add(db, "acme", 1.0)
    for stored in (
        webhook("acme", sealed=bytes(range(256)), events=(), truto_signature=True),
        webhook(None, active=False),
    ):
        assert await webhooks.insert(db, stored)
        assert await webhooks.find(db, stored.id) == stored


async def test_a_webhook_needs_its_tenant(db: Database) -> None:
    """Nothing is stored for a tenant that is not there."""
    assert not await webhooks.insert(db, webhook("acme"))
    assert await webhooks.find(db, "wh_acme") is None


async def test_they_are_listed_oldest_first_and_by_pages(db: Database) -> None:
    """Those of one moment by id; those of a tenant alone."""
    await tenants.add(db, "acme", 1.0)
    stored = [
        webhook(None, id="wh_b", created=1.0),
        webhook(None, id="wh_c", created=1.0),
        webhook("acme", id="wh_a", created=2.0),
    ]
    for each in reversed(stored):
        await webhooks.insert(db, each)
    assert await webhooks.listed(db) == stored
    assert await webhooks.listed(db, limit=2) == stored[:2]
    assert await webhooks.listed(db, after=(1.0, "wh_b"), limit=2) == stored[1:]
    assert await webhooks.listed(db, tenant="acme") == stored[2:]


async def test_a_change_keeps_tenant_secret_and_creation(db: Database) -> None:
    """What receivers rely on does not move by the way."""
    await webhooks.insert(db, webhook(None))
    changed = webhook(
        None, url="https://new.example", events=(), truto_signature=True, active=False, updated=5.0
    )
    assert await webhooks.replace(db, replace(changed, tenant="bolt", sealed=b"x", created=9.0))
    assert await webhooks.find(db, "wh_None") == changed
    assert not await webhooks.replace(db, webhook(None, id="wh_other"))


async def test_what_waits_goes_with_its_webhook(db: Database) -> None:
    """And with no other."""
    await tenants.add(db, "acme", 1.0)
    await webhooks.insert(db, webhook("acme"))
    await webhooks.insert(db, webhook(None))
    await accounts.insert(db, account("acme"))
    assert await webhooks.delete(db, "wh_acme") == 1
    assert [delivery.webhook for delivery in await outbox.listed(db)] == ["wh_None"]
    assert await webhooks.delete(db, "wh_acme") is None
