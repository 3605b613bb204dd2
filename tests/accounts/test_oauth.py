"""What is sent to a token endpoint, and how its answers are read."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from linkspan import spec
from linkspan.accounts.oauth import OAuthClient
from linkspan.accounts.providers import Provider, provider_of
from linkspan.accounts.token_answers import GrantGone, Tokens, read_scopes
from linkspan.errors import LinkspanError, UpstreamError
from linkspan.net.client import Client
from linkspan.net.messages import Request, Response
from linkspan.vault.secret import Secret
from tests.fakes.cloud import ENVIRONMENT, PEM

NOW = 1_800_000_000.0
FILE = """\
linkspan: 1
name: odd
instructions: Nothing is listed here, so list nothing.
connectors:
  odd:
    title: Odd
    base_url: https://api.odd.example
    settings: {{site: {{title: Site, default: acme}}}}
    auth:
      - type: {type}
        token_url: https://{{settings.site}}.odd.example/token
        {more}
"""


@dataclass
class Endpoint:
    """A transport that answers everything with one answer, and keeps what it was asked."""

    answer: Response
    asked: list[Request] = field(default_factory=list)

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Answer."""
        self.asked.append(request)
        return self.answer

    async def aclose(self) -> None:
        """Close nothing."""

    @property
    def form(self) -> str:
        """The last body."""
        body = self.asked[-1].body
        assert body is not None
        return body.decode()


def answered(body: Any = None, status: int = 200, media: str = "application/json") -> Response:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Response(status, {"content-type": media}, content, "https://acme.odd.example/token")


GOOD = {"access_token": "at", "token_type": "bearer", "expires_in": 3600}
Odd = Callable[..., Provider]


