"""The external identity provider: what is believed of what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from linkspan.accounts.openid import KEYS_APART, Attempt, Identity, OpenIdProvider
from linkspan.errors import UpstreamError
from linkspan.settings import Provider
from tests.accounts.conftest import Clock
from tests.fakes.asgi import AsgiTransport
from tests.fakes.identity import CLIENT_ID, CLIENT_SECRET, ISSUER, IdentityProvider

ATTEMPT = Attempt("state", "nonce", "v" * 43, "https://linkspan.example/sign-in/callback")


@pytest.fixture
def fake(clock: Clock) -> IdentityProvider:
    """The provider, which signs Anna in."""
    return IdentityProvider(clock)


@pytest.fixture
def transport(fake: IdentityProvider) -> AsgiTransport:
    """The way to it."""
    return AsgiTransport(fake.app())


@pytest.fixture
def provider(transport: AsgiTransport, clock: Clock) -> OpenIdProvider:
    """Us, as its client."""
    return OpenIdProvider(Provider(ISSUER, CLIENT_ID, CLIENT_SECRET), transport, clock=clock)


async def answer(
    provider: OpenIdProvider, fake: IdentityProvider, attempt: Attempt = ATTEMPT
) -> dict[str, str]:
    """Go to the provider with a browser, and come back with what it answers."""
    where = await provider.address(attempt)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=fake.app())) as browser:
        back = (await browser.get(where)).headers["location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}


async def identify(
    provider: OpenIdProvider, fake: IdentityProvider, attempt: Attempt = ATTEMPT, **changes: str
) -> Identity:
    told = {**await answer(provider, fake), **changes}
    return await provider.identify(attempt, told["code"], issuer=told.get("iss"))


async def refused(provider: OpenIdProvider, fake: IdentityProvider, **changes: Any) -> str:
    with pytest.raises(UpstreamError) as told:
        await identify(provider, fake, **changes)
    return told.value.message


async def test_whoever_signs_in_is_known(provider: OpenIdProvider, fake: IdentityProvider) -> None:
    """By issuer and subject, and by an address that was verified."""
    assert await identify(provider, fake) == Identity(ISSUER, "7", "anna@acme.example")


async def test_configuration_and_keys_are_asked_for_once(
    provider: OpenIdProvider, fake: IdentityProvider, clock: Clock
) -> None:
    """And again after an hour."""
    await identify(provider, fake)
    await identify(provider, fake)
    assert fake.asked == ["configuration", "token", "keys", "token"]
    clock.now += 3_600
    await identify(provider, fake)
    assert fake.asked[4:] == ["configuration", "token"]


@pytest.mark.parametrize("methods", [None, ["client_secret_basic"], ["client_secret_post"]])
async def test_the_secret_goes_the_way_that_the_provider_takes_it(
    methods: list[str] | None, provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """In the header, encoded, unless it wants it in the body."""
    fake.change_metadata = {"token_endpoint_auth_methods_supported": methods}
    assert (await identify(provider, fake)).subject == "7"


async def test_a_client_without_a_secret(
    transport: AsgiTransport, fake: IdentityProvider, clock: Clock
) -> None:
    """PKCE alone."""
    fake.secret = None
    provider = OpenIdProvider(Provider(ISSUER, CLIENT_ID), transport, clock=clock)
    assert (await identify(provider, fake)).subject == "7"


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "Anna@Acme.EXAMPLE", "email_verified": True}, "anna@acme.example"),
        ({"email": "anna@acme.example", "email_verified": False}, None),
        ({"email": "anna@acme.example", "email_verified": "true"}, None),
        ({"email": "anna@acme.example"}, None),
        ({"email": 7, "email_verified": True}, None),
        ({"email": "anna", "email_verified": True}, None),
        ({"email_verified": True}, None),
    ],
)
async def test_only_a_verified_address_counts(
    claims: dict[str, Any], email: str | None, provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """Whoever may write any address into a profile would be anybody."""
    fake.claims = {"sub": "7", **claims}
    assert await identify(provider, fake) == Identity(ISSUER, "7", email)


async def test_the_address_may_be_told_apart(provider: OpenIdProvider, fake: IdentityProvider) -> None:
    """At the userinfo endpoint, of the same subject only."""
    fake.userinfo = {"sub": "7", "email": "anna@acme.example", "email_verified": True}
    assert (await identify(provider, fake)).email == "anna@acme.example"
    fake.userinfo = {**fake.userinfo, "sub": "8"}
    assert "somebody else" in await refused(provider, fake)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iss": "https://evil.example"}, "not good"),
        ({"aud": "another"}, "not good"),
        ({"aud": [CLIENT_ID, "another"]}, "another client"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "another client"),
        ({"azp": "another"}, "another client"),
        ({"nonce": "other"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"exp": 999_000}, "over"),
        ({"exp": None}, "not good"),
        ({"iat": 1_001_000}, "another time"),
        ({"sub": None}, "not good"),
    ],
)
async def test_an_id_token_for_something_else_is_refused(
    change: dict[str, Any], words: str, provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """Issuer, audience, party, nonce and time."""
    fake.change_token = change
    assert words in await refused(provider, fake)


async def test_several_audiences_are_good_when_we_are_the_party(
    provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """OpenID Connect Core §3.1.3.7."""
    fake.change_token = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert (await identify(provider, fake)).subject == "7"


async def test_an_id_token_that_another_key_signed_is_refused(
    provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """Also with the name of the right key."""
    fake.signing_key = ec.generate_private_key(ec.SECP256R1())
    assert "not good" in await refused(provider, fake)


@pytest.mark.parametrize(("algorithm", "key"), [("none", None), ("HS256", CLIENT_SECRET * 2)])
async def test_an_id_token_that_anybody_could_have_signed_is_refused(
    algorithm: str, key: str | None, provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """No signature, and none made with a secret."""
    fake.algorithm, fake.signing_key = algorithm, key
    await refused(provider, fake)


async def test_a_new_key_is_asked_for_but_not_again_and_again(
    provider: OpenIdProvider, fake: IdentityProvider, clock: Clock
) -> None:
    """Providers change keys; a made-up key name makes us ask once a minute at most."""
    await identify(provider, fake)
    fake.kid = "two"
    await refused(provider, fake)
    assert fake.asked.count("keys") == 1
    clock.now += KEYS_APART
    await refused(provider, fake)
    assert fake.asked.count("keys") == 2
    fake.published = ["one", "two"]
    clock.now += KEYS_APART
    assert (await identify(provider, fake)).subject == "7"


async def test_a_code_of_another_attempt_is_refused(provider: OpenIdProvider, fake: IdentityProvider) -> None:
    """The verifier is of the one who asked."""
    await refused(provider, fake, attempt=replace(ATTEMPT, verifier="w" * 43))
    await refused(provider, fake, attempt=replace(ATTEMPT, nonce="other"))
    await refused(provider, fake, code="made up")


async def test_an_answer_of_another_provider_is_refused(
    provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """Mix-up (RFC 9207): before the code is sent anywhere."""
    assert "another provider" in await refused(provider, fake, iss="https://evil.example")
    assert "token" not in fake.asked
    fake.sends_issuer = False
    assert (await identify(provider, fake)).subject == "7"


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"jwks_uri": 7},
        {"authorization_endpoint": None},
    ],
)
async def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, Any], provider: OpenIdProvider, fake: IdentityProvider
) -> None:
    """Of another issuer, or without what is needed."""
    fake.change_metadata = change
    with pytest.raises(UpstreamError):
        await provider.address(ATTEMPT)


async def test_the_secret_is_never_told(
    transport: AsgiTransport, fake: IdentityProvider, clock: Clock
) -> None:
    """Not by a repr, not by an error."""
    wrong = Provider(ISSUER, CLIENT_ID, "wrong-secret")
    provider = OpenIdProvider(wrong, transport, clock=clock)
    assert "wrong-secret" not in await refused(provider, fake)
    assert "wrong-secret" not in repr(wrong)
