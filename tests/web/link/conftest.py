"""The link page in process: browsers with cookies, products behind it, and a clock set by hand."""

from __future__ import annotations

import math
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.net.messages import Request, Response
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.store.accounts import Account
from tests.fakes.asgi import AsgiTransport
from tests.fakes.authority import Authority, Grant
from tests.fakes.cloud import Time, load
from tests.store.engines import Engine, Postgres

BASE: Final = "https://linkspan.example"
SITE: Final = "https://app.acme.example"
ACME, BOLT = Tenant("acme"), Tenant("bolt")
FILE: Final = Path(__file__).with_name("products.yaml")


class Outside(AsgiTransport):
    """The products; `then` is done whenever one of them has answered."""

    then: Callable[[Request], Awaitable[None]] | None = None

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send one request."""
        answer = await super().exchange(request, timeout=timeout, max_bytes=max_bytes)
        if self.then is not None:
            await self.then(request)
        return answer


@dataclass
class Browser:
    """A browser at the link page: it keeps cookies, and its scripts say where they come from."""

    http: httpx2.AsyncClient
    session: str = ""
    handle: str | None = None
    """What a framed page keeps in memory where the browser keeps no cookies."""

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """Send what a script of the page sends."""
        sent = {"Origin": BASE, "Sec-Fetch-Site": "same-origin", **headers}
        if self.handle is not None:
            sent["Linkspan-Link"] = self.handle
        return await self.http.post(path, json=body, headers={k: v for k, v in sent.items() if v})

    async def open(self, token: str, **more: Any) -> httpx2.Response:
        """Open a token."""
        answer = await self.post("/link-session", {"link_token": token, **more})
        if answer.is_success:
            self.session, self.handle = answer.json()["id"], answer.json()["handle"]
        return answer

    async def ask(self, what: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Ask something of the session."""
        return await self.post(f"/link-session/{self.session}/{what}", body or {}, **headers)

    async def show(self) -> Any:
        """What the page is told."""
        headers = {"Linkspan-Link": self.handle} if self.handle else {}
        answer = await self.http.get(f"/link-session/{self.session}", headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def link(self, integration: str = "tracker", **more: Any) -> httpx2.Response:
        """Link by a credential."""
        secrets = {"token": more.pop("token", "bos-canary-key")}
        return await self.ask("account", {"integration": integration, "secrets": secrets, **more})

    async def depart(self, integration: str = "cloud", **more: Any) -> str:
        """Set out for a product; answer where the window goes."""
        asked = await self.ask("consent", {"integration": integration, "method": "oauth2", **more})
        assert asked.is_success, asked.text
        went = await self.post("/link-session/depart", asked.json())
        assert went.is_success, went.text
        return str(went.json()["url"])

    async def back(self, answer: dict[str, str]) -> httpx2.Response:
        """Come back with what a product gave."""
        return await self.http.get("/oauth/callback", params=answer)


@dataclass
class Place:
    """Linkspan, its products, and who uses it."""

    app: App
    serving: Serving
    engine: Engine
    clock: Time
    authority: Authority
    outside: Outside
    base: str = BASE
    browsers: list[httpx2.AsyncClient] = field(default_factory=list)

    def browser(self, address: str = "203.0.113.7") -> Browser:
        """A browser that has never been here."""
        transport = httpx2.ASGITransport(app=self.serving.asgi, client=(address, 4711))
        http = httpx2.AsyncClient(transport=transport, base_url=self.base)
        self.browsers.append(http)
        return Browser(http)

    async def token(self, *connectors: str, tenant: Tenant = ACME, **more: Any) -> str:
        """Make a link token."""
        made = await self.app.link_sessions.create(tenant, connectors=connectors, **more)
        return made.text.reveal()

    async def opened(self, *connectors: str, **more: Any) -> Browser:
        """A browser that has opened a new token."""
        browser = self.browser()
        answer = await browser.open(await self.token(*connectors, **more))
        assert answer.is_success, answer.text
        return browser

    def know_keys(self) -> None:
        """Let the products know a key of Bo's and one of Eve's."""
        for key, number in (("bos-canary-key", "7"), ("eves-canary-key", "8")):
            name = key.partition("s-")[0]
            person = {"id": number, "email": f"{name}@acme.example"}
            self.authority.access[key] = (Grant(person, "", ""), math.inf)

    async def accounts(self, tenant: Tenant = ACME) -> list[Account]:
        """The accounts of a tenant."""
        return await self.app.accounts.list(tenant)

    async def only(self) -> Account:
        """The one account there is."""
        (found,) = await self.accounts()
        return found


def told(answer: httpx2.Response) -> Any:
    """The failure of an answer, in the words of the page."""
    assert not answer.is_success
    return answer.json()["failure"]


def query(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def policy(answer: httpx2.Response) -> dict[str, str]:
    """The content security policy, by directive."""
    words = (part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in words}


def message(page: str) -> str:
    """What a page says went wrong."""
    found = re.search(r'role="alert"><strong[^>]*>([^<]*)</strong>\s*([^<]*)<', page)
    assert found is not None, page
    return f"{found[1]} {found[2]}".strip()


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
async def place(tmp_path: Path, engine: Engine) -> AsyncIterator[Place]:
    """Linkspan with two tenants in front of the products, on each engine."""
    clock = Time()
    authority = Authority(clock)
    outside = Outside(authority.app())
    app = await build(
        Settings(
            home=tmp_path / "home",
            database=str(engine.place) if isinstance(engine, Postgres) else None,
            public_url=BASE,
        ),
        catalog=load(FILE.read_text(), tmp_path),
        transport=outside,
        clock=clock,
        random=os.urandom,
    )
    for name in (ACME, BOLT):
        await app.tenants.add(name)
    place = Place(app, Serving(app, clock=clock), engine, clock, authority, outside)
    yield place
    for http in place.browsers:
        await http.aclose()
    await app.aclose()
