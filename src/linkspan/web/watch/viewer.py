"""Who looks at a run, and what they may do with it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from linkspan.accounts.principal import Principal
from linkspan.accounts.sessions import Sessions
from linkspan.errors import Forbidden, InvalidArgument
from linkspan.runs.about import approvers_of, waits_to_publish
from linkspan.runs.rights import may, person_says
from linkspan.store.runs import Run
from linkspan.web.oauth.browser import Browser, Random
from linkspan.web.oauth.place import Place


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks."""

    principal: Principal
    name: str
    """What the page calls them."""
    person: str | None = None
    """For whom it is done, where a product's page acts for somebody."""
    session: str = ""
    """Of their browser; empty where a token is shown instead, which no foreign form can be made to."""
    seal: str = ""
    """What ties a form to this browser."""

    def may(self, right: str) -> bool:
        """Tell whether they may do this at all."""
        try:
            may(self.principal, right)
        except Forbidden:
            return False
        return True

    def why_not_decide(self, run: Run) -> str | None:
        """Answer why they may not decide what the run asks; None when they may."""
        try:
            person_says(self.principal, "run.approve", self.person, approvers_of(run))
        except (Forbidden, InvalidArgument) as error:
            return error.message
        return None


class Viewers:
    """Knows people by their browser's session."""

    def __init__(self, sessions: Sessions, *, random: Random) -> None:
        self._sessions = sessions
        self._random = random

    async def signed_in(self, request: Request, place: Place) -> Viewer | None:
        """Answer the person whose browser this is; None when nobody has signed in with it."""
        browser = Browser(request, place, self._random)
        who = await self._sessions.find(place.tenant, browser.session)
        if who is None:
            return None
        principal = Principal(place.tenant, "person", who.person.name, scopes=who.person.scopes)
        seal = browser.seal(*_sealed(place, who.session))
        return Viewer(principal, who.person.name, session=who.session, seal=seal)

    def check(self, request: Request, place: Place, viewer: Viewer, seal: str | None) -> None:
        """Let only forms of our own pages through. Raises `Forbidden`."""
        browser = Browser(request, place, self._random)
        if not browser.is_sealed(seal, *_sealed(place, viewer.session)):
            raise Forbidden("This page is too old to be answered", hint="Load it again.")


def _sealed(place: Place, session: str) -> tuple[str, ...]:
    return ("runs", place.tenant, session)


def hears(run: Run) -> bool:
    """Tell whether somebody's words to Codex would be heard."""
    return not (run.is_finished or run.state == "publishing" or waits_to_publish(run))
