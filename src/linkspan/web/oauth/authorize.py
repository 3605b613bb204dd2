"""A program asks, a person says yes or no.

Nothing is asked of anybody, nothing is fetched and nobody is sent anywhere before somebody has signed in: an
authorization request is a link that a stranger may have made. A client or a redirect URI that does not fit is
told on a page; any other fault is told to the program, where the way there is a program on this machine, and
on a page with a link otherwise, so that we are nobody's open redirector (RFC 9700 §4.11).

Everybody is asked each time. A program on somebody's machine cannot prove which one it is, so an earlier yes
says nothing about who asks now (RFC 8252 §8.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.clients import Client, Clients, codex_client
from linkspan.accounts.grants import LONGEST, Consent, Grants
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.redirects import Redirect
from linkspan.accounts.scopes import narrow
from linkspan.accounts.sessions import Sessions, SignedIn
from linkspan.accounts.tokens import check_scopes
from linkspan.errors import Forbidden, InvalidArgument
from linkspan.gateway.throttle import Throttle
from linkspan.spec.catalog import Catalog
from linkspan.web.oauth.browser import Browser, Random
from linkspan.web.oauth.forms import Form, read_form, read_query
from linkspan.web.oauth.login import Login, authorize_path, home_path, see_other
from linkspan.web.oauth.place import Place
from linkspan.web.oauth.words import in_words
from linkspan.web.pages import HEADERS, page

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST_STATE: Final = 4_096
_OURS: Final = (
    "client_id",
    "redirect_uri",
    "response_type",
    "state",
    "scope",
    "resource",
    "code_challenge",
    "code_challenge_method",
)
"""The parameters that we understand; others are not repeated."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An authorization request that can be granted."""

    client: Client
    redirect: Redirect
    state: str | None
    challenge: str
    scopes: tuple[str, ...]
    """What was asked for, within what this person may give."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A person who can be asked."""

    browser: Browser
    who: SignedIn
    wish: Wish


