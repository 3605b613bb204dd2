"""Rows of grants and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from linkspan.store import grants, people, tenants, tokens
from linkspan.store.database import Database
from linkspan.store.grants import Grant, RefreshToken, Verdict
from tests.store.rows import grant, pair, person


@pytest.fixture
async def db(db: Database) -> Database:
    """A person of each tenant."""
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
        await people.keep(db, person(name), None)
    return db


async def redeem(db: Database, verdict: Verdict = "issue", tenant: str = "acme") -> Grant | None:
    return await grants.redeem(db, tenant, "gr", judge=lambda _g: verdict, pair=pair, now=1.5)


async def refresh(db: Database, token: str, verdicts: Sequence[Verdict], **more: Any) -> Grant | None:
    seen = iter(verdicts)
    named = {"pair": pair, "now": 2.0, **more}
    return await grants.refresh(db, "acme", token, judge=lambda _g, _t: next(seen), **named)


async def live_tokens(db: Database) -> list[str]:
    return [each.id for each in await tokens.of_tenant(db, "acme") if each.revoked is None]


async def test_a_grant_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field, and under no other tenant."""
    assert await grants.insert(db, grant("acme"))
    assert await grants.find(db, "acme", "gr") == grant("acme")
    assert await grants.find(db, "bolt", "gr") is None


async def test_a_grant_needs_its_person(db: Database) -> None:
    """Somebody who was removed meanwhile allows nothing."""
    assert not await grants.insert(db, grant("acme", person="eve"))
    assert not await grants.insert(db, grant("nobody"))


async def test_redeeming_stores_both_tokens_at_once(db: Database) -> None:
    """The access token knows its grant and what it is for, the refresh token its generation."""
    await grants.insert(db, grant("acme"))
    assert await redeem(db, tenant="bolt") is None
    assert await redeem(db) == grant("acme")
    access = await tokens.find(db, "acme", "acme00000000")
    assert access is not None
    assert (access.grant_id, access.audience) == ("gr", "https://linkspan.example/t/acme/mcp")
    assert await grants.find_refresh(db, "acme", "re0") == RefreshToken(
        "acme", "re0", "gr", 0, bytes(32), 9.0
    )
    assert await grants.find_refresh(db, "bolt", "re0") is None
    assert [each.id for each in await grants.live(db, "acme", 2.0)] == ["gr"]
    assert await grants.live(db, "acme", 2.0, person="eve") == []
    assert await grants.live(db, "acme", 9.0) == []


async def test_redeeming_again_ends_the_family_whatever_was_judged(db: Database) -> None:
    """Two at the same moment: the row lets one in, and the other proves that the code was stolen."""
    await grants.insert(db, grant("acme"))
    assert await redeem(db) is not None
    assert await redeem(db) is None
    assert await live_tokens(db) == []
    assert await grants.live(db, "acme", 2.0) == []


async def test_what_is_refused_changes_nothing(db: Database) -> None:
    """The code is still good for who has it."""
    await grants.insert(db, grant("acme"))
    assert await redeem(db, "refuse") is None
    assert await redeem(db) is not None


async def test_refreshing_begins_the_next_generation(db: Database) -> None:
    """Asking again for the same one leaves the count alone; both leave other processes' caches alone."""
    await grants.insert(db, grant("acme"))
    await redeem(db)
    mark = db.change_mark()
    assert await refresh(db, "re0", ["issue"]) is not None
    found = await grants.find(db, "acme", "gr")
    assert found is not None and (found.generation, found.rotated) == (1, 2.0)

    def another(of: Grant, generation: int) -> tuple[tokens.Token, RefreshToken]:
        access, token = pair(of, generation + 10)
        return access, RefreshToken("acme", "again", "gr", generation, token.hash, token.expires)

    assert await refresh(db, "re0", ["again"], pair=another, now=3.0) is not None
    found = await grants.find(db, "acme", "gr")
    assert found is not None and (found.generation, found.rotated) == (1, 2.0)
    token = await grants.find_refresh(db, "acme", "again")
    assert token is not None and token.generation == 1
    assert db.change_mark() == mark


async def test_only_access_tokens_that_are_good_stay(db: Database) -> None:
    """A sign-in that is refreshed for weeks does not fill the list."""
    await grants.insert(db, grant("acme"))
    await redeem(db)
    await refresh(db, "re0", ["issue"], now=6.0)
    assert await live_tokens(db) == ["acme00000001"]


async def test_ending_a_family_moves_the_mark_and_is_done_once(db: Database) -> None:
    """Every process stops at its next request, and nothing of another tenant ends."""
    await grants.insert(db, grant("acme"))
    await redeem(db)
    mark = db.change_mark()
    assert not await grants.revoke(db, "bolt", "gr", 3.0)
    assert await refresh(db, "re0", ["revoke"]) is None
    assert mark is None or db.change_mark() != mark
    assert await live_tokens(db) == []
    assert not await grants.revoke(db, "acme", "gr", 3.0)


async def test_what_is_over_goes_with_the_next_grant(db: Database) -> None:
    """Codes that nobody showed, families that ended, and their tokens; what is good stays."""
    await grants.insert(db, grant("acme", expires=100.0))
    await redeem(db)
    await grants.insert(db, grant("acme", id="never shown", created=1.0, expires=100.0))
    await grants.insert(db, grant("acme", id="new", created=6.0, code_expires=7.0, expires=100.0))
    rows = await db.query("SELECT id FROM grants ORDER BY id")
    assert {row["id"] for row in rows} == {"gr", "new"}
    assert await live_tokens(db) == []
    assert await grants.find_refresh(db, "acme", "re0") is not None
    await grants.insert(db, grant("acme", id="newer", created=200.0, code_expires=201.0, expires=300.0))
    assert await grants.find_refresh(db, "acme", "re0") is None
