"""The page of whoever is signed in: who that is, what acts for him, and the ways out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.grants import Grants
from linkspan.accounts.sessions import Sessions, SignedIn
from linkspan.errors import Forbidden
from linkspan.spec.catalog import Catalog
from linkspan.web.oauth.browser import Browser, Random
from linkspan.web.oauth.forms import read_form
from linkspan.web.oauth.login import Login, home_path, see_other
from linkspan.web.oauth.place import Place
from linkspan.web.oauth.words import in_short
from linkspan.web.pages import page


class Home:
    """The page, signing out, and ending the sign-in of a program."""

    def __init__(
        self,
        grants: Grants,
        sessions: Sessions,
        login: Login,
        *,
        catalog: Callable[[], Catalog],
        random: Random,
    ) -> None:
        self._grants = grants
        self._sessions = sessions
        self._login = login
        self._catalog = catalog
        self._random = random

    async def show(self, request: Request, place: Place) -> Response:
        """Answer the page, or the one to sign in at."""
        browser = Browser(request, place, self._random)
        who = await self._sessions.find(place.tenant, browser.session)
        if who is None:
            return browser.keep(self._login.page(browser, place, after="", program=None))
        catalog = self._catalog()
        programs = [
            {
                "id": grant.id,
                "name": grant.client_name,
                "extent": in_short(grant.scopes),
                "since": _day(grant.created),
                "seen": _day(grant.rotated),
            }
            for grant in await self._grants.list(place.tenant, person=who.person.name)
        ]
        values = {
            "tenant": place.tenant,
            "person": who.person,
            "product": catalog.title or catalog.name,
            "resource": place.resource,
            "programs": programs,
            "path": place.path,
            "seal": browser.seal(*_sealed(place, who)),
        }
        return browser.keep(page("oauth/home.html", values, headers={"Referrer-Policy": "same-origin"}))

    async def sign_out(self, request: Request, place: Place) -> Response:
        """Let the browser go; programs stay signed in."""
        browser, who = await self._someone(request, place)
        await self._sessions.end(place.tenant, who)
        return browser.sign_out(see_other(home_path(place)))

    async def end(self, request: Request, place: Place) -> Response:
        """End the sign-in of one program, at once."""
        _browser, who = await self._someone(request, place)
        await self._grants.end(place.tenant, request.path_params["grant"], person=who.person.name)
        return see_other(home_path(place))

    async def _someone(self, request: Request, place: Place) -> tuple[Browser, SignedIn]:
        form = await read_form(request)
        browser = Browser(request, place, self._random)
        who = await self._sessions.find(place.tenant, browser.session)
        if who is None or not browser.is_sealed(form.one("seal"), *_sealed(place, who)):
            raise Forbidden("This page is too old to be answered", hint="Load it again.")
        return browser, who


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _sealed(place: Place, who: SignedIn) -> tuple[str, ...]:
    return ("home", place.tenant, who.session)