class Authorize:
    """The authorization endpoint and its page."""

    def __init__(
        self,
        clients: Clients,
        grants: Grants,
        sessions: Sessions,
        login: Login,
        *,
        catalog: Callable[[], Catalog],
        random: Random,
        throttle: Throttle,
    ) -> None:
        self._clients = clients
        self._grants = grants
        self._sessions = sessions
        self._login = login
        self._catalog = catalog
        self._random = random
        self._throttle = throttle

    async def show(self, request: Request, place: Place) -> Response:
        """Answer the page that asks (GET)."""
        form = read_query(request)
        ready = await self._ready(request, place, form, after=request.scope["query_string"].decode("ascii"))
        return ready if isinstance(ready, Response) else self._ask(place, form, ready)

    async def decide(self, request: Request, place: Place) -> Response:
        """Do what the person has said (POST)."""
        form = await read_form(request)
        ready = await self._ready(request, place, form, after=urlencode(_ours(form)))
        if isinstance(ready, Response):
            return ready
        if not ready.browser.is_sealed(form.one("seal"), *_sealed(place, ready.who, form)):
            raise Forbidden("This page is too old to be answered", hint="Start the sign-in again.")
        return await self._settle(place, form, ready)

    async def _ready(self, request: Request, place: Place, form: Form, *, after: str) -> Ready | Response:
        """Answer who is asked for what; or what comes before that, or instead."""
        client_id, redirect_uri = form.one("client_id"), form.one("redirect_uri")
        if client_id is None or redirect_uri is None:
            raise OAuthRefused(
                "invalid_request",
                "This is the address that programs open to sign in, with a client_id and a redirect_uri",
                hint=f"In Codex: codex mcp login NAME, for the server {place.resource}",
            )
        browser = Browser(request, place, self._random)
        who = await self._sessions.find(place.tenant, browser.session)
        if who is None:
            codex = codex_client(client_id)
            page = self._login.page(
                browser,
                place,
                after=f"{authorize_path(place)}?{after}",
                program=codex.name if codex is not None else None,
            )
            return browser.keep(page)
        client = await self._clients.find(place.tenant, client_id)
        if client is None:
            self._throttle.take(f"{place.tenant}/{who.person.name}")
            client = await self._clients.fetch(client_id)
        redirect = client.redirect(redirect_uri)
        try:
            return Ready(browser, who, self._wish(place, form, who, client, redirect))
        except OAuthRefused as refused:
            return self._refuse(place, form, client, redirect, refused)

    def _wish(self, place: Place, form: Form, who: SignedIn, client: Client, redirect: Redirect) -> Wish:
        state = form.one("state")
        if form.one("response_type") != "code":
            raise OAuthRefused("unsupported_response_type", "response_type must be code")
        challenge = form.one("code_challenge") or ""
        if form.one("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise OAuthRefused("invalid_request", "PKCE is required: code_challenge with S256")
        if not form.all("resource"):
            raise OAuthRefused("invalid_target", f"resource is required: {place.resource}")
        if set(form.all("resource")) != {place.resource}:
            raise OAuthRefused("invalid_target", f"The only resource here is {place.resource}")
        if state is not None and len(state) > _LONGEST_STATE:
            raise OAuthRefused("invalid_request", f"state may have {_LONGEST_STATE} characters")
        asked = [word for word in (form.one("scope") or "read").split() if word != "offline_access"]
        try:
            words = check_scopes(asked or ["read"])
        except InvalidArgument as error:
            raise OAuthRefused("invalid_scope", error.message, hint=error.hint) from error
        scopes = narrow(words, who.person.scopes, self._catalog())
        if not scopes:
            raise OAuthRefused("invalid_scope", f"{who.person.name} may give nothing of what was asked for")
        return Wish(client, redirect, state, challenge, scopes)

    def _refuse(
        self, place: Place, form: Form, client: Client, redirect: Redirect, refused: OAuthRefused
    ) -> Response:
        """Tell the program what it did wrong; over a link to be clicked unless it is on this machine."""
        states = form.all("state")
        back = _answer(
            redirect,
            place,
            states[0] if len(states) == 1 else None,
            error=refused.error,
            error_description=_ascii(refused.message),
        )
        if redirect.is_loopback:
            return see_other(back)
        values = {
            "title": f"{client.name} asked for something that cannot be granted",
            "message": f"{refused.message}.",
            "hint": refused.hint,
            "back": {"url": back, "host": redirect.host},
        }
        return page("oauth/refused.html", values, status=400)

    def _ask(self, place: Place, form: Form, ready: Ready) -> Response:
        wish, who = ready.wish, ready.who
        catalog = self._catalog()
        values = {
            "client": wish.client,
            "redirect": wish.redirect,
            "tenant": place.tenant,
            "person": who.person,
            "product": catalog.title or catalog.name,
            "abilities": in_words(wish.scopes, catalog),
            "readable": in_words(("read",), catalog) if "write" in wish.scopes else [],
            "days": int(LONGEST / 86_400),
            "action": authorize_path(place),
            "home": home_path(place),
            "fields": [
                *_ours(form),
                ("seal", ready.browser.seal(*_sealed(place, who, form))),
            ],
        }
        # A form may lead on only to where the answer goes; CSP has no way to write an IPv6 address.
        target = "http:" if wish.redirect.host.startswith("[") else wish.redirect.origin
        policy = HEADERS["Content-Security-Policy"].replace(
            "form-action 'self'", f"form-action 'self' {target}"
        )
        answer = page(
            "oauth/consent.html",
            values,
            headers={"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"},
        )
        return ready.browser.keep(answer)

    async def _settle(self, place: Place, form: Form, ready: Ready) -> Response:
        wish = ready.wish
        if form.one("decision") != "allow":
            told = {"error": "access_denied", "error_description": "The person said no"}
            return see_other(_answer(wish.redirect, place, wish.state, **told))
        scopes = wish.scopes
        if form.one("extent") == "read":
            scopes = narrow(("read",), scopes, self._catalog())
        code = await self._grants.allow(
            place.tenant,
            Consent(ready.who.person, wish.client, wish.redirect.uri, wish.challenge, scopes, place.resource),
        )
        await self._clients.used(place.tenant, wish.client)
        return see_other(_answer(wish.redirect, place, wish.state, code=code.reveal()))


def _ours(form: Form) -> list[tuple[str, str]]:
    return [(name, value) for name, value in form.pairs if name in _OURS and value]


def _sealed(place: Place, who: SignedIn, form: Form) -> tuple[str, ...]:
    """Everything that an answer to the page depends on: this person, and exactly this request."""
    return ("consent", place.tenant, who.session, urlencode(_ours(form)))


def _answer(redirect: Redirect, place: Place, state: str | None, **told: str) -> str:
    """Answer the redirect with what is told, the state and who tells it (RFC 6749 §4.1.2, RFC 9207 §2)."""
    query = urlencode({**told, **({"state": state} if state is not None else {}), "iss": place.issuer})
    return f"{redirect.uri}{'&' if '?' in redirect.uri else '?'}{query}"


def _ascii(text: str) -> str:
    """Answer what an error_description may hold (RFC 6749 §4.1.2.1)."""
    return "".join(mark if " " <= mark <= "~" and mark not in '"\\' else " " for mark in text)
