"""Linking in a browser: what is asked, what may come back, and what becomes of it."""

from __future__ import annotations

from base64 import urlsafe_b64decode as decode
from collections.abc import AsyncIterator
from dataclasses import replace
from json import loads
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import JSONResponse

from linkspan.accounts.consent import LIFETIME
from linkspan.errors import Conflict, Forbidden, InvalidArgument, LinkspanError, NeedsReauth, UpstreamError
from linkspan.store.database import Database
from linkspan.vault.seal import SealBroken, Vault
from linkspan.vault.secret import Secret
from tests.fakes.authority import Authority
from tests.fakes.cloud import ACME, BO, FILE, REDIRECT, Cloud, Time, load


@pytest.fixture
async def cloud(db: Database, vault: Vault) -> AsyncIterator[Cloud]:
    """A product that nobody has linked yet."""
    clock = Time()
    cloud = Cloud.over(db, vault, clock, Authority(clock))
    yield cloud
    await cloud.aclose()


async def test_a_consent_becomes_an_account(cloud: Cloud) -> None:
    """Whose it is, what was granted and until when; and calls use it."""
    linked = await cloud.link(subject="bo")
    assert (linked.state, linked.identity_label, linked.subject) == ("active", "bo@acme.example", "bo")
    assert (linked.scopes, linked.method) == (("read", "write"), "oauth2")
    assert linked.expires == cloud.clock.now + 3600
    assert await cloud.only() == linked
    assert (await cloud.token()).startswith("access-canary")


async def test_what_is_asked(cloud: Cloud) -> None:
    """RFC 6749 §4.1.1 and RFC 7636 §4.3: everything that the answer is tied to, and no secret."""
    one, other = (cloud.consents.begin(ACME, cloud.connector(), redirect_uri=REDIRECT) for _ in range(2))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(one.url).query).items()}
    assert {name: asked[name] for name in ("response_type", "client_id", "redirect_uri", "scope")} == {
        "response_type": "code",
        "client_id": "linkspan",
        "redirect_uri": REDIRECT,
        "scope": "read write",
    }
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == len(asked["state"]) == 43
    assert one.verifier is not None
    assert one.verifier.reveal() not in one.url
    assert one.state != other.state
    assert "canary" not in one.url
    assert asked["state"] not in repr(one)


async def test_without_pkce_only_where_the_file_says_so(cloud: Cloud, tmp_path: Path) -> None:
    """The verifier is sent exactly when a challenge was."""
    text = FILE.read_text().replace("revoke_url:", "pkce: false\n        revoke_url:", 1)
    cloud.catalog = load(text, tmp_path)
    assert (await cloud.link()).state == "active"
    assert "code_verifier" not in cloud.authority.asked[0]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ({"state": "other"}, Forbidden, "not the answer to this consent"),
        ({"state": ""}, Forbidden, "not the answer to this consent"),
        ({"error": "access_denied"}, Forbidden, "denied at The Cloud"),
        ({"error": "server_error", "error_description": "on\nfire"}, UpstreamError, "on fire"),
        ({"code": ""}, UpstreamError, "no code"),
        ({"code": "made-up"}, NeedsReauth, "invalid_grant"),
    ],
    ids=["another state", "no state", "denied", "an error", "no code", "a made-up code"],
)
async def test_what_may_not_come_back(
    cloud: Cloud, answer: dict[str, str], error: type[LinkspanError], words: str
) -> None:
    """Each is told plainly, shows no secret, and links nothing."""
    with pytest.raises(error, match=words) as told:
        await cloud.link(answer=answer)
    assert "canary" not in str(told.value.to_dict())
    assert await cloud.accounts.list(ACME) == []


async def test_an_answer_from_another_server_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    """RFC 9207: `iss` is compared where the file says who the server is."""
    text = FILE.read_text().replace(
        "revoke_url:", "issuer: https://login.cloud.example\n        revoke_url:", 1
    )
    cloud.catalog = load(text, tmp_path)
    with pytest.raises(Forbidden, match="does not come from"):
        await cloud.link(answer={"iss": "https://login.evil.example"})
    assert (await cloud.link(answer={"iss": "https://login.cloud.example"})).state == "active"
    assert (await cloud.link()).state == "active"


