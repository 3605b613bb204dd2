"""Codes and tokens (statements 2, 8, 20, 22 and 26 of the security checklist)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from linkspan import spec
from linkspan.accounts.clients import Client
from linkspan.accounts.grants import CODE_LIFETIME, GRACE, IDLE, LONGEST, Consent, Grants, Issued
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.people import People
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tokens import Tokens
from linkspan.errors import NotFound, Unauthenticated
from linkspan.spec.catalog import Catalog
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, BOLT, Clock

CLIENT = Client("https://app.example/client.json", "App", ("http://127.0.0.1/callback",), "document")
REDIRECT = "http://127.0.0.1:38109/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
RESOURCE = "https://linkspan.example/t/acme/mcp"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """Tickets that can be read and changed."""
    return spec.load([Path(__file__).parents[1] / "fakes" / "tracker.yaml"], {})


def made(db: Database, clock: Clock, catalog: Catalog) -> Grants:
    return Grants(db, clock=clock, random=os.urandom, catalog=lambda: catalog, access_lifetime=900.0)


@pytest.fixture
def grants(db: Database, clock: Clock, catalog: Catalog) -> Grants:
    """The grants of this process."""
    return made(db, clock, catalog)


@pytest.fixture
def other_grants(other_db: Database, clock: Clock, catalog: Catalog) -> Grants:
    """The grants as another process has them."""
    return made(other_db, clock, catalog)


@pytest.fixture
def people(db: Database, clock: Clock) -> People:
    """The people."""
    return People(db, clock=clock, random=os.urandom)


async def allowed(grants: Grants, people: People, *scopes: str) -> str:
    """A person says yes; answers the code."""
    person = (await people.invite(ACME, "anna")).person
    consent = Consent(person, CLIENT, REDIRECT, CHALLENGE, scopes or ("read", "write"), RESOURCE)
    return (await grants.allow(ACME, consent)).reveal()


async def redeem(grants: Grants, code: str, tenant: Tenant = ACME, **changes: Any) -> Issued:
    named = {
        "code": code,
        "client_id": CLIENT.id,
        "redirect_uri": REDIRECT,
        "verifier": VERIFIER,
        "resources": [RESOURCE],
    }
    return await grants.redeem(tenant, **{**named, **changes})


async def refresh(grants: Grants, token: str | Issued, tenant: Tenant = ACME, **changes: Any) -> Issued:
    text = token.refresh.reveal() if isinstance(token, Issued) else token
    return await grants.refresh(tenant, **{"token": text, "client_id": CLIENT.id, **changes})


async def signed_in(grants: Grants, people: People, *scopes: str) -> Issued:
    return await redeem(grants, await allowed(grants, people, *scopes))


async def refused(work: Any) -> str:
    with pytest.raises(OAuthRefused) as told:
        await work
    return told.value.error


async def is_good(tokens: Tokens, issued: Issued, tenant: str = ACME) -> bool:
    try:
        await tokens.authenticate(issued.access.reveal(), tenant)
    except Unauthenticated:
        return False
    return True


async def test_2_an_access_token_is_a_person_for_one_url_and_a_quarter_of_an_hour(
    grants: Grants, people: People, tokens: Tokens, clock: Clock
) -> None:
    """Kind, subject, scopes and audience of its principal; its sign-in stands for it in the audit log."""
    issued = await signed_in(grants, people, "read")
    principal = await tokens.authenticate(issued.access.reveal(), ACME)
    (grant,) = await grants.list(ACME)
    assert principal == Principal(ACME, "person", "anna", ("read",), grant.id, RESOURCE)
    assert (issued.lifetime, issued.scopes) == (900.0, ("read",))
    assert not await is_good(tokens, issued, BOLT)
    clock.now += 899
    assert await is_good(tokens, issued)
    clock.now += 1
    assert not await is_good(tokens, issued)


async def test_2_no_other_thing_of_ours_is_an_access_token(
    grants: Grants, people: People, tokens: Tokens
) -> None:
    """Not the code, not the refresh token, whatever kind they say they are."""
    code = await allowed(grants, people)
    refresh_token = (await redeem(grants, code)).refresh.reveal()
    for text in (
        code,
        refresh_token,
        code.replace("code", "tenant"),
        refresh_token.replace("refresh", "tenant"),
    ):
        with pytest.raises(Unauthenticated):
            await tokens.authenticate(text, ACME)


async def test_8_only_digests_are_stored(grants: Grants, people: People, db: Database) -> None:
    """Neither code nor tokens can be read out of the database."""
    code = await allowed(grants, people)
    issued = await redeem(grants, code)
    stored = ""
    for table in ("grants", "refresh_tokens", "tokens"):
        stored += str(await db.query(f"SELECT * FROM {table}"))
    for text in (code, issued.access.reveal(), issued.refresh.reveal()):
        assert text.split("_", 3)[3] not in stored
        assert text not in repr(issued)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"verifier": "w" * 43}, "invalid_grant"),
        ({"verifier": CHALLENGE}, "invalid_grant"),
        ({"client_id": "https://other.example/client.json"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:38110/callback"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:38109/other"}, "invalid_grant"),
        ({"resources": ["https://linkspan.example/t/bolt/mcp"]}, "invalid_target"),
        ({"resources": [RESOURCE, "https://elsewhere.example/"]}, "invalid_target"),
        ({"resources": []}, "invalid_target"),
    ],
)
async def test_20_a_code_is_bound_to_all_that_it_was_given_for(
    changes: dict[str, Any], error: str, grants: Grants, people: People
) -> None:
    """Verifier, client, redirect, resource; and once it was shown wrongly it is good for nobody."""
    code = await allowed(grants, people)
    assert await refused(redeem(grants, code, **changes)) == error
    assert await refused(redeem(grants, code)) == "invalid_grant"
    assert await grants.list(ACME) == []


async def test_20_a_code_is_good_at_its_tenant(grants: Grants, people: People) -> None:
    """At another one it is nothing, and stays good."""
    code = await allowed(grants, people)
    assert await refused(redeem(grants, code, BOLT)) == "invalid_grant"
    assert (await redeem(grants, code)).lifetime == 900.0


@pytest.mark.parametrize("code", ["", "x", "lsk_code_abcdefabcdef_" + "A" * 43])
async def test_20_a_code_that_was_never_given_is_refused(code: str, grants: Grants) -> None:
    """Whatever its form."""
    assert await refused(redeem(grants, code)) == "invalid_grant"


async def test_20_whoever_knows_only_the_id_of_a_code_ends_nothing(grants: Grants, people: People) -> None:
    """A guess at the secret takes nothing away from who has it."""
    code = await allowed(grants, people)
    assert await refused(redeem(grants, code[:-43] + "A" * 43)) == "invalid_grant"
    assert (await redeem(grants, code)).scopes == ("read", "write")


async def test_20_a_code_is_good_for_a_minute(grants: Grants, people: People, clock: Clock) -> None:
    """Not at its last second's end."""
    assert CODE_LIFETIME == 60.0
    code = await allowed(grants, people)
    clock.now += 60
    assert await refused(redeem(grants, code)) == "invalid_grant"


