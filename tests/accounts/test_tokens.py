"""Tokens: who shows one is known, until it is revoked or over."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkspan.accounts.principal import Principal
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens, check_scopes
from linkspan.errors import InvalidArgument, NotFound, Unauthenticated
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.store.engines import Engine, on_sqlite
from tests.store.processes import run_together


async def refusal(tokens: Tokens, text: str, tenant: str = ACME) -> str:
    with pytest.raises(Unauthenticated) as told:
        await tokens.authenticate(text, tenant)
    return str(told.value.to_dict())


async def test_a_token_makes_its_principal(tokens: Tokens) -> None:
    """Tenant, kind, subject, scopes and the token's ID, the first time and from the cache."""
    new = await tokens.create(ACME, subject="bo", kind="person", scopes=["ticket.list", "read"])
    bo = Principal(ACME, "person", "bo", ("ticket.list", "read"), new.token.id)
    assert await tokens.authenticate(new.text.reveal(), ACME) == bo
    assert await tokens.authenticate(new.text.reveal(), "acme") == bo


async def test_whose_a_token_is_is_looked_up_once(db: Database, clock: Clock) -> None:
    """Where no tenant is named, too: who asks the store waits behind everybody who has it write."""
    asked: list[str] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(db, name)

    new = await Tokens(db, clock=clock, random=os.urandom).create(ACME, subject="ci")
    tokens = Tokens(cast("Database", Counted()), clock=clock, random=os.urandom)
    first = await tokens.authenticate_anywhere(new.text.reveal())
    asked.clear()
    assert await tokens.authenticate_anywhere(new.text.reveal()) == first
    looks = [name for name in asked if name != "change_mark"]
    assert looks == ([] if db.change_mark() is not None else ["query"])
    await tokens.revoke(ACME, new.token.id)
    with pytest.raises(Unauthenticated):
        await tokens.authenticate_anywhere(new.text.reveal())


async def test_the_form_of_a_token(tokens: Tokens) -> None:
    """`lsk_tenant_ID_SECRET`, with 256 random bits."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    assert re.fullmatch(r"lsk_tenant_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", text)


async def test_only_the_digest_is_stored(tokens: Tokens, db: Database, engine: Engine) -> None:
    """The secret is in nothing that the database keeps; it is shown once, by `reveal`, and in no repr."""
    new = await tokens.create(ACME, subject="ci")
    secret = new.text.reveal().split("_", 3)[3]
    (row,) = await db.query("SELECT * FROM tokens")
    assert row["hash"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(new)
    assert new.token.id.encode() in await engine.stored(db)
    assert secret.encode() not in await engine.stored(db)


async def test_every_refusal_is_the_same(tokens: Tokens, db: Database, clock: Clock) -> None:
    """Malformed, unknown, wrong, expired, revoked, of another kind or tenant: nobody can tell which."""
    good = await tokens.create(ACME, subject="ci")
    text = good.text.reveal()
    expired = await tokens.create(ACME, subject="ci", expires=clock.now + 1)
    revoked = await tokens.create(ACME, subject="ci")
    await tokens.revoke(ACME, revoked.token.id)
    run = await tokens.create(ACME, subject="ci")
    await db.execute("UPDATE tokens SET kind = 'run' WHERE id = :id", {"id": run.token.id})
    clock.now += 1
    head, secret = text[:24], text[24:]
    shown = [
        "",
        "Bearer " + text,
        text + "A",
        text[:-1],
        text.upper(),
        "lsk_tenant_aaaaaaaaaaaa_" + secret,
        head + ("A" if secret[0] != "A" else "B") + secret[1:],
        text.replace("lsk_tenant", "lsk_admin"),
        text.replace("lsk_tenant", "lsk_run"),
        run.text.reveal(),
        run.text.reveal().replace("lsk_tenant", "lsk_run"),
        expired.text.reveal(),
        revoked.text.reveal(),
        "lsk_tenant_abcdefabcdef_" + "ü" * 43,
    ]
    answers = {await refusal(tokens, each) for each in shown}
    answers |= {await refusal(tokens, text, tenant) for tenant in ("bolt", "nobody", "", "ACME")}
    assert len(answers) == 1
    assert (await tokens.authenticate(text, ACME)).subject == "ci"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_other_text_is_taken(tokens: Tokens, data: st.DataObject) -> None:
    """A token with one character changed, added or left out is no token."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    place = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 1))
    other = text[:place] + data.draw(st.text(max_size=2)) + text[place + cut :]
    if other != text:
        await refusal(tokens, other)


async def test_a_token_of_one_tenant_is_nothing_to_another(tokens: Tokens) -> None:
    """Not even after it was good at its own door."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    await tokens.authenticate(text, ACME)
    await refusal(tokens, text, BOLT)


async def test_expiry_is_looked_at_every_time(tokens: Tokens, clock: Clock) -> None:
    """A cached token is over at its very second."""
    text = (await tokens.create(ACME, subject="ci", expires=clock.now + 60)).text.reveal()
    clock.now += 59.9
    await tokens.authenticate(text, ACME)
    clock.now += 0.1
    await refusal(tokens, text)


async def test_revocation_is_at_once(tokens: Tokens) -> None:
    """The next call is refused, however warm the cache."""
    new = await tokens.create(ACME, subject="ci")
    await tokens.authenticate(new.text.reveal(), ACME)
    await tokens.revoke(ACME, new.token.id)
    await refusal(tokens, new.text.reveal())


async def test_revocation_is_at_once_in_every_process(tokens: Tokens, engine: Engine) -> None:
    """A token that another process revokes is refused by the next call here."""
    code = """