async def test_a_consent_ends(cloud: Cloud) -> None:
    """Ten minutes, and a code is good once."""
    consent = cloud.consents.begin(ACME, cloud.connector(), redirect_uri=REDIRECT)
    brought = cloud.authority.consent(consent.url)
    cloud.clock.now += LIFETIME + 1
    with pytest.raises(Forbidden, match="ten minutes"):
        await cloud.consents.finish(consent, cloud.connector(), brought, cloud.verifier)
    cloud.clock.now -= LIFETIME
    await cloud.consents.finish(consent, cloud.connector(), brought, cloud.verifier)
    with pytest.raises(NeedsReauth):
        await cloud.consents.finish(consent, cloud.connector(), brought, cloud.verifier)


async def test_a_consent_may_be_written_down(cloud: Cloud) -> None:
    """Sealed for one record: it comes back as it was, and opens nowhere else."""
    own = {"client_id": "own", "client_secret": "own-canary"}
    consents = cloud.consents
    consent = consents.begin(ACME, cloud.connector(), redirect_uri=REDIRECT, subject="bo", sandbox=True)
    consent = replace(consent, secrets={name: Secret(value) for name, value in own.items()})
    sealed = await consents.seal(consent, "session-1")
    assert b"own-canary" not in sealed
    assert await consents.open(ACME, "session-1", sealed) == consent
    for tenant, record in ((ACME, "session-2"), ("bolt", "session-1")):
        with pytest.raises(SealBroken):
            await consents.open(tenant, record, sealed)


async def test_linking_again_keeps_the_account(cloud: Cloud) -> None:
    """The same person gives the same id; another one is a conflict and changes nothing."""
    first = await cloud.link()
    again = await cloud.link(account=first.id)
    assert (again.id, again.version) == (first.id, first.version + 1)
    without_naming = await cloud.link()
    assert (without_naming.id, await cloud.only()) == (first.id, without_naming)
    token = await cloud.token()
    cloud.authority.person = {"id": "8", "email": "eve@acme.example"}
    with pytest.raises(Conflict, match="another identity"):
        await cloud.link(account=first.id)
    assert await cloud.token() == token
    assert (await cloud.link()).id != first.id


async def test_a_failed_verification_keeps_the_grant(cloud: Cloud) -> None:
    """The account says so, cannot be used, and is verified later without another consent."""
    cloud.authority.api_faults.append(JSONResponse({"message": "not you"}, 403))
    linked = await cloud.link()
    assert (linked.state, linked.last_error) == (
        "validation_error",
        "The Cloud does not allow this for the linked account: not you",
    )
    assert await cloud.only() == linked
    with pytest.raises(NeedsReauth, match="validation_error"):
        await cloud.token()
    verified = await cloud.accounts.verify(ACME, linked.id, cloud.connector(), cloud.verifier)
    assert (verified.state, verified.identity_label) == ("active", "bo@acme.example")
    await cloud.token()


async def test_settings_are_found(cloud: Cloud) -> None:
    """Nobody types what the product knows."""
    linked = await cloud.link("sites")
    assert (linked.state, linked.settings) == ("active", {"site": "c1"})
    assert linked.origins == ("https://cloud.example:443",)
    credential = await cloud.accounts.credential(BO, cloud.connector("sites"))
    assert credential.settings == {"site": "c1"}


async def test_one_of_several_is_chosen(cloud: Cloud) -> None:
    """All are told with what chooses them; a later choice needs no other consent."""
    cloud.authority.sites.append({"id": "c2", "name": "Bolt"})
    linked = await cloud.link("sites")
    assert (linked.state, linked.last_error) == ("post_install_error", "Sites has 2 things to choose from")
    with pytest.raises(InvalidArgument, match="2 things") as told:
        await cloud.accounts.verify(ACME, linked.id, cloud.connector("sites"), cloud.verifier)
    assert told.value.hint == "Choose one: --setting site=c1 (Acme); --setting site=c2 (Bolt)."
    chosen = await cloud.accounts.verify(
        ACME, linked.id, cloud.connector("sites"), cloud.verifier, settings={"site": "c2"}
    )
    assert (chosen.state, chosen.settings, chosen.id) == ("active", {"site": "c2"}, linked.id)
    assert (await cloud.link("sites", settings={"site": "c1"})).settings == {"site": "c1"}


