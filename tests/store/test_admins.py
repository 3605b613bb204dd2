"""Rows of admin tokens."""

from __future__ import annotations

from linkspan.store import admins, tenants, tokens
from linkspan.store.admins import AdminToken
from linkspan.store.database import Database
from tests.store.rows import token

ADMIN = AdminToken("abcabcabcabc", bytes(range(32)), "anna", 1.0, expires=9.0)


async def test_an_admin_token_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field; its use and its end are noted."""
    await admins.insert(db, ADMIN)
    assert await admins.find(db, ADMIN.id) == ADMIN
    await admins.touch(db, ADMIN.id, 5.0)
    assert await admins.revoke(db, ADMIN.id, 6.0)
    assert not await admins.revoke(db, ADMIN.id, 7.0)
    (found,) = await admins.everyone(db)
    assert (found.last_used, found.revoked) == (5.0, 6.0)


async def test_tokens_of_tenants_and_of_admins_never_meet(db: Database) -> None:
    """Neither is found, listed, used or revoked as the other."""
    await tenants.add(db, "acme", 1.0)
    await tokens.insert(db, token("acme"))
    await admins.insert(db, ADMIN)
    assert [found.id for found in await admins.everyone(db)] == [ADMIN.id]
    assert [found.id for found in await tokens.of_tenant(db, "acme")] == [token("acme").id]
    assert await admins.find(db, token("acme").id) is None
    assert await tokens.find(db, "acme", ADMIN.id) is None
    assert not await admins.revoke(db, token("acme").id, 2.0)
    assert not await tokens.revoke(db, "acme", ADMIN.id, 2.0)


def test_its_hash_is_not_shown() -> None:
    """Nor is it where a row is printed."""
    assert "hash" not in repr(ADMIN)
