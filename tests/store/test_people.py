"""Rows of people, invitations and browsers."""

from __future__ import annotations

import pytest

from linkspan.store import grants, people, tenants, tokens
from linkspan.store.database import Database
from linkspan.store.people import Invitation, Person, Session
from tests.store.rows import domain, grant, invitation, pair, person, session, token


def always(_invitation: Invitation) -> bool:
    return True


@pytest.fixture
async def db(db: Database) -> Database:
    """Two tenants."""
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
    return db


async def test_a_person_comes_back_as_it_was_stored(db: Database) -> None:
    """Every field; by name, and under no other tenant."""
    assert await people.keep(db, person("acme"), None)
    assert await people.find(db, "acme", "bo") == person("acme")
    assert await people.of_tenant(db, "acme") == [person("acme")]
    assert await people.find(db, "bolt", "bo") is None


async def test_a_person_needs_its_tenant(db: Database) -> None:
    """Nothing is stored for a tenant that is not there."""
    assert not await people.keep(db, person("nobody"), invitation("nobody"))


async def test_two_people_never_share_an_address_or_an_identity(db: Database) -> None:
    """The second is refused; at another tenant it is somebody else."""
    await people.keep(db, person("acme"), None)
    same_mail = person("acme", name="eve", issuer=None, subject=None)
    assert not await people.keep(db, same_mail, None)
    assert not await people.keep(db, person("acme", name="eve", email=None), None)
    assert await people.keep(db, person("bolt", name="eve"), None)


async def test_an_invitation_signs_in_once(db: Database) -> None:
    """The second one who comes with it gets nothing, and it is of no use at another tenant."""
    await people.keep(db, person("acme"), invitation("acme"))

    async def accept(tenant: str = "acme") -> Person | None:
        return await people.accept(
            db, tenant, "in", is_good=always, session=lambda name: session(tenant, person=name)
        )

    assert await accept("bolt") is None
    assert await accept() == person("acme", signed_in=1.0)
    assert await accept() is None
    assert await people.session_of(db, "acme", "se") == (session("acme"), person("acme", signed_in=1.0))
    assert await people.session_of(db, "bolt", "se") is None


async def test_an_invitation_that_is_not_good_is_not_used_up(db: Database) -> None:
    """Whoever guesses at it takes nothing away."""
    await people.keep(db, person("acme"), invitation("acme"))

    def never(_invitation: Invitation) -> bool:
        return False

    def opened(name: str) -> Session:
        return session("acme", person=name)

    assert await people.accept(db, "acme", "in", is_good=never, session=opened) is None
    assert await people.accept(db, "acme", "in", is_good=always, session=opened) is not None


async def test_a_new_invitation_ends_the_earlier_one(db: Database) -> None:
    """One link of a person is good at a time."""
    await people.keep(db, person("acme"), invitation("acme"))
    await people.keep(db, person("acme"), invitation("acme", id="in2"))

    def opened(name: str) -> Session:
        return session("acme", person=name)

    assert await people.accept(db, "acme", "in", is_good=always, session=opened) is None
    assert await people.accept(db, "acme", "in2", is_good=always, session=opened) is not None


async def test_a_provider_is_believed_by_subject_first(db: Database) -> None:
    """An address that moved to another subject opens nothing: somebody else may have it now."""
    invited = person("acme", issuer=None, subject=None)
    await people.keep(db, invited, None)

    def opened(name: str) -> Session:
        return session("acme", id=f"se-{name}", person=name)

    first = await people.welcome(db, person("acme", name="bo@acme.example"), opened)
    assert first is not None and (first.name, first.subject) == ("bo", "7")
    moved = person("acme", name="bo@acme.example", subject="8")
    assert await people.welcome(db, moved, lambda name: session("acme", id="x", person=name)) is None
    renamed = person("acme", name="new@acme.example", email="new@acme.example")
    again = await people.welcome(db, renamed, lambda name: session("acme", id="y", person=name))
    assert again is not None and again.name == "bo"


