"""What the link page asks and does, as JSON. Every failure has the words of the page in it.

Who asks shows the session's handle (browser.py) and is a script of our own page. Attempts are counted by
session: a product locks people out who show it one wrong key after the other.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from pydantic import Field, SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from linkspan.accounts.link_attempts import Asked, LinkAttempts, Outcome
from linkspan.accounts.link_failures import failure_of
from linkspan.accounts.link_sessions import Entered, LinkSessions
from linkspan.errors import LinkspanError, NotFound
from linkspan.gateway.throttle import Throttle
from linkspan.spec.catalog import Catalog
from linkspan.store.audit import AuditRow, AuditWriter
from linkspan.store.link_sessions import LinkSession
from linkspan.vault.secret import Secret
from linkspan.web.api.models import SETTING
from linkspan.web.api.reading import Model, read_body
from linkspan.web.faults import fault
from linkspan.web.link.browser import Random, check_page, handle_of, session_cookie, traveller_cookie
from linkspan.web.link.shown import session_shown
from linkspan.web.oauth.place import See, Visit, may_sign_in

log = logging.getLogger("linkspan.link")
_MOST_BYTES: Final = 65_536
_Text = Annotated[str, Field(max_length=4_000)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_Settings = Annotated[dict[_Name, Annotated[str, Field(max_length=SETTING)]], Field(max_length=50)]


class Opening(Model):
    """A token that is opened, and by which page's frame."""

    link_token: _Text
    framed: bool = False
    parent: _Text | None = None


class Attempt(Model):
    """What was chosen and entered."""

    integration: _Name
    method: _Name | None = None
    settings: _Settings = {}
    secrets: Annotated[dict[_Name, Annotated[SecretStr, Field(max_length=16_384)]], Field(max_length=10)] = {}
    confirmed: bool = False


class Choice(Model):
    """What was chosen among several things."""

    settings: _Settings = {}


class Ticket(Model):
    """What lets a window set out."""

    ticket: _Text


