"""A product's page, of another site than Linkspan, with a button that opens Linkspan's by `linkspan.js`.

It is as strict as a careful product is: its Content-Security-Policy lets in the module and the frame, and
neither inline scripts nor inline styles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from tests.servers.browser import Person, until
from tests.servers.node import installed
from tests.servers.serving import serving

_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>A product</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"><script type="module" src="/product.js"></script></head>
<body><main><h1>A product</h1><p><button id="connect">Connect your tracker</button></p><div id="place"></div>
</main></body>
</html>"""
_OURS: Final = 'import { connect } from "LINKSPAN/static/linkspan.js";'
_TRUTOS: Final = """
import authenticate from "/truto.js";
const connect = (token, options) => authenticate(token, { baseUrl: "LINKSPAN", ...options });
"""
_SCRIPT: Final = """
const told = (end) => end instanceof Error || end instanceof DOMException
  ? { name: end.name, message: end.message, error_type: end.error_type } : end;
const controller = new AbortController();
Object.assign(window, { controller, events: [], options: {}, outcome: null, token: "" });
const fetched = () => new Promise((give, deny) => Object.assign(window, { give, deny }));
document.querySelector("#connect").onclick = () => {
  const { iframe = true, ...options } = window.options;
  window.outcome = null;
  connect(window.token ?? fetched(), {
    ...options,
    iframe: typeof iframe === "string" ? document.querySelector(iframe) : iframe,
    signal: controller.signal,
    onEvent: (event) => window.events.push(event),
  }).then(
    (value) => { window.outcome = { resolved: value }; },
    (end) => { window.outcome = { rejected: told(end) }; },
  );
};
document.body.dataset.ready = "";
"""


@dataclass(frozen=True)
class Product:
    """The product as it is served."""

    url: str

    def open(self, person: Person, token: str | None, **options: Any) -> Page:
        """Open its page, ready for a click on `Connect your tracker`; without a token it is still fetched."""
        page = person.open(self.url)
        page.wait_for_selector("[data-ready]")
        page.evaluate("([token, options]) => Object.assign(window, { token, options })", [token, options])
        return page


def start(page: Page) -> None:
    """Click as a person does."""
    page.get_by_role("button", name="Connect your tracker").click()


def outcome(page: Page) -> dict[str, Any]:
    """Wait for what the promise comes to: `resolved` or `rejected`, with what."""
    found: dict[str, Any] = until(page, "window.outcome")
    return found


def events(page: Page) -> list[dict[str, Any]]:
    """Answer what `onEvent` was told until now."""
    found: list[dict[str, Any]] = page.evaluate("window.events")
    return found


@contextlib.contextmanager
def product(linkspan: str, *pages: str, truto: bool = False) -> Iterator[Product]:
    """Serve a product that takes the module from `linkspan`, and may also frame the other `pages`.

    With `truto` it has Truto's script instead, from its own npm package.
    """
    policy = (
        f"default-src 'none'; script-src 'self' {linkspan}; img-src data:;"
        f" frame-src {' '.join((linkspan, *pages))}; connect-src {linkspan}"
    )

    async def page(_request: Request) -> Response:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": policy})

    async def script(_request: Request) -> Response:
        text = (_TRUTOS if truto else _OURS) + _SCRIPT
        return Response(text.replace("LINKSPAN", linkspan), media_type="text/javascript")

    async def trutos(_request: Request) -> Response:
        return FileResponse(installed("@truto/truto-link-sdk/dist/main.js"), media_type="text/javascript")

    routes = [Route("/", page), Route("/product.js", script), Route("/truto.js", trutos)]
    with serving(Starlette(routes=routes)) as url:
        yield Product(url.replace("127.0.0.1", "localhost"))