@pytest.fixture
def odd(tmp_path: Path) -> Odd:
    """A provider whose way to connect is written in YAML."""

    def make(
        more: str = "client: {id: us, secret: s3cret}", kind: str = "client_credentials", **secrets: str
    ) -> Provider:
        path = tmp_path / "tools.yaml"
        path.write_text(FILE.format(type=kind, more=more))
        connector = spec.load([path], ENVIRONMENT).connectors["odd"]
        own = {name: Secret(value) for name, value in secrets.items()}
        return provider_of(connector, connector.auth[0], {"site": "acme"}, own)

    return make


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A token endpoint that gives a token."""
    yield Endpoint(answered(GOOD))


async def renewed(endpoint: Endpoint, provider: Provider) -> Tokens:
    return await OAuthClient(Client(endpoint), clock=lambda: NOW).refresh(provider, Secret("old-refresh"))


@pytest.mark.parametrize(
    ("more", "header", "form"),
    [
        (
            ["client: {id: 'u s', secret: 'a:b/c'}"],
            "Basic " + base64.b64encode(b"u+s:a%3Ab%2Fc").decode(),
            "grant_type=refresh_token&refresh_token=old-refresh",
        ),
        (
            ["client_auth: post", "client: {id: us, secret: s}"],
            None,
            "grant_type=refresh_token&refresh_token=old-refresh&client_id=us&client_secret=s",
        ),
        (
            ["client: {id: us}", "token_params: {resource: x, flag: true}"],
            None,
            "grant_type=refresh_token&refresh_token=old-refresh&resource=x&flag=true&client_id=us",
        ),
    ],
    ids=["basic", "post", "none"],
)
async def test_the_client_proves_itself(
    odd: Odd, endpoint: Endpoint, more: list[str], header: str | None, form: str
) -> None:
    """RFC 6749 §2.3.1: encoded before it is joined; or in the body; or only named."""
    lines = "\n        ".join([*more, "authorize_url: https://odd.example/authorize"])
    await renewed(endpoint, odd(lines, kind="oauth2"))
    assert endpoint.asked[-1].headers.get("Authorization") == header
    assert endpoint.form == form
    assert endpoint.asked[-1].url == "https://acme.odd.example/token"


@pytest.mark.parametrize(
    ("answer", "body", "expires"),
    [
        ("{}", {"expires_in": 60}, NOW + 60),
        ("{}", {"expires_in": "60"}, NOW + 60),
        ("{}", {"expires_in": 0}, None),
        ("{}", {"expires_in": -5}, None),
        ("{}", {"expires_in": True}, None),
        ("{}", {"expires_in": "soon"}, None),
        ("{}", {"expires_in": 1e300}, None),
        ("{}", {}, None),
        ("{lifetime: 2h}", {}, NOW + 7200),
        ("{unit: ms}", {"expires_in": 60_000}, NOW + 60),
        ("{unit: epoch, expires: exp}", {"exp": NOW + 5}, NOW + 5),
        ("{unit: epoch_ms, expires: exp}", {"exp": (NOW + 5) * 1000}, NOW + 5),
        ("{unit: date, expires: until}", {"until": "2027-01-15T08:00:10Z"}, NOW + 10),
        ("{unit: date, expires: until}", {"until": "2027-01-15T08:00:10"}, NOW + 10),
        ("{unit: date, expires: until, lifetime: 1h}", {"until": "never"}, NOW + 3600),
    ],
)
async def test_the_end_of_a_token(
    odd: Odd, endpoint: Endpoint, answer: str, body: dict[str, Any], expires: float | None
) -> None:
    """In every unit, counted from when it was asked for; nonsense is as good as nothing."""
    endpoint.answer = answered({"access_token": "at", **body})
    provider = odd(f"client: {{id: us, secret: s}}\n        answer: {answer}")
    assert (await renewed(endpoint, provider)).expires == expires


async def test_tokens_stand_where_the_file_says(odd: Odd, endpoint: Endpoint) -> None:
    """As Slack puts them; and a form is read too, as GitHub answers."""
    more = "client: {id: us, secret: s}\n        answer: {access_token: user.token, refresh_token: user.next}"
    endpoint.answer = answered({"ok": True, "user": {"token": "at", "next": "rt"}})
    tokens = await renewed(endpoint, odd(more))
    assert (tokens.access_token.reveal(), tokens.refresh_token) == ("at", Secret("rt"))
    endpoint.answer = answered("access_token=at2&scope=a%2Cb", media="application/x-www-form-urlencoded")
    tokens = await renewed(endpoint, odd())
    assert (tokens.access_token.reveal(), tokens.refresh_token, tokens.scopes) == ("at2", None, ("a", "b"))


@pytest.mark.parametrize(
    ("status", "body", "gone"),
    [
        (400, {"error": "invalid_grant"}, True),
        (401, {"error": "invalid_grant"}, True),
        (200, {"error": "bad_refresh_token"}, True),
        (200, {"ok": False, "error": "invalid_refresh_token"}, True),
        (400, {"error": "revoked_by_admin"}, True),
        (400, {"error": "invalid_request"}, False),
        (401, {"error": "invalid_client"}, False),
        (401, {}, False),
        (400, {"error": "<script>"}, False),
        (500, {"error": "server_error"}, False),
        (400, "not json at all", False),
        (404, "<html>no</html>", False),
        (200, {"token_type": "bearer"}, False),
        (200, {"access_token": "a b"}, False),
        (200, {"access_token": "at", "refresh_token": 7}, False),
        (200, ["access_token"], False),
    ],
)
async def test_only_the_products_word_ends_a_grant(
    odd: Odd, endpoint: Endpoint, status: int, body: Any, gone: bool
) -> None:
    """RFC 6749 §5.2, what others say instead, and what the file adds; nothing else does."""
    endpoint.answer = answered(body, status)
    provider = odd("client: {id: us, secret: s}\n        answer: {gone: [revoked_by_admin]}")
    with pytest.raises(LinkspanError) as told:
        await renewed(endpoint, provider)
    assert isinstance(told.value, GrantGone) is gone
    assert gone or isinstance(told.value, UpstreamError)
    assert "script" not in str(told.value)
    assert told.value.upstream_status == status


async def test_a_client_that_the_account_brought_is_its_own_fault(odd: Odd, endpoint: Endpoint) -> None:
    """The operator's is the operator's, and the hint says so."""
    endpoint.answer = answered({"error": "invalid_client"}, 401)
    with pytest.raises(GrantGone):
        await renewed(endpoint, odd("scopes: [a]", client_id="own", client_secret="secret"))
    with pytest.raises(UpstreamError) as told:
        await renewed(endpoint, odd())
    assert "operator" in str(told.value.hint)


async def test_no_message_repeats_what_was_sent(odd: Odd, endpoint: Endpoint) -> None:
    """A product's words are told, unless they quote a secret."""
    for words, is_told in (
        ("the grant was\nrevoked", True),
        ("old-refresh is bad", False),
        ("s3cret!", False),
    ):
        endpoint.answer = answered({"error": "invalid_grant", "error_description": words}, 400)
        with pytest.raises(GrantGone) as told:
            await renewed(endpoint, odd())
        assert ("the grant was revoked" in str(told.value)) is is_told
        assert not any(secret in str(told.value.to_dict()) for secret in ("old-refresh", "s3cret"))


