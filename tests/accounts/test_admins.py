"""Admin keys."""

from __future__ import annotations

import os

import pytest

from linkspan.accounts.admins import Admin, Admins
from linkspan.accounts.tokens import Tokens
from linkspan.errors import InvalidArgument, NotFound, Unauthenticated
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, Clock
from tests.store.engines import Engine


@pytest.fixture
def admins(db: Database, clock: Clock) -> Admins:
    """The admin keys of this process."""
    return Admins(db, clock=clock, random=os.urandom)


async def test_a_key_says_whose_it_is(admins: Admins) -> None:
    """Its form is that of all our tokens, of the kind `admin`."""
    made = await admins.create("anna")
    assert made.text.reveal().startswith(f"lsk_admin_{made.token.id}_")
    assert await admins.authenticate_admin(made.text.reveal()) == Admin("anna", made.token.id)


async def test_every_bad_key_is_refused_alike(admins: Admins, tokens: Tokens, clock: Clock) -> None:
    """Malformed, unknown, wrong secret, revoked, expired, or a tenant's token: one answer."""
    good = await admins.create("anna")
    text = good.text.reveal()
    revoked = await admins.create("bo")
    await admins.revoke(revoked.token.id)
    brief = await admins.create("eve", expires=clock.now + 5)
    clock.now += 5
    of_tenant = (await tokens.create(ACME, subject="ci")).text.reveal()
    shown = [
        "", "x", text[:-1], f"{text[:-1]}{'A' if text[-1] != 'A' else 'B'}",
        f"lsk_admin_aaaaaaaaaaaa_{'A' * 43}", revoked.text.reveal(), brief.text.reveal(), of_tenant,
        of_tenant.replace("lsk_tenant", "lsk_admin"),
    ]  # fmt: skip
    told = set()
    for each in shown:
        with pytest.raises(Unauthenticated) as refused:
            await admins.authenticate_admin(each)
        told.add(refused.value.for_model())
    assert len(told) == 1
    assert await admins.authenticate_admin(text) is not None


async def test_an_admin_key_is_nothing_at_a_tenant(admins: Admins, tokens: Tokens) -> None:
    """Not as it is, and not renamed."""
    text = (await admins.create("anna")).text.reveal()
    for shown in (text, text.replace("lsk_admin", "lsk_tenant")):
        with pytest.raises(Unauthenticated):
            await tokens.authenticate(shown, ACME)


async def test_only_its_hash_is_kept(admins: Admins, db: Database, engine: Engine) -> None:
    """The store never holds the secret."""
    made = await admins.create("anna")
    assert made.text.reveal().split("_", 3)[3].encode() not in await engine.stored(db)
    assert made.text.reveal() not in repr(made)


async def test_its_use_is_noted_now_and_then(admins: Admins, clock: Clock) -> None:
    """To the last five minutes."""
    made = await admins.create("anna")
    await admins.authenticate_admin(made.text.reveal())
    (first,) = await admins.list()
    clock.now += 299
    await admins.authenticate_admin(made.text.reveal())
    assert await admins.list() == [first]
    clock.now += 1
    await admins.authenticate_admin(made.text.reveal())
    assert (await admins.list())[0].last_used == clock.now


async def test_a_full_disk_locks_no_operator_out(admins: Admins, db: Database, engine: Engine) -> None:
    """Looking goes on without the note."""
    made = await admins.create("anna")
    await engine.make_read_only(db)
    assert await admins.authenticate_admin(made.text.reveal()) is not None


async def test_what_cannot_be(admins: Admins, clock: Clock) -> None:
    """No subject, a time that has passed, a key that is not there."""
    for subject in ("", "  ", "a\nb", "x" * 101):
        with pytest.raises(InvalidArgument, match="subject"):
            await admins.create(subject)
    with pytest.raises(InvalidArgument, match="expired"):
        await admins.create("anna", expires=clock.now)
    with pytest.raises(NotFound, match="no admin key 'aaaaaaaaaaaa'"):
        await admins.revoke("aaaaaaaaaaaa")