async def test_nothing_to_choose(cloud: Cloud) -> None:
    """A person without a site is told so."""
    cloud.authority.sites = []
    linked = await cloud.link("sites")
    assert linked.state == "post_install_error"
    assert "nothing there" in str(linked.last_error)


async def test_an_installation_is_proven(cloud: Cloud) -> None:
    """An id that somebody merely knows links nothing; the one of who came back does."""
    for number in ("43", ""):
        with pytest.raises((Forbidden, InvalidArgument)):
            await cloud.link(method="github_app", answer={"installation_id": number})
    cloud.authority.installations["43"] = "person-8"
    with pytest.raises(Forbidden, match="may not use that installation"):
        await cloud.link(method="github_app", answer={"installation_id": "43"})
    linked = await cloud.link(method="github_app", answer={"installation_id": "42"})
    assert (linked.state, linked.method) == ("active", "github_app")


async def test_what_is_not_linked_in_a_browser(cloud: Cloud) -> None:
    """Says how it is linked, and what is linked in one says that too."""
    with pytest.raises(InvalidArgument, match="not linked in a browser"):
        cloud.consents.begin(ACME, cloud.connector("own"), redirect_uri=REDIRECT)
    with pytest.raises(InvalidArgument, match="linked in a browser") as told:
        await cloud.accounts.link(ACME, cloud.connector())
    assert "--browser" in str(told.value.hint)


async def test_unlinking_gives_the_grant_back(cloud: Cloud) -> None:
    """RFC 7009; and the account goes even where that fails."""
    linked = await cloud.link()
    assert await cloud.accounts.unlink(ACME, linked.id, cloud.connector())
    assert all(grant.ended for grant in cloud.authority.grants.values())
    linked = await cloud.link("sites")
    assert not await cloud.accounts.unlink(ACME, linked.id, cloud.connector("sites"))
    assert await cloud.accounts.list(ACME) == []


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE accounts SET sealed = (SELECT sealed FROM accounts WHERE id = '{other}') WHERE id = '{one}'",
        "UPDATE accounts SET tenant = 'bolt' WHERE id = '{one}'",
    ],
    ids=["another account's", "another tenant's"],
)
async def test_a_moved_grant_does_not_open(cloud: Cloud, tampering: str) -> None:
    """Neither for a call nor for a renewal."""
    one = await cloud.link(subject="bo")
    other = await cloud.link(subject="eve")
    await cloud.db.execute(tampering.format(one=one.id, other=other.id))
    sent = len(cloud.authority.asked)
    cloud.clock.now += 3600
    with pytest.raises(LinkspanError):
        await cloud.token()
    assert len(cloud.authority.asked) == sent


async def test_the_operators_own_key(cloud: Cloud) -> None:
    """Nothing is linked; every tenant's calls carry the one key and a signed word of whose they are."""
    connector = cloud.connector("own")
    credential = await cloud.accounts.credential(BO, connector)
    assert credential.secrets["token"].reveal() == "client-secret-canary"
    head, claims, _signature = credential.secrets["tenant"].reveal().split(".")
    assert loads(decode(f"{head}==")) == {"alg": "HS256", "typ": "JWT"}
    said = loads(decode(f"{claims}=="))
    assert (said["iss"], said["sub"], said["aud"], said["person"]) == ("linkspan", "acme", "cloud", "bo")
    assert said["exp"] - said["iat"] == 120
    again = await cloud.accounts.credential(BO, connector)
    assert (again is credential) is (cloud.db.change_mark() is not None)  # PostgreSQL: nothing is cached
    cloud.clock.now += 61
    assert await cloud.accounts.credential(BO, connector) is not credential
    assert await cloud.accounts.list(ACME) == []
    assert "canary" not in repr(credential)
