"""The whole HTTP face in process, with browsers, programs that sign in, and a clock set by hand."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Mount, Route

from linkspan import spec
from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import Provider, Settings, SignIn
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.identity import CLIENT_ID, CLIENT_SECRET, ISSUER, IdentityProvider
from tests.fakes.tracker import Tracker

ROOT = Path(__file__).parents[2]
BASE = "https://linkspan.example"
ACME, BOLT = Tenant("acme"), Tenant("bolt")
CODEX = "https://chatgpt.com/oauth/codex/client.json"
APP = "https://app.example/client.json"
LOOPBACK = "http://127.0.0.1:38109/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BY_PROVIDER = SignIn(provider=Provider(ISSUER, CLIENT_ID, CLIENT_SECRET))
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass
class Clock:
    """A clock that stands until it is set."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Everything that is served, and everybody that it talks to."""

    app: App
    serving: Serving
    clock: Clock
    identity: IdentityProvider
    outside: AsgiTransport
    base: str = BASE
    documents: dict[str, Any] = field(default_factory=dict)
    tracker: Tracker = field(default_factory=Tracker)

    def client(self, *, address: str = "203.0.113.7") -> httpx2.AsyncClient:
        """Somebody on the network: a browser keeps cookies, a program has none to keep."""
        transport = httpx2.ASGITransport(app=Watched(self.serving.asgi), client=(address, 4711))
        return httpx2.AsyncClient(transport=transport, base_url=self.base)

    async def invitation(self, name: str = "anna", tenant: Tenant = ACME, **more: Any) -> str:
        """Invite a person; answers the secret of the link."""
        made = await self.app.people.invite(tenant, name, **more)
        assert made.secret is not None
        return made.secret.reveal()

    def resource(self, tenant: str = ACME) -> str:
        """The MCP endpoint of a tenant."""
        return f"{self.base}/t/{tenant}/mcp"

    def question(self, tenant: str = ACME, **changes: Any) -> dict[str, Any]:
        """What Codex asks the authorization endpoint; None leaves a parameter out."""
        asked = {
            "response_type": "code",
            "client_id": CODEX,
            "state": "a state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "redirect_uri": LOOPBACK,
            "scope": "read write offline_access",
            "resource": self.resource(tenant),
            **changes,
        }
        return {name: value for name, value in asked.items() if value is not None}

    async def rpc(
        self, token: str, method: str = "tools/list", tenant: str = ACME, **params: Any
    ) -> httpx2.Response:
        """Send one MCP request."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.client() as client:
            return await client.post(f"/t/{tenant}/mcp", json=body, headers=headers)


def fields(page: str) -> dict[str, Any]:
    """The hidden fields of a form."""
    found: dict[str, Any] = {}
    for name, value in _HIDDEN.findall(page):
        found.setdefault(name, []).append(html.unescape(value))
    return found


def told(location: str) -> dict[str, str]:
    """The parameters of a redirect, each there once."""
    found = parse_qs(urlsplit(location).query)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


@dataclass
class Person:
    """A browser in which somebody has signed in, and what a program does with it."""

    world: World
    browser: httpx2.AsyncClient
    tenant: Tenant = ACME

    async def ask(self, **changes: Any) -> httpx2.Response:
        """Open the address that a program opens."""
        asked = self.world.question(self.tenant, **changes)
        return await self.browser.get(f"/t/{self.tenant}/oauth/authorize", params=asked)

    async def decide(self, page: httpx2.Response, decision: str = "allow", **changes: Any) -> httpx2.Response:
        """Press a button of the page."""
        assert page.status_code == 200, page.text
        form = {**fields(page.text), "decision": decision, "extent": "asked", **changes}
        return await self.browser.post(f"/t/{self.tenant}/oauth/authorize", data=form)

    async def code(self, **changes: Any) -> str:
        """Let a program act, and answer its code."""
        answer = await self.decide(await self.ask(**changes))
        assert answer.status_code == 303, answer.text
        return told(answer.headers["location"])["code"]

    async def exchange(self, given: str, /, **changes: Any) -> httpx2.Response:
        """Send a code to the token endpoint, as Codex does."""
        form = {
            "grant_type": "authorization_code",
            "code": given,
            "code_verifier": VERIFIER,
            "client_id": CODEX,
            "redirect_uri": LOOPBACK,
            "resource": self.world.resource(self.tenant),
            **changes,
        }
        return await self.post("token", {name: value for name, value in form.items() if value is not None})

    async def refresh(self, token: str, **changes: Any) -> httpx2.Response:
        """Send a refresh token to the token endpoint, as Codex does."""
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CODEX, **changes}
        return await self.post("token", form)

    async def post(self, endpoint: str, form: Mapping[str, Any], **more: Any) -> httpx2.Response:
        """Send a form to an endpoint of the tenant, without a browser's cookies."""
        async with self.world.client() as program:
            return await program.post(f"/t/{self.tenant}/oauth/{endpoint}", data=dict(form), **more)

    async def tokens(self, **changes: Any) -> dict[str, Any]:
        """Sign a program in; answers what it got."""
        answer = await self.exchange(await self.code(**changes))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
