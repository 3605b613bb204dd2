"""Link sessions and the windows that they sent to a product."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from linkspan.store import link_sessions, tenants
from linkspan.store.database import Database
from linkspan.store.link_sessions import KEPT
from tests.store.rows import link_consent, link_session


@pytest.fixture
async def kept(db: Database) -> AsyncIterator[Database]:
    """A database with one session of one tenant."""
    await tenants.add(db, "acme", 1.0)
    assert await link_sessions.insert(db, link_session("acme"))
    yield db


async def test_it_comes_back_as_it_was_stored(kept: Database) -> None:
    """Every field of it; and a tenant that is not there has none."""
    assert await link_sessions.find(kept, "ls_acme") == link_session("acme")
    assert await link_sessions.find(kept, "other") is None
    assert not await link_sessions.insert(kept, link_session("nobody"))


async def test_one_browser_has_it(kept: Database) -> None:
    """The first; the second is refused, and another tenant's session is not touched."""
    assert await link_sessions.lock(kept, link_session("acme"), b"1" * 32)
    assert not await link_sessions.lock(kept, link_session("acme"), b"2" * 32)
    assert not await link_sessions.lock(kept, replace(link_session("acme"), tenant="bolt"), b"2" * 32)
    found = await link_sessions.find(kept, "ls_acme")
    assert found is not None
    assert found.browser == b"1" * 32


async def test_one_attempt_at_a_time(kept: Database) -> None:
    """Until it ends or its lease does; none once an account came of it, or the link is over."""
    session = link_session("acme")
    assert await link_sessions.begin(kept, session, now=1.0, until=5.0)
    assert not await link_sessions.begin(kept, session, now=2.0, until=6.0)
    assert await link_sessions.begin(kept, session, now=5.0, until=9.0)
    await link_sessions.end(kept, session, linked=None, failure={"code": "conflict"})
    assert await link_sessions.begin(kept, session, now=6.0, until=7.0)
    assert not await link_sessions.begin(kept, session, now=session.expires, until=10.0)
    await link_sessions.end(kept, session, linked="acc_1", failure=None)
    assert not await link_sessions.begin(kept, session, now=8.0, until=9.0)
    found = await link_sessions.find(kept, "ls_acme")
    assert found is not None
    assert (found.linked, found.failure, found.busy) == ("acc_1", None, None)


async def test_a_window_sets_out_once_and_comes_back_once(kept: Database) -> None:
    """With its ticket, in time; what it is known by then is what the browser keeps."""
    consent = link_consent("acme")
    await link_sessions.send(kept, consent)
    assert consent.ticket is not None
    assert await link_sessions.depart(kept, consent.ticket, b"b" * 32, now=9.0) is None
    gone = await link_sessions.depart(kept, consent.ticket, b"b" * 32, now=2.0)
    assert gone == replace(consent, ticket=None, browser=b"b" * 32)
    assert await link_sessions.depart(kept, consent.ticket, b"c" * 32, now=2.0) is None
    assert await link_sessions.consent_of(kept, consent.state) == gone
    assert await link_sessions.take(kept, consent)
    assert not await link_sessions.take(kept, consent)
    assert await link_sessions.consent_of(kept, consent.state) is None


async def test_a_new_window_ends_the_one_before(kept: Database) -> None:
    """And what went wrong in that one is forgotten."""
    await link_sessions.end(kept, link_session("acme"), linked=None, failure={"code": "conflict"})
    await link_sessions.send(kept, link_consent("acme"))
    await link_sessions.send(kept, link_consent("acme", id="lc2", state=b"2" * 32, ticket=b"2" * 32))
    assert await link_sessions.consent_of(kept, link_consent("acme").state) is None
    found = await link_sessions.find(kept, "ls_acme")
    assert found is not None
    assert found.failure is None


async def test_what_is_long_over_is_forgotten(kept: Database) -> None:
    """A day after its end, when the tenant gets another."""
    await link_sessions.send(kept, link_consent("acme"))
    await link_sessions.insert(kept, link_session("acme", id="two", created=9.0 + KEPT))
    assert await link_sessions.find(kept, "ls_acme") is not None
    await link_sessions.insert(kept, link_session("acme", id="three", created=9.5 + KEPT, expires=9e9))
    assert await link_sessions.find(kept, "ls_acme") is None
    assert await link_sessions.consent_of(kept, link_consent("acme").state) is None