async def test_20_a_code_shown_twice_ends_what_it_gave(
    grants: Grants, people: People, tokens: Tokens
) -> None:
    """Access and refresh token both, at once."""
    code = await allowed(grants, people)
    issued = await redeem(grants, code)
    assert await is_good(tokens, issued)
    assert await refused(redeem(grants, code)) == "invalid_grant"
    assert not await is_good(tokens, issued)
    assert await refused(refresh(grants, issued)) == "invalid_grant"


async def test_20_two_processes_with_one_code(
    grants: Grants, other_grants: Grants, people: People, tokens: Tokens
) -> None:
    """At most one gets tokens, and they are not good: two have the code."""
    code = await allowed(grants, people)
    both = await asyncio.gather(redeem(grants, code), redeem(other_grants, code), return_exceptions=True)
    issued = [each for each in both if isinstance(each, Issued)]
    assert len(issued) == 1
    assert not await is_good(tokens, issued[0])


async def test_22_refreshing_makes_nothing_more(grants: Grants, people: People, tokens: Tokens) -> None:
    """Another resource or a scope that was not granted is refused, and the sign-in goes on."""
    issued = await signed_in(grants, people, "read")
    elsewhere = ["https://linkspan.example/t/bolt/mcp"]
    assert await refused(refresh(grants, issued, resources=elsewhere)) == "invalid_target"
    assert await refused(refresh(grants, issued, scopes=["read", "write"])) == "invalid_scope"
    after = await refresh(grants, issued, scopes=["read"], resources=[RESOURCE, RESOURCE])
    principal = await tokens.authenticate(after.access.reveal(), ACME)
    assert (principal.scopes, principal.audience) == (("read",), RESOURCE)


async def test_22_less_can_be_asked_for(grants: Grants, people: People, tokens: Tokens) -> None:
    """The next refresh gives all again: what was granted has not changed."""
    issued = await signed_in(grants, people)
    less = await refresh(grants, issued, scopes=["read"])
    assert (less.scopes, (await tokens.authenticate(less.access.reveal(), ACME)).scopes) == (
        ("read",),
        ("read",),
    )
    assert (await refresh(grants, less)).scopes == ("read", "write")


