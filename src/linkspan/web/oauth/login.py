"""The way in which somebody says who he is: one of several, chosen by the operator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from linkspan.accounts.sessions import SignedIn
from linkspan.web.oauth.browser import Browser
from linkspan.web.oauth.place import Place

Answer = Callable[[Request, Place], Awaitable[Response]]
"""What a page or an endpoint does with a request that came to a place."""
Door = Callable[[Answer], Callable[[Request], Awaitable[Response]]]
"""Makes an endpoint of it: checks where the request came to, and tells errors as a page."""


class Login(Protocol):
    """A way to sign in."""

    def routes(self, door: Door) -> Sequence[BaseRoute]:
        """Answer the routes that it needs besides the page."""
        ...

    def page(self, browser: Browser, place: Place, *, after: str, program: str | None) -> Response:
        """Answer the page for somebody who has not signed in.

        `after` is the path to go on to then; `program` is what asks, where its name is known already.
        """
        ...


def home_path(place: Place) -> str:
    """Answer the path of the page of whoever is signed in."""
    return f"{place.path}/sign-in"


def authorize_path(place: Place) -> str:
    """Answer the path where programs ask."""
    return f"{place.path}/oauth/authorize"


def runs_path(place: Place) -> str:
    """Answer the path of the tenant's runs, as people see them."""
    return f"{place.path}/runs"


def go_on(browser: Browser, place: Place, who: SignedIn, after: str | None) -> Response:
    """Answer the way on for somebody who has just signed in: to one of our own pages, wherever it says."""
    known = after is not None and after.startswith((f"{authorize_path(place)}?", f"{runs_path(place)}"))
    target = after if known and after is not None else home_path(place)
    return browser.sign_in(see_other(target), who)


def see_other(url: str) -> Response:
    """Answer a redirect that nothing keeps and that tells the next one nothing of where it came from."""
    response = RedirectResponse(
        url, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )
    # Starlette encodes a URL again; this one is exactly what a client has registered.
    response.headers["location"] = url
    return response
