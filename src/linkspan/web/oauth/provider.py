"""Signing in with an external OpenID Connect provider.

Nothing is kept here while somebody is there: what has to come back is made of a secret that only this browser
has. Its cookie holds that secret, the tenant, the way on and an end; `state`, `nonce` and the PKCE verifier
are digests under it. So an answer fits only the browser that asked, only the tenant and the way on that it
asked for, and only for ten minutes.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from linkspan.accounts.openid import Attempt, OpenIdProvider
from linkspan.accounts.principal import Tenant
from linkspan.accounts.sessions import Sessions
from linkspan.errors import Forbidden
from linkspan.gateway.throttle import Throttle
from linkspan.web.oauth.browser import Browser, Random, cookie_name, set_cookie
from linkspan.web.oauth.forms import read_query
from linkspan.web.oauth.login import Door, go_on, home_path, see_other
from linkspan.web.oauth.place import Place, is_tenant
from linkspan.web.pages import page

CALLBACK: Final = "/sign-in/callback"
"""The path to register at the provider, the same for every tenant."""
LIFETIME: Final = 600
_COOKIE: Final = "linkspan-openid"
_LONGEST_AFTER: Final = 2_500
_STALE: Final = "Start the sign-in again, in one browser."


class ProviderLogin:
    """The page with the way to the provider, and the way back."""

    def __init__(
        self,
        provider: OpenIdProvider,
        sessions: Sessions,
        *,
        clock: Callable[[], float],
        random: Random,
        throttle: Throttle,
    ) -> None:
        self._provider = provider
        self._sessions = sessions
        self._clock = clock
        self._random = random
        self._throttle = throttle

    def routes(self, door: Door) -> Sequence[BaseRoute]:
        """Answer the way there and the way back."""
        return [
            Route("/t/{tenant}/sign-in/provider", door(self.go), methods=["GET"]),
            Route(CALLBACK, door(self.come_back), methods=["GET"]),
        ]

    def page(self, browser: Browser, place: Place, *, after: str, program: str | None) -> Response:  # noqa: ARG002
        """Answer the page with a link to the provider."""
        values = {
            "tenant": place.tenant,
            "program": program,
            "provider": urlsplit(self._provider.issuer).hostname,
            "address": f"{home_path(place)}/provider?{urlencode({'after': after})}",
        }
        return page("oauth/sign_in_provider.html", values)

    async def go(self, request: Request, place: Place) -> Response:
        """Send the browser to the provider."""
        self._throttle.take(place.address)
        after = read_query(request).one("after") or ""
        kept = {
            "secret": base64.urlsafe_b64encode(self._random(32)).decode(),
            "tenant": place.tenant,
            "after": after if len(after) <= _LONGEST_AFTER else "",
            "until": int(self._clock()) + LIFETIME,
        }
        answer = see_other(await self._provider.address(_attempt(kept, place)))
        text = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        set_cookie(answer, cookie_name(_COOKIE, place), text, place, lifetime=LIFETIME)
        return answer

    async def come_back(self, request: Request, place: Place) -> Response:
        """Sign in whom the provider names, if this browser asked it to."""
        self._throttle.take(place.address)
        form = read_query(request)
        kept = _kept(request.cookies.get(cookie_name(_COOKIE, place)))
        if kept is None or kept["until"] < self._clock():
            raise Forbidden("This sign-in was begun too long ago, or in another browser", hint=_STALE)
        place = Place(place.base, Tenant(kept["tenant"]), place.address)
        attempt = _attempt(kept, place)
        if not hmac.compare_digest((form.one("state") or "").encode(), attempt.state.encode()):
            raise Forbidden("This answer is none to what this browser asked", hint=_STALE)
        code = form.one("code")
        if form.one("error") is not None or code is None:
            raise Forbidden(
                "The identity provider did not sign you in",
                hint="Start again when you have an account there.",
            )
        identity = await self._provider.identify(attempt, code, issuer=form.one("iss"))
        who = await self._sessions.welcome(place.tenant, identity.issuer, identity.subject, identity.email)
        answer = go_on(Browser(request, place, self._random), place, who, kept["after"])
        set_cookie(answer, cookie_name(_COOKIE, place), "", place, lifetime=0)
        return answer


def _attempt(kept: dict[str, Any], place: Place) -> Attempt:
    words = json.dumps([kept["tenant"], kept["after"], kept["until"], place.base]).encode()

    def derived(purpose: bytes) -> str:
        made = hmac.digest(kept["secret"].encode(), purpose + b":" + words, "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()

    return Attempt(
        state=derived(b"state"),
        nonce=derived(b"nonce"),
        verifier=derived(b"verifier"),
        redirect_uri=f"{place.base}{CALLBACK}",
    )


def _kept(cookie: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode((cookie or "").encode()))
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != {"secret", "tenant", "after", "until"}:
        return None
    words = (found["secret"], found["tenant"], found["after"])
    if not all(isinstance(word, str) for word in words) or not isinstance(found["until"], int):
        return None
    return found if len(found["secret"]) == 44 and is_tenant(found["tenant"]) else None