def sign_in() -> SignIn:
    """How people sign in: by invitation."""
    return SignIn()


@pytest.fixture
def public_url() -> str | None:
    """Served under a name, over TLS."""
    return BASE


@pytest.fixture
def settings(tmp_path: Path, sign_in: SignIn, public_url: str | None) -> Settings:
    """What the operator has set; a test gives another `sign_in` or `public_url` as a parameter."""
    return Settings(home=tmp_path / "home", public_url=public_url, sign_in=sign_in)


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    """Tenants acme and bolt in front of the tracker; acme has its account there."""
    clock = Clock()
    tracker = Tracker({f"canary-{name}": name for name in (ACME, BOLT)})
    identity = IdentityProvider(clock)
    documents: dict[str, Any] = {}

    async def document(request: Request) -> Response:
        found = documents.get(str(request.url))
        return JSONResponse(found) if found is not None else JSONResponse({}, 404)

    outside = Starlette(
        routes=[
            Host("id.example", identity.app()),
            Host("app.example", Starlette(routes=[Route("/{rest:path}", document)])),
            Mount("/", tracker.app()),
        ]
    )
    transport = AsgiTransport(outside)
    catalog = spec.load([ROOT / "fakes" / "tracker.yaml"], {})
    app = await build(settings, catalog=catalog, transport=transport, clock=clock)
    for name in (ACME, BOLT):
        tenant = await app.tenants.add(name)
        connector = app.catalog.connectors["tracker"]
        await app.accounts.link(tenant, connector, secrets={"token": f"canary-{name}"})
    documents[APP] = {
        "client_id": APP,
        "client_name": "An App",
        "redirect_uris": ["https://app.example/cb", "http://127.0.0.1/callback"],
    }
    base = settings.public_url or "http://127.0.0.1:8640"
    yield World(app, Serving(app, clock=clock), clock, identity, transport, base, documents, tracker)
    await app.aclose()


@pytest.fixture
async def browser(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which nobody has signed in."""
    async with world.client() as client:
        yield client


async def signed_in(
    world: World, browser: httpx2.AsyncClient, name: str = "anna", tenant: Tenant = ACME
) -> Person:
    """Sign somebody in by invitation, as the page does."""
    page = await browser.get(f"/t/{tenant}/invitation")
    form = {**fields(page.text), "invitation": await world.invitation(name, tenant)}
    answer = await browser.post(f"/t/{tenant}/invitation", data=form)
    assert answer.status_code == 303, answer.text
    return Person(world, browser, tenant)


@pytest.fixture
async def anna(world: World, browser: httpx2.AsyncClient) -> Person:
    """Anna, signed in at acme."""
    return await signed_in(world, browser)


@pytest.fixture
async def eve(world: World) -> AsyncIterator[Person]:
    """Eve, signed in at bolt with a browser of her own."""
    async with world.client(address="203.0.113.66") as client:
        yield await signed_in(world, client, "eve", BOLT)