async def test_22_a_person_who_may_less_gives_less_from_the_next_refresh_on(
    grants: Grants, people: People
) -> None:
    """The operator need not end the sign-in for that."""
    issued = await signed_in(grants, people)
    await people.invite(ACME, "anna", scopes=["read"])
    assert (await refresh(grants, issued)).scopes == ("read",)


async def test_26_refresh_tokens_rotate(grants: Grants, people: People, tokens: Tokens, clock: Clock) -> None:
    """Every answer has new tokens; the access token that was there ends by itself."""
    issued = await signed_in(grants, people)
    after = await refresh(grants, issued)
    assert len({issued.refresh, after.refresh, issued.access, after.access}) == 4
    assert await is_good(tokens, issued) and await is_good(tokens, after)
    clock.now += GRACE + 1
    assert (await refresh(grants, after)).scopes == ("read", "write")


async def test_26_the_one_just_rotated_is_honoured_for_half_a_minute(
    grants: Grants, people: People, tokens: Tokens, clock: Clock
) -> None:
    """An answer may be lost: whoever asks again gets tokens, and goes on with them."""
    assert GRACE == 30.0
    issued = await signed_in(grants, people)
    lost = await refresh(grants, issued)
    clock.now += 30
    again = await refresh(grants, issued)
    assert again.refresh != lost.refresh
    assert await is_good(tokens, again)
    later = await refresh(grants, again)
    assert (await refresh(grants, later)).lifetime == 900.0


async def test_26_reuse_after_that_ends_the_family(
    grants: Grants, people: People, tokens: Tokens, clock: Clock
) -> None:
    """The thief and the owner both: which of them is which cannot be known."""
    issued = await signed_in(grants, people)
    after = await refresh(grants, issued)
    clock.now += 30.5
    assert await refused(refresh(grants, issued)) == "invalid_grant"
    assert not await is_good(tokens, issued) and not await is_good(tokens, after)
    assert await refused(refresh(grants, after)) == "invalid_grant"
    assert await grants.list(ACME) == []


async def test_26_two_who_have_one_token_are_found_out_even_within_the_grace(
    grants: Grants, people: People, clock: Clock
) -> None:
    """A quick thief has a token of the same generation; the next one to refresh leaves the other behind."""
    issued = await signed_in(grants, people)
    owner, thief = await refresh(grants, issued), await refresh(grants, issued)
    await refresh(grants, owner)
    clock.now += 31
    assert await refused(refresh(grants, thief)) == "invalid_grant"
    assert await grants.list(ACME) == []


async def test_26_an_old_token_ends_the_family_however_old_it_is(
    grants: Grants, people: People, clock: Clock
) -> None:
    """A stolen copy that was used while its owner slept is ended when the owner wakes."""
    issued = await signed_in(grants, people)
    thief = issued
    for _ in range(5):
        clock.now += 900
        thief = await refresh(grants, thief)
    clock.now += 5 * 86_400
    assert await refused(refresh(grants, issued)) == "invalid_grant"
    assert await refused(refresh(grants, thief)) == "invalid_grant"


async def test_26_a_token_of_another_client_ends_the_family(grants: Grants, people: People) -> None:
    """It was taken from the one that it was given to."""
    issued = await signed_in(grants, people)
    assert await refused(refresh(grants, issued, client_id="https://other.example/c.json")) == "invalid_grant"
    assert await refused(refresh(grants, issued)) == "invalid_grant"


async def test_26_a_token_that_was_never_given_is_refused(grants: Grants, people: People) -> None:
    """By form, by secret, by tenant; and it ends nothing."""
    issued = await signed_in(grants, people)
    text = issued.refresh.reveal()
    for wrong in ("", "x", text[:-43] + "A" * 43, text.replace("refresh", "tenant"), issued.access.reveal()):
        assert await refused(refresh(grants, wrong)) == "invalid_grant"
    assert await refused(refresh(grants, issued, BOLT)) == "invalid_grant"
    assert (await refresh(grants, issued)).lifetime == 900.0


async def test_26_a_sign_in_ends_when_it_is_idle(grants: Grants, people: People, clock: Clock) -> None:
    """A month after it was used last it is neither good nor listed."""
    issued = await signed_in(grants, people)
    clock.now += IDLE - 1
    issued = await refresh(grants, issued)
    clock.now += IDLE
    assert await grants.list(ACME) == []
    assert await refused(refresh(grants, issued)) == "invalid_grant"


