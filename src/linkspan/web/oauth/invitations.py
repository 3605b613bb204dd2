"""Signing in with an invitation link, once for each browser.

The link carries its secret behind the `#`, which no server and no log sees, and which the preview of a chat
program does not open: a page of ours puts it into the form, takes it out of the address, and the person
presses the button.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from linkspan.accounts.sessions import Sessions
from linkspan.errors import Forbidden, RateLimited, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.web.oauth.browser import Browser, Random
from linkspan.web.oauth.forms import read_form
from linkspan.web.oauth.login import Door, go_on
from linkspan.web.oauth.place import Place
from linkspan.web.pages import HEADERS, page

_POLICY: Final = f"{HEADERS['Content-Security-Policy']}; script-src 'self'"


class InvitationLogin:
    """The page with a field for the invitation, and what takes it."""

    def __init__(self, sessions: Sessions, *, random: Random, throttle: Throttle) -> None:
        self._sessions = sessions
        self._random = random
        self._throttle = throttle

    def routes(self, door: Door) -> Sequence[BaseRoute]:
        """Answer where an invitation link leads to, and where its form goes."""
        return [
            Route("/t/{tenant}/invitation", door(self.show), methods=["GET"]),
            Route("/t/{tenant}/invitation", door(self.accept), methods=["POST"]),
        ]

    def page(self, browser: Browser, place: Place, *, after: str, program: str | None) -> Response:
        """Answer the page with the field."""
        return self._page(browser, place, after, program)

    async def show(self, request: Request, place: Place) -> Response:
        """Answer the page with the field, for somebody who is signed in as well: he may be somebody else."""
        browser = Browser(request, place, self._random)
        return browser.keep(self._page(browser, place, "", None))

    async def accept(self, request: Request, place: Place) -> Response:
        """Sign in with what the field holds."""
        form = await read_form(request)
        browser = Browser(request, place, self._random)
        after = form.one("after") or ""
        if not browser.is_sealed(form.one("seal"), "invitation", place.tenant, after):
            raise Forbidden(
                "This page is too old, or your browser keeps no cookies",
                hint="Open the invitation link again.",
            )
        try:
            self._throttle.take(place.address)
            who = await self._sessions.accept(place.tenant, _secret(form.one("invitation") or ""))
        except (Unauthenticated, RateLimited) as error:
            return self._page(browser, place, after, None, fault=error)
        return go_on(browser, place, who, after)

    def _page(
        self,
        browser: Browser,
        place: Place,
        after: str,
        program: str | None,
        *,
        fault: Unauthenticated | RateLimited | None = None,
    ) -> Response:
        values = {
            "tenant": place.tenant,
            "program": program,
            "action": f"{place.path}/invitation",
            "after": after,
            "seal": browser.seal("invitation", place.tenant, after),
            "fault": fault,
        }
        return page(
            "oauth/sign_in.html",
            values,
            status=fault.status if fault else 200,
            headers={"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"},
        )


def _secret(text: str) -> str:
    """Answer the secret of what was pasted: the whole link, or what stands behind its `#`."""
    return text.strip().rpartition("#")[2]
