"""Signing in to the console: with an admin key, or at the identity provider that the operator trusts."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from linkspan.accounts.openid import Attempt, OpenIdProvider
from linkspan.errors import Forbidden, LinkspanError, NotFound, RateLimited, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.vault.secret import Secret
from linkspan.web.console.door import COOKIE, PATH, Parts, door, failed, log, place_of, visit_of
from linkspan.web.console.door import Visit as ConsoleVisit
from linkspan.web.faults import fault
from linkspan.web.oauth.browser import Browser, cookie_name, set_cookie
from linkspan.web.oauth.forms import read_form, read_query
from linkspan.web.oauth.login import see_other
from linkspan.web.oauth.place import Place
from linkspan.web.pages import page

CALLBACK: Final = f"{PATH}/sign-in/callback"
"""The path to register at the provider, beside that of tenants' people."""
_WAY: Final = "linkspan-console-openid"
_LIFETIME: Final = 600
_STALE: Final = "Start the sign-in again, in one browser."


class SignIn:
    """The page, the key, and the way to the provider and back."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._attempts = Throttle(rate=1 / 6, burst=10, clock=parts.clock)

    def routes(self) -> Sequence[BaseRoute]:
        """Answer its routes."""
        return [
            Route(f"{PATH}/sign-in", self._door(self.show), methods=["GET"]),
            Route(f"{PATH}/sign-in", self._door(self.enter), methods=["POST"]),
            Route(f"{PATH}/sign-in/provider", self._door(self.go), methods=["GET"]),
            Route(CALLBACK, self._door(self.come_back), methods=["GET"]),
            Route(f"{PATH}/sign-out", door(self._parts, self.leave), methods=["POST"]),
        ]

    async def show(self, request: Request, place: Place) -> Response:
        """Answer the page; who has signed in already goes on."""
        if await visit_of(self._parts, request) is not None:
            return see_other(PATH)
        return self._page(request, place)

    async def enter(self, request: Request, place: Place) -> Response:
        """Sign in with a key. Whoever guesses is told to wait, and learns nothing by it."""
        form = await read_form(request)
        self._check(request, place, form.one("seal"))
        try:
            self._attempts.take(place.address)
            cookie, _admin = await self._parts.sessions.by_key(form.one("key") or "")
        except (Unauthenticated, RateLimited) as error:
            return self._page(request, place, error)
        return self._kept(place, cookie)

    async def go(self, _request: Request, place: Place) -> Response:
        """Send the browser to the provider."""
        provider = self._provider()
        self._attempts.take(place.address)
        kept = {
            "secret": base64.urlsafe_b64encode(self._parts.random(32)).decode(),
            "until": int(self._parts.clock()) + _LIFETIME,
        }
        answer = see_other(await provider.address(_attempt(kept, place)))
        text = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        set_cookie(answer, cookie_name(_WAY, place), text, place, lifetime=_LIFETIME)
        return answer

    async def come_back(self, request: Request, place: Place) -> Response:
        """Sign in whom the provider names, if this browser asked it to and they may come in."""
        provider, form = self._provider(), read_query(request)
        self._attempts.take(place.address)
        kept = _read(request.cookies.get(cookie_name(_WAY, place)))
        if kept is None or kept["until"] < self._parts.clock():
            raise Forbidden("This sign-in was begun too long ago, or in another browser", hint=_STALE)
        attempt, code = _attempt(kept, place), form.one("code")
        if not hmac.compare_digest((form.one("state") or "").encode(), attempt.state.encode()):
            raise Forbidden("This answer is none to what this browser asked", hint=_STALE)
        if form.one("error") is not None or code is None:
            raise Forbidden("The identity provider did not sign you in")
        identity = await provider.identify(attempt, code, issuer=form.one("iss"))
        cookie, _admin = await self._parts.sessions.by_provider(identity.email)
        answer = self._kept(place, cookie)
        set_cookie(answer, cookie_name(_WAY, place), "", place, lifetime=0)
        return answer

    async def leave(self, visit: ConsoleVisit) -> Response:
        """Let the browser go."""
        await self._parts.sessions.end(visit.session)
        answer = see_other(f"{PATH}/sign-in")
        set_cookie(answer, cookie_name(COOKIE, visit.place), "", visit.place, lifetime=0)
        return answer

    def _kept(self, place: Place, cookie: Secret) -> Response:
        answer = see_other(PATH)
        set_cookie(answer, cookie_name(COOKIE, place), cookie.reveal(), place)
        return answer

    def _check(self, request: Request, place: Place, seal: str | None) -> None:
        if not Browser(request, place, self._parts.random).is_sealed(seal, "console", "sign-in"):
            raise Forbidden("This page is too old, or your browser keeps no cookies", hint="Load it again.")

    def _provider(self) -> OpenIdProvider:
        if self._parts.provider is None or not self._parts.settings.console_people:
            raise NotFound("There is nothing at this address")
        return self._parts.provider

    def _page(self, request: Request, place: Place, fault: LinkspanError | None = None) -> Response:
        browser = Browser(request, place, self._parts.random)
        provider = self._parts.provider if self._parts.settings.console_people else None
        values = {
            "seal": browser.seal("console", "sign-in"),
            "fault": fault,
            "provider": urlsplit(provider.issuer).hostname if provider is not None else None,
        }
        headers = {"Referrer-Policy": "same-origin"}
        return browser.keep(
            page("console/sign_in.html", values, status=fault.status if fault else 200, headers=headers)
        )

    def _door(
        self, answer: Callable[[Request, Place], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request, place_of(self._parts.see, request))
            except LinkspanError as error:
                return failed(error)
            except Exception:
                return failed(fault(log, request, "signing in to the console"))

        return endpoint


def _attempt(kept: dict[str, Any], place: Place) -> Attempt:
    words = json.dumps(["console", kept["until"], place.base]).encode()

    def derived(purpose: bytes) -> str:
        made = hmac.digest(kept["secret"].encode(), purpose + b":" + words, "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    return Attempt(derived(b"state"), derived(b"nonce"), derived(b"verifier"), f"{place.base}{CALLBACK}")


def _read(cookie: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode((cookie or "").encode()))
    except ValueError:
        return None
    fits = isinstance(found, dict) and set(found) == {"secret", "until"}
    if not fits or not isinstance(found["secret"], str) or not isinstance(found["until"], int):
        return None
    return found if len(found["secret"]) == 44 else None
