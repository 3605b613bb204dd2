"""What a browser opens: the link page, the window on its way to a product, and the way back.

Behind the `#` of its address the page has the token; nothing that a person could click is shown before its
script has traded it for a session. Only then it loads itself again, now for that session, with a policy that
lets exactly the pages of the token's `allowed_origins` show it in a frame.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.link_attempts import LinkAttempts, Outcome
from linkspan.accounts.link_failures import failure_of
from linkspan.accounts.link_sessions import LinkSessions
from linkspan.errors import InvalidArgument, LinkspanError
from linkspan.spec.catalog import Catalog
from linkspan.store.link_sessions import LinkSession
from linkspan.web.faults import fault
from linkspan.web.link.browser import framed_by, traveller
from linkspan.web.link.sessions import Answer, Doors, Opening, place_of
from linkspan.web.oauth.login import see_other
from linkspan.web.oauth.place import See, Visit
from linkspan.web.pages import page

log = logging.getLogger("linkspan.link")
PATH: Final = "/connect-account"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
_HANDED_ON: Final = ("integration", "integrations", "auth_format", "no_back", "iframe")
_LONGEST: Final = 4_096


class Pages:
    """The pages of linking."""

    def __init__(
        self,
        sessions: LinkSessions,
        attempts: LinkAttempts,
        doors: Doors,
        *,
        catalog: Callable[[], Catalog],
        clock: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._attempts = attempts
        self._doors = doors
        self._catalog = catalog
        self._clock = clock

    async def show(self, request: Request, visit: Visit) -> Response:
        """Answer the page: for a token behind the `#`, for one in the query, or for a session."""
        query = _query(request)
        if "link_token" in query:
            return await self._arrive(request, visit, query)
        if "session" not in query:
            return self._page("loading", ancestors="*")
        session = await self._sessions.find(query["session"])
        return self._page("session", ancestors=_ancestors(session), session=session)

    async def _arrive(self, request: Request, visit: Visit, query: Mapping[str, str]) -> Response:
        """Trade a token in the query, as Truto's own script sends it, and take it out of the address.

        Only for a browser that says that somebody goes there (Fetch Metadata). Programs that look what is
        behind a link, as chats do for a preview, say nothing: they get the page, and its script trades it.
        """
        onward = {name: query[name] for name in _HANDED_ON if name in query}
        framed = framed_by(request.headers) or onward.get("iframe") in {"true", "1"}
        ahead = request.headers.get("sec-purpose", "").startswith("prefetch")
        if ahead or request.method == "HEAD":
            raise InvalidArgument("A link is opened by a person, not ahead of time")
        if request.headers.get("sec-fetch-mode") != "navigate":
            return self._page("loading", ancestors="*")
        asked = Opening(link_token=query["link_token"][:_LONGEST], framed=framed)
        try:
            entered = await self._doors.enter(request, visit, asked)
        except LinkspanError as error:
            return self._page("failed", ancestors="*", failure=failure_of(error), status=error.status)
        onward |= {"session": entered.session.id, "dialect": "truto"}
        response = see_other(f"{PATH}?{urlencode(onward)}")
        # The next page learns which page opened this one; of this address nobody learns anything.
        response.headers["referrer-policy"] = "strict-origin"
        return self._doors.keep(response, entered, visit, framed=framed)

    async def away(self, _request: Request, _visit: Visit) -> Response:
        """Answer the window that is about to go to a product."""
        return page("link/away.html", {}, headers=_headers("'none'"))

    async def back(self, request: Request, visit: Visit) -> Response:
        """Take what a browser brings back from a product."""
        began = self._clock()
        outcome = await self._attempts.come_back(_query(request), traveller(request, visit.base))
        await self._doors.note(outcome, began)
        return self._came_back(outcome)

    def _came_back(self, outcome: Outcome) -> Response:
        connector = self._catalog().connectors.get(outcome.connector)
        account, failure = outcome.account, outcome.failure
        values = {
            "title": connector.title if connector is not None else outcome.connector,
            "identity": account.identity_label if account is not None else None,
            "is_linked": account is not None and failure is None,
            "failure": failure,
            "onward": f"{PATH}?{urlencode({'session': outcome.session.id})}",
            "session": outcome.session.id,
        }
        return page("link/back.html", values, headers=_headers("'none'"))

    def _page(
        self,
        stage: str,
        *,
        ancestors: str,
        session: LinkSession | None = None,
        failure: Mapping[str, Any] | None = None,
        status: int = 200,
    ) -> Response:
        catalog = self._catalog()
        values = {
            "stage": stage,
            "product": catalog.title or catalog.name,
            "session": session.id if session is not None else "",
            "failure": failure,
        }
        return page("link/page.html", values, status=status, headers=_headers(ancestors))


def page_door(see: See, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Make a page of it: where it came to is looked at, and a failure is a page that stays."""

    async def endpoint(request: Request) -> Response:
        told: LinkspanError
        try:
            return await answer(request, place_of(see, request))
        except LinkspanError as error:
            told = error
        except Exception:
            told = fault(log, request, "the link page", "Something went wrong here")
        values = {"failure": failure_of(told)}
        return page("link/failed.html", values, status=told.status, headers=_headers("'none'"))

    return endpoint


def _headers(ancestors: str) -> dict[str, str]:
    return {"Content-Security-Policy": _POLICY.format(ancestors=ancestors)}


def _ancestors(session: LinkSession | None) -> str:
    return " ".join(session.origins) if session is not None and session.origins else "'none'"


def _query(request: Request) -> dict[str, str]:
    """Answer the query; a name that stands there twice means nothing."""
    raw: bytes = request.scope.get("query_string", b"")
    pairs = parse_qsl(raw[: 4 * _LONGEST].decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    names = [name for name, _value in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}
