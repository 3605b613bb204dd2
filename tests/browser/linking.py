"""All that linking in a browser needs: two products to link, Linkspan, and a page that offers it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Frame, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.browser.product import Product, product
from tests.fakes.tracker import Tracker
from tests.servers.browser import Person
from tests.servers.linkspan import Linkspan
from tests.servers.oidc import CLIENT, SECRET, Oidc, oidc
from tests.servers.serving import LOOPBACK, free_port, serving
from tests.servers.tls import tls

KEY: Final = next(iter(Tracker().tokens))
"""A good one for the tracker."""


@dataclass(frozen=True)
class Office:
    """A Linkspan that serves, the provider among its products, and a product's page of another site."""

    linkspan: Linkspan
    url: str
    provider: Oidc
    shop: Product

    def link(
        self, *words: str, tenant: str = "acme", origins: tuple[str, ...] | None = None
    ) -> dict[str, Any]:
        """Make a link token as an operator does; answers what the command prints."""
        allowed = [self.shop.url] if origins is None else origins
        more = [word for origin in allowed for word in ("--allowed-origin", origin)]
        made: dict[str, Any] = json.loads(
            self.linkspan.run("link", "create", *words, "--tenant", tenant, *more, "--json")
        )
        return made

    def accounts(self, tenant: str = "acme") -> list[dict[str, Any]]:
        """Answer the accounts of a tenant."""
        found: list[dict[str, Any]] = json.loads(
            self.linkspan.run("account", "list", "--tenant", tenant, "--json")
        )
        return found

    def expire(self, token: str) -> None:
        """Let the time of a link token be over."""
        with (
            contextlib.closing(sqlite3.connect(self.linkspan.home / "linkspan.sqlite")) as database,
            database,
        ):
            database.execute("UPDATE link_sessions SET expires = 1 WHERE id = ?", (token.split("_")[2],))

    def tenant(self, name: str) -> str:
        """Add a tenant for one test."""
        self.linkspan.add_tenant(name)
        return name


@contextlib.contextmanager
def office(folder: Path, *, secure: bool = False) -> Iterator[Office]:
    """Run all of it until the block ends; `secure` with TLS before Linkspan, as others reach it."""
    port, front = free_port(), free_port()
    base = f"https://{LOOPBACK}:{front}" if secure else f"http://{LOOPBACK}:{port}"
    with contextlib.ExitStack() as stack:
        tracker = stack.enter_context(serving(Tracker().app()))
        provider = stack.enter_context(oidc(folder, f"{base}/oauth/callback", lifetime=600))
        tools = folder / "tools.yaml"
        sites = stack.enter_context(serving(Starlette(routes=[Route("/all", _sites)])))
        urls = {"tracker": tracker, "sites": sites, "oidc": provider.url}
        tools.write_text(_TOOLS.format(**urls, client=CLIENT, secret=SECRET))
        home = Linkspan(folder / "home", tools, {"LINKSPAN_PUBLIC_URL": base})
        home.add_tenant("acme")
        stack.enter_context(home.serve(log=folder / "linkspan.log", port=port))
        if secure:
            stack.enter_context(tls(port=front, behind=port))
        yield Office(home, base, provider, stack.enter_context(product(base)))


async def _sites(request: Request) -> Response:
    """Answer the two sites of whoever has the key."""
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return JSONResponse({"error": {"message": "bad token"}}, 401)
    return JSONResponse([{"id": "c1", "name": "Acme Office"}, {"id": "c2", "name": "Acme Lab"}])


def at_the_provider(anna: Person, provider: Oidc, window: Page) -> None:
    """Wait until a window is there. Its pages are not ours: they ask for a font from outside, and an icon."""
    anna.watch.expect(rf"fonts\.googleapis\.com|{provider.url}/favicon\.ico")
    window.wait_for_url(f"{provider.url}/**")


def sign_in(anna: Person, provider: Oidc, window: Page, name: str = "bo") -> None:
    """Sign in there, and consent."""
    at_the_provider(anna, provider, window)
    window.get_by_placeholder("Enter any login").fill(name)
    window.get_by_placeholder("and password").fill("x")
    window.get_by_role("button", name="Sign-in").click()
    window.get_by_role("button", name="Continue").click()


def say_no(anna: Person, provider: Oidc, window: Page) -> None:
    """Cancel there."""
    at_the_provider(anna, provider, window)
    window.get_by_text("[ Cancel ]").click()


def back_again(page: Page) -> None:
    """Wait until the window in which somebody signed in has left the page that only leads back."""
    page.wait_for_url("**/connect-account?*")


def framed(page: Page) -> Frame:
    """Answer the link page in the dialog over a product's page."""
    element = page.wait_for_selector("dialog iframe")
    assert element is not None
    frame = element.content_frame()
    assert frame is not None
    return frame


_TOOLS: Final = """\
linkspan: 1
name: acme
title: Acme Desk
instructions: List and create tickets of this customer. Start with list_tickets.
connectors:
  tracker:
    title: The Tracker
    base_url: "{{settings.site}}/api"
    settings:
      site: {{type: origin, title: Address, default: "{tracker}"}}
      office: {{title: Office, required: true}}
    auth:
      - {{type: bearer, title: API token, help_url: "https://tracker.example/help"}}
      - {{type: basic, base_url: "{{settings.site}}/{{settings.office}}/api"}}
    verify: {{request: GET /me, id: id, label: email}}
  sites:
    title: Sites
    base_url: "{sites}/{{settings.site}}"
    settings: {{site: {{title: Site}}}}
    auth: [{{type: bearer}}]
    connected: {{request: GET /all, base_url: "{sites}", settings: {{site: id}}, label: name}}
  alerts: {{title: Alerts, base_url: "{tracker}/api", auth: [{{type: bearer}}]}}
  designs: {{title: Designs, base_url: "{tracker}/api", auth: [{{type: bearer}}]}}
  wiki: {{title: Wiki, base_url: "{tracker}/api", auth: [{{type: bearer}}]}}
  oidc:
    title: Identity
    base_url: {oidc}
    auth:
      - type: oauth2
        authorize_url: {oidc}/auth
        token_url: {oidc}/token
        scopes: [openid, email, offline_access]
        authorize_params: {{prompt: consent}}
        issuer: {oidc}
        client: {{id: {client}, secret: {secret}}}
    verify: {{request: GET /me, id: sub, label: email}}
entities:
  ticket:
    model: ticket
    sources:
      tracker:
        identity: "{{id}}"
        fields: {{id: id, title: subject}}
        operations:
          list: {{description: List tickets., request: GET /tickets, items: tickets}}
          create:
            description: Create a ticket with a title.
            request: POST /tickets
            body: {{subject: $title}}
            item: ticket
  user:
    model: user
    sources:
      oidc:
        identity: "{{id}}"
        fields: {{id: sub}}
        operations:
          list: {{description: List the user who is signed in., request: GET /me, items: "[@]"}}
"""