async def test_a_domain_lets_new_people_in_and_no_others(db: Database) -> None:
    """With the scopes of the domain, named by their address; never under the name of somebody else."""
    await people.allow(db, domain("acme"))
    assert await people.domains(db, "acme") == [domain("acme")]
    eve = person("acme", name="eve@acme.example", email="eve@acme.example")

    def opened(name: str) -> Session:
        return session("acme", person=name)

    stranger = person("acme", name="x@evil.example", email="x@evil.example", subject="9")
    assert await people.welcome(db, stranger, opened) is None
    elsewhere = person("bolt", name="eve@acme.example", email="eve@acme.example")
    assert await people.welcome(db, elsewhere, opened) is None
    joined = await people.welcome(db, eve, opened)
    assert joined is not None and (joined.name, joined.scopes) == ("eve@acme.example", ("read",))
    await people.keep(
        db, person("acme", name="zoe@acme.example", email=None, issuer=None, subject=None), None
    )
    zoe = person("acme", name="zoe@acme.example", email="zoe@acme.example", subject="10")
    assert await people.welcome(db, zoe, opened) is None
    assert await people.disallow(db, "acme", "acme.example")
    assert not await people.disallow(db, "acme", "acme.example")


async def test_somebody_without_an_address_is_known_by_subject_alone(db: Database) -> None:
    """No address is not an address that two have in common."""
    await people.keep(db, person("acme", email=None, issuer=None, subject=None), None)
    await people.allow(db, domain("acme"))
    unknown = person("acme", name="", email=None)
    assert await people.welcome(db, unknown, lambda name: session("acme", person=name)) is None


async def test_removal_ends_everything_of_a_person_and_nothing_of_others(db: Database) -> None:
    """Sessions, invitation, sign-ins and every token, those that an operator made too; at once for caches."""
    for name in ("bo", "eve"):
        mine = person("acme", name=name, email=None, issuer=None, subject=None)
        await people.keep(db, mine, invitation("acme", id=f"in-{name}", person=name))
        await tokens.insert(db, token("acme", id=f"{name:0<12}", principal_kind="person", subject=name))
    await tokens.insert(db, token("acme", id="service00000", subject="bo"))
    await grants.insert(db, grant("acme"))
    await grants.redeem(db, "acme", "gr", judge=lambda _grant: "issue", pair=pair, now=1.0)
    await db.execute("UPDATE tokens SET principal_kind = 'person', subject = 'bo' WHERE grant_id = 'gr'")
    mark = db.change_mark()
    gone = await people.remove(db, "acme", "bo", 3.0)
    assert gone == {"tokens": 2, "refresh_tokens": 1, "grants": 1, "browser_sessions": 0, "invitations": 1}
    assert mark is None or db.change_mark() != mark
    assert await people.remove(db, "acme", "bo", 3.0) is None
    assert await grants.find(db, "acme", "gr") is None
    assert {each.id for each in await tokens.of_tenant(db, "acme") if each.revoked is None} == {
        "eve000000000",
        "service00000",
    }
    assert [each.name for each in await people.of_tenant(db, "acme")] == ["eve"]


async def test_nobody_is_removed_under_another_tenants_name(db: Database) -> None:
    """Not a token of it is touched, either."""
    await people.keep(db, person("acme"), None)
    await tokens.insert(db, token("acme", principal_kind="person", subject="bo"))
    assert await people.remove(db, "bolt", "bo", 3.0) is None
    assert await people.find(db, "acme", "bo") == person("acme")
    (kept,) = await tokens.of_tenant(db, "acme")
    assert kept.revoked is None


async def test_sessions_that_are_over_go(db: Database) -> None:
    """Whoever signs in takes them along; signing out ends one."""
    await people.keep(db, person("acme"), invitation("acme"))
    await people.accept(db, "acme", "in", is_good=always, session=lambda _n: session("acme", expires=2.0))
    await people.keep(db, person("acme"), invitation("acme"))
    later = session("acme", id="later", created=3.0)
    await people.accept(db, "acme", "in", is_good=always, session=lambda _n: later)
    rows = await db.query("SELECT id FROM browser_sessions")
    assert [row["id"] for row in rows] == ["later"]
    await people.end_session(db, "bolt", "later")
    assert await people.session_of(db, "acme", "later") is not None
    await people.end_session(db, "acme", "later")
    assert await people.session_of(db, "acme", "later") is None