from linkspan.accounts.tokens import Tokens

async def main(place, number):
    db = open_database(place)
    tokens = Tokens(db, clock=lambda: 2.0, random=os.urandom)
    for token in await tokens.list("acme"):
        await tokens.revoke("acme", token.id)
    await db.aclose()
"""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    await tokens.authenticate(text, ACME)
    run_together(code, engine.place, count=1)
    await refusal(tokens, text)


async def test_a_removed_tenants_tokens_are_over_at_once(
    tokens: Tokens, other_db: Database, clock: Clock
) -> None:
    """Also where they were cached, in another process."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    await tokens.authenticate(text, ACME)
    await Tenants(other_db, clock=clock).remove("acme")
    await refusal(tokens, text)


@on_sqlite
async def test_a_known_token_is_not_looked_up_again(
    tokens: Tokens, db: Database, other_tokens: Tokens, clock: Clock
) -> None:
    """While nothing changed the database is not asked, and last use of others changes nothing."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    await tokens.authenticate(text, ACME)
    clock.now += 10_000
    await other_tokens.authenticate(text, ACME)
    clock.now -= 10_000
    await db.execute("UPDATE tokens SET subject = 'changed behind the back'", quiet=True)
    assert (await tokens.authenticate(text, ACME)).subject == "ci"


async def test_last_use_is_coarse(tokens: Tokens, clock: Clock) -> None:
    """It is noted with the first use and not again for five minutes."""
    new = await tokens.create(ACME, subject="ci")
    start = clock.now
    for passed in (0.0, 100.0, 299.0, 301.0):
        clock.now = start + passed
        await tokens.authenticate(new.text.reveal(), ACME)
        (row,) = await tokens.list(ACME)
        assert row.last_used == start + (301.0 if passed > 300 else 0.0)


async def test_a_full_disk_locks_nobody_out(tokens: Tokens, db: Database, engine: Engine) -> None:
    """Last use cannot be noted, and the token is as good as before."""
    text = (await tokens.create(ACME, subject="ci")).text.reveal()
    await engine.make_read_only(db)
    assert (await tokens.authenticate(text, ACME)).subject == "ci"


async def test_tokens_are_listed_with_what_became_of_them(tokens: Tokens, clock: Clock) -> None:
    """Oldest first, revoked ones too, of the tenant alone."""
    first = await tokens.create(ACME, subject="one", scopes=["read"])
    clock.now += 1
    second = await tokens.create(ACME, subject="two", expires=clock.now + 5)
    await tokens.create(BOLT, subject="three")
    await tokens.revoke(ACME, first.token.id)
    listed = await tokens.list(ACME)
    assert [token.id for token in listed] == [first.token.id, second.token.id]
    assert listed[0].revoked == clock.now
    assert listed[1].expires == clock.now + 5


async def test_only_the_tenants_own_tokens_can_be_revoked(tokens: Tokens) -> None:
    """Another tenant's ID is one that is not there, and so is one that is revoked already."""
    new = await tokens.create(ACME, subject="ci")
    for tenant, token_id in ((BOLT, new.token.id), (ACME, "aaaaaaaaaaaa")):
        with pytest.raises(NotFound, match="has no token"):
            await tokens.revoke(tenant, token_id)
    await tokens.revoke(ACME, new.token.id)
    with pytest.raises(NotFound):
        await tokens.revoke(ACME, new.token.id)


async def test_a_token_needs_a_tenant_a_subject_and_a_future(tokens: Tokens, clock: Clock) -> None:
    """Each of them is told plainly."""
    with pytest.raises(NotFound, match="no tenant 'nobody'"):
        await tokens.create("nobody", subject="ci")  # type: ignore[arg-type]
    for subject in ("", "  ", "a\nb"):
        with pytest.raises(InvalidArgument, match="needs a subject"):
            await tokens.create(ACME, subject=subject)
    with pytest.raises(InvalidArgument, match="expired already"):
        await tokens.create(ACME, subject="ci", expires=clock.now)


def test_scopes_are_kept_once_and_in_order() -> None:
    """The words of the contract."""
    words = ["write", "ticket.list", "pull_request.*", "write", "a.b2"]
    assert check_scopes(words) == ("write", "ticket.list", "pull_request.*", "a.b2")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "Read",
        "admin",
        "ticket",
        "ticket.",
        ".list",
        "ticket.list.x",
        "*.list",
        "ticket.**",
        "read ",
        "a b.c",
        "*",
    ],
)
def test_bad_scopes_are_all_named(bad: str) -> None:
    """Every bad word is in the details, and the rule in the hint."""
    with pytest.raises(InvalidArgument) as told:
        check_scopes(["read", bad, "no!"])
    assert told.value.details == [
        {"path": "scopes", "message": f"{word!r} is not a scope"} for word in (bad, "no!")
    ]
    assert "ENTITY.OPERATION" in told.value.for_model()


def test_no_scope_is_refused() -> None:
    """A token that may do nothing is a mistake."""
    with pytest.raises(InvalidArgument, match="needs a scope"):
        check_scopes([])
