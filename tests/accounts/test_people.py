"""People and their browsers: invited, let in by a provider, removed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable

import pytest

from linkspan.accounts.people import INVITED_FOR, People
from linkspan.accounts.principal import Tenant
from linkspan.accounts.sessions import LIFETIME, Sessions
from linkspan.errors import Conflict, Forbidden, InvalidArgument, LinkspanError, NotFound, Unauthenticated
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, BOLT, Clock

ISSUER = "https://id.example"
NOBODY = Tenant("nobody")


@pytest.fixture
def people(db: Database, clock: Clock) -> People:
    """The people of both tenants."""
    return People(db, clock=clock, random=os.urandom)


@pytest.fixture
def sessions(db: Database, clock: Clock) -> Sessions:
    """Their browsers."""
    return Sessions(db, clock=clock, random=os.urandom)


async def invited(people: People, name: str = "anna", tenant: Tenant = ACME) -> str:
    made = await people.invite(tenant, name)
    assert made.secret is not None
    return made.secret.reveal()


async def told(work: Awaitable[object]) -> LinkspanError:
    with pytest.raises(LinkspanError) as error:
        await work
    return error.value


async def test_8_an_invitation_signs_one_browser_in(people: People, sessions: Sessions) -> None:
    """The browser is known again by its cookie, at this tenant, as this person."""
    who = await sessions.accept(ACME, await invited(people))
    assert who.cookie is not None and who.person.name == "anna"
    again = await sessions.find(ACME, who.cookie.reveal())
    assert again is not None
    assert (again.person, again.session, again.cookie) == (who.person, who.session, None)
    assert await sessions.find(BOLT, who.cookie.reveal()) is None


async def test_8_every_refusal_of_an_invitation_is_the_same(
    people: People, sessions: Sessions, clock: Clock
) -> None:
    """Used, replaced, over, of another tenant, malformed, of another kind: nobody can tell which."""
    used = await invited(people)
    await sessions.accept(ACME, used)
    replaced, over = await invited(people), await invited(people)
    elsewhere = await invited(people, tenant=BOLT)
    clock.now += INVITED_FOR
    shown = [used, replaced, over, elsewhere, "", "anna", used.replace("invite", "session"), f"{used}A"]
    answers = {str((await told(sessions.accept(ACME, text))).to_dict()) for text in shown}
    answers.add(str((await told(sessions.accept(NOBODY, used))).to_dict()))
    assert len(answers) == 1
    assert isinstance(await told(sessions.accept(ACME, over)), Unauthenticated)


async def test_8_only_digests_are_stored(people: People, sessions: Sessions, db: Database) -> None:
    """Neither the invitation nor the cookie can be read out of the database."""
    text = await invited(people)
    (row,) = await db.query("SELECT * FROM invitations")
    assert bytes(row["hash"]) == hashlib.sha256(text.split("_", 3)[3].encode()).digest()
    who = await sessions.accept(ACME, text)
    assert who.cookie is not None
    (row,) = await db.query("SELECT * FROM browser_sessions")
    assert bytes(row["hash"]) == hashlib.sha256(who.cookie.reveal().split("_", 3)[3].encode()).digest()
    assert who.cookie.reveal() not in repr(who)


async def test_a_browser_is_signed_in_for_a_month(people: People, sessions: Sessions, clock: Clock) -> None:
    """Not longer, and not once it has signed out."""
    first = await sessions.accept(ACME, await invited(people))
    second = await sessions.accept(ACME, await invited(people))
    assert first.cookie is not None and second.cookie is not None
    await sessions.end(ACME, first)
    assert await sessions.find(ACME, first.cookie.reveal()) is None
    clock.now += LIFETIME - 1
    assert await sessions.find(ACME, second.cookie.reveal()) is not None
    clock.now += 1
    assert await sessions.find(ACME, second.cookie.reveal()) is None


@pytest.mark.parametrize(
    "cookie", [None, "", "x", "lsk_session_abcdefabcdef_" + "A" * 43, "lsk_invite_abcdefabcdef_" + "A" * 43]
)
async def test_nobody_is_signed_in_by_what_we_did_not_give(cookie: str | None, sessions: Sessions) -> None:
    """Whatever a browser sends."""
    assert await sessions.find(ACME, cookie) is None


async def test_inviting_again_changes_only_what_is_given(people: People) -> None:
    """Scopes and address stay until others are given."""
    await people.invite(ACME, "anna", scopes=["read"], email="Anna@Acme.example")
    person = (await people.invite(ACME, " anna ")).person
    assert (person.name, person.scopes, person.email) == ("anna", ("read",), "anna@acme.example")
    person = (await people.invite(ACME, "anna", scopes=["write"])).person
    assert (person.scopes, person.email) == (("write",), "anna@acme.example")
    assert [each.name for each in await people.list(ACME)] == ["anna"]
    assert await people.list(BOLT) == []


@pytest.mark.parametrize(
    ("invite", "kind"),
    [
        (lambda people: people.invite(ACME, ""), InvalidArgument),
        (lambda people: people.invite(ACME, "an\nna"), InvalidArgument),
        (lambda people: people.invite(ACME, "x" * 101), InvalidArgument),
        (lambda people: people.invite(ACME, "anna", email="anna"), InvalidArgument),
        (lambda people: people.invite(ACME, "anna", email="änna@acme.example"), InvalidArgument),
        (lambda people: people.invite(ACME, "anna", scopes=["everything"]), InvalidArgument),
        (lambda people: people.invite(NOBODY, "anna"), NotFound),
        (lambda people: people.invite(ACME, "eve", email="bo@acme.example"), Conflict),
        (lambda people: people.invite(ACME, "eve", identity=(ISSUER, "7")), Conflict),
        (lambda people: people.allow(ACME, "acme", scopes=["read"]), InvalidArgument),
        (lambda people: people.allow(ACME, "acme.example", scopes=["x"]), InvalidArgument),
        (lambda people: people.allow(NOBODY, "acme.example", scopes=["read"]), NotFound),
        (lambda people: people.disallow(ACME, "acme.example"), NotFound),
        (lambda people: people.remove(ACME, "eve"), NotFound),
    ],
)
async def test_what_cannot_be_done_is_told(
    invite: Callable[[People], Awaitable[object]], kind: type[LinkspanError], people: People
) -> None:
    """In words of the error tree."""
    await people.invite(ACME, "bo", email="bo@acme.example", identity=(ISSUER, "7"))
    assert isinstance(await told(invite(people)), kind)


async def test_a_provider_lets_in_who_was_invited(people: People, sessions: Sessions) -> None:
    """By verified address the first time, by subject ever after."""
    await people.invite(ACME, "anna", link=False, email="anna@acme.example")
    first = await sessions.welcome(ACME, ISSUER, "7", "anna@acme.example")
    assert first.person.name == "anna"
    assert (await sessions.welcome(ACME, ISSUER, "7", None)).person.name == "anna"
    for subject, email in (("8", "anna@acme.example"), ("8", None), ("9", "eve@acme.example")):
        assert isinstance(await told(sessions.welcome(ACME, ISSUER, subject, email)), Forbidden)
    assert isinstance(await told(sessions.welcome(BOLT, ISSUER, "7", "anna@acme.example")), Forbidden)
    assert isinstance(await told(sessions.welcome(NOBODY, ISSUER, "7", "anna@acme.example")), Forbidden)


async def test_another_address_means_somebody_else(people: People, sessions: Sessions) -> None:
    """Whoever had the former one at the provider is not let in by it any more."""
    await people.invite(ACME, "anna", link=False, email="wrong@acme.example")
    await sessions.welcome(ACME, ISSUER, "7", "wrong@acme.example")
    await people.invite(ACME, "anna", link=False, email="anna@acme.example")
    assert isinstance(await told(sessions.welcome(ACME, ISSUER, "7", "wrong@acme.example")), Forbidden)
    assert (await sessions.welcome(ACME, ISSUER, "8", "anna@acme.example")).person.name == "anna"


async def test_a_domain_lets_everybody_of_it_in(people: People, sessions: Sessions) -> None:
    """With its scopes, and nobody of a domain that only looks like it."""
    await people.allow(ACME, "@Acme.Example", scopes=["read"])
    assert (await people.domains(ACME))[0].domain == "acme.example"
    joined = await sessions.welcome(ACME, ISSUER, "7", "anna@acme.example")
    assert (joined.person.name, joined.person.scopes) == ("anna@acme.example", ("read",))
    for email in ("eve@sub.acme.example", "eve@evilacme.example", "eve@acme.example.evil.example", None):
        assert isinstance(await told(sessions.welcome(ACME, ISSUER, "8", email)), Forbidden)
    await people.disallow(ACME, "acme.example")
    assert (await sessions.welcome(ACME, ISSUER, "7", None)).person.name == "anna@acme.example"
    assert isinstance(await told(sessions.welcome(ACME, ISSUER, "8", "eve@acme.example")), Forbidden)


async def test_whoever_is_removed_is_out_at_once(people: People, sessions: Sessions) -> None:
    """Browser and invitation; the same name invited again is somebody new."""
    who = await sessions.accept(ACME, await invited(people))
    link = await invited(people)
    assert who.cookie is not None
    await people.remove(ACME, "anna")
    assert await sessions.find(ACME, who.cookie.reveal()) is None
    assert isinstance(await told(sessions.accept(ACME, link)), Unauthenticated)
    await people.invite(ACME, "anna")
    assert await sessions.find(ACME, who.cookie.reveal()) is None