@dataclass(frozen=True, slots=True)
class Parts:
    """What linking is made of."""

    sessions: LinkSessions
    attempts: LinkAttempts
    audit: AuditWriter
    catalog: Callable[[], Catalog]
    clock: Callable[[], float]
    random: Random
    see: See
    opened: Throttle = field(init=False)
    """How often one address may open tokens: 30 at once, one in two seconds in the long run."""
    tried: Throttle = field(init=False)
    """How often one session may try: 10 times at once, one in six seconds in the long run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "opened", Throttle(rate=0.5, burst=30, clock=self.clock))
        object.__setattr__(self, "tried", Throttle(rate=1 / 6, burst=10, clock=self.clock))


Answer = Callable[[Request, Visit], Awaitable[Response]]


class Doors:
    """The page's requests."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def open(self, request: Request, visit: Visit) -> Response:
        """Open a token in this browser, and show its session."""
        check_page(request, visit.base)
        asked = await read_body(request, Opening, _MOST_BYTES)
        entered = await self.enter(request, visit, asked)
        shown = entered.handle.reveal() if asked.framed and entered.handle is not None else None
        response = JSONResponse({"id": entered.session.id, "handle": shown})
        return self.keep(response, entered, visit, framed=asked.framed)

    async def enter(self, request: Request, visit: Visit, asked: Opening) -> Entered:
        """Open a token that was shown, whole or as the address that has it."""
        self._parts.opened.take(visit.address)
        token = asked.link_token.strip().rpartition("=")[2]
        session = token.split("_")[2] if token.count("_") >= 3 else ""
        known = handle_of(request, session, visit.base)
        return await self._parts.sessions.open(token, known, parent=asked.parent if asked.framed else None)

    def keep(self, response: Response, entered: Entered, visit: Visit, *, framed: bool) -> Response:
        """Let the browser keep the handle that it was just given."""
        if entered.handle is not None:
            now = self._parts.clock()
            cookie = session_cookie(
                entered.session, entered.handle.reveal(), visit.base, now=now, framed=framed
            )
            response.headers.append("set-cookie", cookie)
        return response

    async def show(self, request: Request, visit: Visit) -> Response:
        """Show a session; the page asks while a window is away."""
        session = await self._parts.attempts.noted(await self._entered(request, visit))
        return JSONResponse(await self._shown(session))

    async def link(self, request: Request, visit: Visit) -> Response:
        """Link by what was entered."""
        session, asked = await self._asked(request, visit)
        return await self._told(lambda: self._parts.attempts.by_credential(session, asked))

    async def ask(self, request: Request, visit: Visit) -> Response:
        """Ask for a consent: the answer is the ticket for a window."""
        session, asked = await self._asked(request, visit)
        ticket = await self._parts.attempts.ask(session, asked, redirect_uri=f"{visit.base}/oauth/callback")
        return JSONResponse({"ticket": ticket.reveal()})

    async def again(self, request: Request, visit: Visit) -> Response:
        """Try what was linked again, with what was chosen."""
        session = await self._entered(request, visit)
        check_page(request, visit.base)
        choice = await read_body(request, Choice, _MOST_BYTES)
        self._parts.tried.take(session.id)
        return await self._told(lambda: self._parts.attempts.again(session, choice.settings))

    async def depart(self, request: Request, visit: Visit) -> Response:
        """Let this window set out; from now on the way back is for this browser."""
        check_page(request, visit.base)
        asked = await read_body(request, Ticket, _MOST_BYTES)
        browser, cookie = traveller_cookie(request, visit.base, self._parts.random)
        url = await self._parts.attempts.depart(asked.ticket, browser)
        return JSONResponse({"url": url}, headers={"Set-Cookie": cookie})

    async def note(self, outcome: Outcome, began: float) -> None:
        """Write an attempt to the tenant's audit log."""
        session, account, error = outcome.session, outcome.account, outcome.error
        row = AuditRow(
            tenant=session.tenant,
            time=began,
            principal_kind="person" if session.subject is not None else "service",
            principal_subject=session.subject or "link",
            token_id=session.id,
            request_id=uuid.uuid4().hex,
            via="link",
            tool="link_account",
            entity="integrated_account",
            entity_id=account.id if account is not None else session.account,
            connector=outcome.connector,
            account=account.id if account is not None else session.account,
            upstream_status=error.upstream_status if error is not None else None,
            outcome=_outcome(outcome),
            duration_ms=round((self._parts.clock() - began) * 1000, 3),
        )
        try:
            await self._parts.audit.write(row)
        except LinkspanError as fault:
            log.error("link session %s cannot be written to the audit log: %s", session.id, fault.message)

    async def _asked(self, request: Request, visit: Visit) -> tuple[LinkSession, Asked]:
        session = await self._entered(request, visit)
        check_page(request, visit.base)
        asked = await read_body(request, Attempt, _MOST_BYTES)
        self._parts.tried.take(session.id)
        return session, Asked(
            connector=self._parts.attempts.connector(session, asked.integration),
            method=asked.method,
            settings=asked.settings,
            secrets={name: Secret(value.get_secret_value()) for name, value in asked.secrets.items()},
            confirmed=asked.confirmed,
        )

    async def _entered(self, request: Request, visit: Visit) -> LinkSession:
        session = request.path_params["session"]
        return await self._parts.sessions.enter(session, handle_of(request, session, visit.base))

    async def _shown(self, session: LinkSession) -> dict[str, Any]:
        sessions, attempts = self._parts.sessions, self._parts.attempts
        return session_shown(
            session,
            sessions.linkable(session),
            await attempts.account(session),
            self._parts.catalog(),
            is_over=sessions.is_over(session),
            now=self._parts.clock(),
        )

    async def _told(self, work: Callable[[], Awaitable[Outcome]]) -> Response:
        began = self._parts.clock()
        outcome = await work()
        await self.note(outcome, began)
        if outcome.account is None and outcome.failure is not None:
            status = outcome.error.status if outcome.error is not None else 400
            return JSONResponse({"failure": outcome.failure}, status)
        return JSONResponse(await self._shown(outcome.session))


def door(see: See, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of it: where it came to is looked at, and failures are told in the page's words."""

    async def endpoint(request: Request) -> Response:
        headers = {}
        try:
            response = await answer(request, place_of(see, request))
        except LinkspanError as error:
            if error.retry_after is not None:
                headers["Retry-After"] = str(max(1, round(error.retry_after)))
            wrong = "invalid_integration" if isinstance(error, NotFound) else None
            told = failure_of(error, error_type=wrong)
            response = JSONResponse({"failure": told}, error.status, headers=headers)
        except Exception:
            told = failure_of(fault(log, request, "the link page", "Something went wrong here"))
            response = JSONResponse({"failure": told}, 500)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return endpoint


def place_of(see: See, request: Request) -> Visit:
    """Answer where a request came to. Raises `NotFound` where secrets would travel in the open."""
    visit = see(request.scope)
    if not may_sign_in(visit.base):
        raise NotFound(
            "Nobody links an account over plain HTTP",
            hint="The operator serves it over https:// and says so with LINKSPAN_PUBLIC_URL.",
        )
    return visit


def _outcome(outcome: Outcome) -> str:
    if outcome.failure is not None:
        return str(outcome.failure["code"])
    return "ok"
