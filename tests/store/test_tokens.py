"""Rows of tokens."""

from __future__ import annotations

import pytest

from linkspan.store import tenants, tokens
from linkspan.store.database import Database
from tests.store.engines import REFUSED, on_sqlite
from tests.store.rows import token


async def test_a_token_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field, scopes in their order."""
    await tenants.add(db, "acme", 1.0)
    stored = token("acme", hash=bytes(range(32)), expires=9.5)
    assert await tokens.insert(db, stored)
    assert await tokens.find(db, "acme", stored.id) == stored
    assert await tokens.of_tenant(db, "acme") == [stored]


async def test_a_token_needs_its_tenant(db: Database) -> None:
    """Nothing is stored for a tenant that is not there."""
    assert not await tokens.insert(db, token("acme"))


async def test_nobody_reaches_another_tenants_token(db: Database) -> None:
    """It is neither found nor revoked nor touched under another tenant's name."""
    await tenants.add(db, "acme", 1.0)
    await tokens.insert(db, token("acme"))
    assert await tokens.find(db, "bolt", "abcdefabcdef") is None
    assert not await tokens.revoke(db, "bolt", "abcdefabcdef", 2.0)
    await tokens.touch(db, "bolt", "abcdefabcdef", 2.0)
    assert await tokens.find(db, "acme", "abcdefabcdef") == token("acme")


@on_sqlite
async def test_revoking_moves_the_mark_and_using_does_not(db: Database) -> None:
    """Revocation is seen at once by whoever caches; last use throws no cache away."""
    await tenants.add(db, "acme", 1.0)
    await tokens.insert(db, token("acme"))
    before = db.change_mark()
    await tokens.touch(db, "acme", "abcdefabcdef", 2.0)
    assert db.change_mark() == before
    assert await tokens.revoke(db, "acme", "abcdefabcdef", 3.0)
    assert db.change_mark() != before
    assert not await tokens.revoke(db, "acme", "abcdefabcdef", 4.0)
    assert await tokens.find(db, "acme", "abcdefabcdef") == token("acme", last_used=2.0, revoked=3.0)


@pytest.mark.parametrize(("kind", "tenant"), [("admin", "acme"), ("tenant", None)])
async def test_only_an_admin_token_has_no_tenant(db: Database, kind: str, tenant: str | None) -> None:
    """The database itself keeps a tenant's token from losing its tenant, and an admin's from having one."""
    await tenants.add(db, "acme", 1.0)
    sql = (
        "INSERT INTO tokens (id, tenant, kind, hash, principal_kind, subject, scopes, created)"
        " VALUES ('a', :tenant, :kind, 'h', 'operator', 's', 'read', 1)"
    )
    with pytest.raises(REFUSED):
        await db.execute(sql, {"tenant": tenant, "kind": kind})
    await db.execute(sql, {"tenant": None, "kind": "admin"})