async def test_26_a_sign_in_ends_in_any_case(
    grants: Grants, people: People, tokens: Tokens, clock: Clock
) -> None:
    """After three months, and no access token outlives it."""
    began = clock.now
    issued = await signed_in(grants, people)
    while clock.now + IDLE / 2 < began + LONGEST:
        clock.now += IDLE / 2
        issued = await refresh(grants, issued)
    clock.now = began + LONGEST - 60
    issued = await refresh(grants, issued)
    assert issued.lifetime == 60
    clock.now = began + LONGEST
    assert not await is_good(tokens, issued)
    assert await refused(refresh(grants, issued)) == "invalid_grant"


async def test_26_two_processes_that_refresh_at_once_both_go_on(
    grants: Grants, other_grants: Grants, people: People, tokens: Tokens
) -> None:
    """Two windows of one Codex: one generation begins, and both get tokens of it."""
    issued = await signed_in(grants, people)
    both = await asyncio.gather(*(refresh(each, issued) for each in (grants, other_grants) * 4))
    assert len({each.refresh for each in both}) == 8
    (grant,) = await grants.list(ACME)
    assert grant.generation == 1
    assert all([await is_good(tokens, each) for each in both])


async def test_26_revocation_is_seen_at_once_by_every_process(
    grants: Grants, people: People, tokens: Tokens, other_tokens: Tokens
) -> None:
    """A cached token is not a good token."""
    issued = await signed_in(grants, people)
    assert await is_good(other_tokens, issued) and await is_good(tokens, issued)
    await grants.revoke(ACME, issued.refresh.reveal(), CLIENT.id)
    assert not await is_good(other_tokens, issued) and not await is_good(tokens, issued)
    assert await refused(refresh(grants, issued)) == "invalid_grant"


async def test_26_an_access_token_is_revoked_by_itself(
    grants: Grants, people: People, tokens: Tokens
) -> None:
    """Its program goes on by refreshing."""
    issued = await signed_in(grants, people)
    await grants.revoke(ACME, issued.access.reveal(), None)
    assert not await is_good(tokens, issued)
    assert await is_good(tokens, await refresh(grants, issued))


async def test_26_nobody_revokes_what_is_not_its_own(grants: Grants, people: People, tokens: Tokens) -> None:
    """Another client is refused; what is unknown, malformed or of another tenant ends nothing."""
    issued = await signed_in(grants, people)
    static = await tokens.create(ACME, subject="ci")
    for token in (issued.access.reveal(), issued.refresh.reveal()):
        assert (
            await refused(grants.revoke(ACME, token, "https://other.example/client.json")) == "invalid_client"
        )
        await grants.revoke(BOLT, token, CLIENT.id)
        await grants.revoke(ACME, token[:-43] + "A" * 43, CLIENT.id)
    for token in ("", "x", static.text.reveal()):
        await grants.revoke(ACME, token, CLIENT.id)
    assert await is_good(tokens, issued)
    assert (await tokens.authenticate(static.text.reveal(), ACME)).subject == "ci"


async def test_26_a_person_ends_her_own_sign_ins_only(grants: Grants, people: People, tokens: Tokens) -> None:
    """By the page; the operator may end each."""
    issued = await signed_in(grants, people)
    (grant,) = await grants.list(ACME, person="anna")
    assert await grants.list(ACME, person="eve") == []
    for tenant, person in ((ACME, "eve"), (BOLT, "anna"), (BOLT, None)):
        with pytest.raises(NotFound):
            await grants.end(tenant, grant.id, person=person)
    assert await is_good(tokens, issued)
    await grants.end(ACME, grant.id, person="anna")
    assert not await is_good(tokens, issued)
    with pytest.raises(NotFound):
        await grants.end(ACME, grant.id)


async def test_26_removing_a_person_ends_what_acts_for_it(
    grants: Grants, people: People, other_tokens: Tokens
) -> None:
    """Its tokens at once; a code that is under way is worth nothing, and no new one is given."""
    issued = await signed_in(grants, people)
    assert await is_good(other_tokens, issued)
    person = (await people.list(ACME))[0]
    code = await allowed(grants, people)
    await people.remove(ACME, "anna")
    assert not await is_good(other_tokens, issued)
    assert await refused(refresh(grants, issued)) == "invalid_grant"
    assert await refused(redeem(grants, code)) == "invalid_grant"
    consent = Consent(person, CLIENT, REDIRECT, CHALLENGE, ("read",), RESOURCE)
    assert await refused(grants.allow(ACME, consent)) == "access_denied"