async def test_a_refresh_is_sent_once(odd: Odd, endpoint: Endpoint) -> None:
    """A server that rotates takes the second one for theft; other requests may come twice."""
    endpoint.answer = answered({}, 503)
    with pytest.raises(UpstreamError):
        await renewed(endpoint, odd())
    assert len(endpoint.asked) == 1


async def test_a_redirected_token_request_is_not_followed(odd: Odd, endpoint: Endpoint) -> None:
    """It would carry the client's secret elsewhere."""
    headers = {"location": "https://evil.example/token"}
    endpoint.answer = Response(307, headers, b"", "https://acme.odd.example/token")
    with pytest.raises(UpstreamError, match="redirected"):
        await renewed(endpoint, odd())
    assert len(endpoint.asked) == 1


async def test_an_app_signs_for_its_installation(odd: Odd, endpoint: Endpoint) -> None:
    """RS256 over `iss`, `iat` in the past and `exp` within ten minutes, as GitHub wants it."""
    endpoint.answer = answered({"token": "ghs", "expires_at": "2027-01-15T09:00:00Z"}, 201)
    provider = odd("client: {id: app, private_key: '${CLOUD_PEM}'}", kind="client_credentials")
    tokens = await OAuthClient(Client(endpoint), clock=lambda: NOW).installation(
        _as_app(provider), Secret("42")
    )
    assert (tokens.access_token.reveal(), tokens.expires) == ("ghs", NOW + 3600)
    request = endpoint.asked[-1]
    assert request.url == "https://api.odd.example/app/installations/42/access_tokens"
    head, claims, signature = request.headers["Authorization"].removeprefix("Bearer ").split(".")
    assert _json(head) == {"alg": "RS256", "typ": "JWT"}
    assert _json(claims) == {"iss": "app", "iat": NOW - 60, "exp": NOW + 480}
    public = load_pem_private_key(PEM.encode(), password=None).public_key()
    assert isinstance(public, RSAPublicKey)
    padded = base64.urlsafe_b64decode(f"{signature}==")
    public.verify(padded, f"{head}.{claims}".encode(), PKCS1v15(), SHA256())


@pytest.mark.parametrize(("status", "gone"), [(404, True), (403, True), (401, False), (500, False)])
async def test_an_installation_that_is_not_there(
    odd: Odd, endpoint: Endpoint, status: int, gone: bool
) -> None:
    """Removed and suspended ones need a new link; a signature that is refused is the operator's matter."""
    endpoint.answer = answered({"message": "no"}, status)
    provider = _as_app(odd("client: {id: app, private_key: '${CLOUD_PEM}'}"))
    with pytest.raises(LinkspanError) as told:
        await OAuthClient(Client(endpoint), clock=lambda: NOW).installation(provider, Secret("42"))
    assert isinstance(told.value, GrantGone) is gone


def _as_app(provider: Provider) -> Provider:
    """Answer the provider with the answers of a GitHub App."""
    answer = replace(
        provider.oauth.answer,
        unit="date",
        access_token=lambda body: body.get("token"),
        expires=lambda body: body.get("expires_at"),
    )
    return replace(provider, oauth=replace(provider.oauth, answer=answer))


def _json(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(f"{part}=="))


@given(st.one_of(st.text(), st.lists(st.text()), st.integers(), st.none()))
def test_scopes_are_words(value: Any) -> None:
    """Whatever a product answers: words of bounded length, each once, or nothing."""
    found = read_scopes(value, ",")
    assert found is None or (found and len(set(found)) == len(found))
    assert all(word and len(word) <= 200 for word in found or ())
