"""Through which door people come to runs: people of a tenant, operators, and products' pages."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.principal import Principal
from linkspan.accounts.sessions import Sessions
from linkspan.errors import Forbidden
from linkspan.web.oauth.browser import Browser, Random
from linkspan.web.oauth.login import Login, home_path, runs_path
from linkspan.web.oauth.place import Place
from linkspan.web.watch.pages import Ground
from linkspan.web.watch.viewer import Viewer


class Gate(Protocol):
    """One such door."""

    async def viewer(self, request: Request, place: Place) -> Viewer | None:
        """Answer who looks; None when nobody may."""
        ...

    def check(self, request: Request, place: Place, viewer: Viewer, seal: str | None) -> None:
        """Let only forms of our own pages through. Raises `Forbidden`."""
        ...

    def ground(self, request: Request, place: Place) -> Ground:
        """Answer where runs are shown."""
        ...

    def sign_in(self, request: Request, place: Place) -> Response:
        """Answer the page for somebody who has not signed in."""
        ...

    def keep(self, request: Request, place: Place, answer: Response) -> Response:
        """Let the browser keep what its forms are tied to."""
        ...


class TenantGate:
    """The door of a tenant's own people, known by their browser's session."""

    def __init__(self, sessions: Sessions, login: Login, *, random: Random) -> None:
        self._sessions = sessions
        self._login = login
        self._random = random

    async def viewer(self, request: Request, place: Place) -> Viewer | None:
        """Answer the person whose browser this is."""
        browser = self._browser(request, place)
        who = await self._sessions.find(place.tenant, browser.session)
        if who is None:
            return None
        principal = Principal(place.tenant, "person", who.person.name, scopes=who.person.scopes)
        seal = browser.seal(*_sealed(place, who.session))
        return Viewer(principal, who.person.name, session=who.session, seal=seal)

    def check(self, request: Request, place: Place, viewer: Viewer, seal: str | None) -> None:
        """Let only forms through that this browser was given."""
        if not self._browser(request, place).is_sealed(seal, *_sealed(place, viewer.session)):
            raise Forbidden("This page is too old to be answered", hint="Load it again.")

    def ground(self, request: Request, place: Place) -> Ground:  # noqa: ARG002
        """Answer the tenant's own pages."""
        return Ground(place.tenant, runs_path(place), home_path(place))

    def sign_in(self, request: Request, place: Place) -> Response:
        """Answer the tenant's page to sign in at, which leads back."""
        browser = self._browser(request, place)
        return browser.keep(self._login.page(browser, place, after=request.url.path, program=None))

    def keep(self, request: Request, place: Place, answer: Response) -> Response:
        """Let the browser keep its secret."""
        return self._browser(request, place).keep(answer)

    def _browser(self, request: Request, place: Place) -> Browser:
        return Browser(request, place, self._random)


def _sealed(place: Place, session: str) -> tuple[str, ...]:
    return ("runs", place.tenant, session)
