"""Who comes in to the console, what their role lets them do, and the one shape of every page and failure."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.admins import Admin, Admins
from linkspan.accounts.console_sessions import ConsoleSessions
from linkspan.accounts.link_sessions import LinkSessions
from linkspan.accounts.openid import OpenIdProvider
from linkspan.accounts.outbox import Outbox
from linkspan.accounts.overview import Overview
from linkspan.accounts.people import People
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.proving import Verifier
from linkspan.accounts.rotation import MasterKey
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens
from linkspan.errors import Forbidden, LinkspanError, NotFound
from linkspan.gateway.call import Gateway
from linkspan.gateway.log_bodies import LogBodies
from linkspan.runs.arrivals import Arrivals
from linkspan.runs.recipes import Recipes
from linkspan.runs.runs import Runs
from linkspan.settings import Settings
from linkspan.store.admins import Role
from linkspan.store.audit import AuditRow, AuditWriter
from linkspan.store.database import Database
from linkspan.web.console.shape import Block
from linkspan.web.faults import fault
from linkspan.web.oauth.browser import Browser, Random, cookie_name
from linkspan.web.oauth.forms import Form, read_form
from linkspan.web.oauth.login import see_other
from linkspan.web.oauth.place import Place, See, may_sign_in
from linkspan.web.pages import page

log = logging.getLogger("linkspan.console")
PATH: Final = "/console"
COOKIE: Final = "linkspan-console"
NOWHERE: Final = Tenant("-")
_POLICY: Final = {"Referrer-Policy": "same-origin"}
_NAVIGATION: Final = (
    ("", "Overview"),
    ("/tenants", "Tenants"),
    ("/accounts", "Accounts"),
    ("/runs", "Runs"),
    ("/deliveries", "Deliveries"),
    ("/log", "Log"),
    ("/settings", "Settings"),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the console works with."""

    settings: Settings
    sessions: ConsoleSessions
    provider: OpenIdProvider | None
    admins: Admins
    tenants: Tenants
    people: People
    tokens: Tokens
    accounts: Accounts
    overview: Overview
    verifier: Verifier
    link_sessions: LinkSessions
    gateway: Gateway
    runs: Runs
    recipes: Recipes
    outbox: Outbox
    arrivals: Arrivals
    audit: AuditWriter
    log_bodies: LogBodies
    database: Database
    master_keys: Callable[[], Awaitable[list[MasterKey]]]
    readiness: Callable[[], Awaitable[Mapping[str, object]]]
    clock: Callable[[], float]
    random: Random
    see: See


@dataclass(slots=True)
class Visit:
    """One request of somebody who has signed in."""

    request: Request
    place: Place
    admin: Admin
    session: str
    browser: Browser
    parts: Parts
    form: Form | None = None

    @property
    def seal(self) -> str:
        """What ties forms to this browser."""
        return self.browser.seal("console", self.session)

    def asked(self, name: str) -> str:
        """Answer a word of the query or the form, without blanks around it."""
        if self.form is not None:
            return (self.form.one(name) or "").strip()
        return (self.request.query_params.get(name) or "").strip()

    async def tenant(self, name: str | None = None) -> Tenant:
        """Answer the tenant that the path names. Raises `NotFound`, also for one that they do not see."""
        wanted = name or str(self.request.path_params["tenant"])
        if not self.admin.sees(wanted):
            raise NotFound(f"There is no tenant {wanted!r}")
        return await self.parts.tenants.require(wanted)

    def need(self, role: Role) -> None:
        """Raise `Forbidden` unless they may do what that role may."""
        if not self.admin.may(role):
            raise Forbidden(f"You are a {self.admin.role} here; this needs the role {role}")

    def everywhere(self) -> None:
        """Raise `Forbidden` for somebody who is bound to one tenant."""
        if self.admin.only is not None:
            raise Forbidden(f"You see tenant {self.admin.only} alone")

    def principal(self, tenant: Tenant) -> Principal:
        """Answer who acts for a tenant: the operator, or somebody who reads."""
        return self.admin.acting_for(tenant)

    async def note(self, tenant: str, did: str, entity: str, entity_id: str | None = None) -> None:
        """Leave a row in the tenant's audit log for what was done here."""
        await self.parts.audit.write(
            AuditRow(
                tenant=tenant,
                time=self.parts.clock(),
                principal_kind="operator",
                principal_subject=self.admin.subject,
                token_id=self.admin.token_id or None,
                request_id=uuid.uuid4().hex,
                via="console",
                tool=did,
                entity=entity,
                entity_id=entity_id,
                connector=None,
                account=entity_id if entity == "integrated_account" else None,
                upstream_status=None,
                outcome="ok",
                duration_ms=0.0,
            )
        )

    def show(self, title: str, blocks: Sequence[Block], *, up: Sequence[tuple[str, str]] = ()) -> Response:
        """Answer a page; `up` are the ways back, each a name and an address."""
        return shown(self, title, blocks, up=up)


Answer = Callable[[Visit], Awaitable[Response]]


def shown(
    visit: Visit, title: str, blocks: Sequence[Block], *, up: Sequence[tuple[str, str]] = ()
) -> Response:
    """Answer a page of the console."""
    here = visit.request.url.path
    only = visit.admin.only
    values: dict[str, Any] = {
        "title": title,
        "blocks": blocks,
        "up": up,
        "who": visit.admin.subject,
        "role": visit.admin.role + (f" of {only}" if only else ""),
        "seal": visit.seal,
        "navigation": [
            (path, name, here == path or (path != PATH and here.startswith(f"{path}/")))
            for path, name in places_of(visit.admin)
        ],
    }
    return visit.browser.keep(page("console/page.html", values, headers=_POLICY))


def places_of(admin: Admin) -> list[tuple[str, str]]:
    """Answer the console's pages for somebody, each with its address."""
    return [(f"{PATH}{path}", name) for path, name in _NAVIGATION if admin.only is None or name != "Settings"]


def place_of(see: See, request: Request) -> Place:
    """Answer where a request came to. Raises `NotFound` where nobody may sign in."""
    found = see(request.scope)
    if not may_sign_in(found.base):
        raise NotFound(
            "Nobody signs in over plain HTTP",
            hint="The operator serves it over https:// and says so with LINKSPAN_PUBLIC_URL.",
        )
    return Place(found.base, NOWHERE, found.address)


async def visit_of(parts: Parts, request: Request) -> Visit | None:
    """Answer who has signed in with a browser, if somebody has."""
    place = place_of(parts.see, request)
    found = await parts.sessions.find(request.cookies.get(cookie_name(COOKIE, place)))
    if found is None:
        return None
    session, admin = found
    return Visit(request, place, admin, session, Browser(request, place, parts.random), parts)


def door(parts: Parts, answer: Answer, *, role: Role = "viewer") -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint for those who have signed in and have a role; a form must be one of our own pages."""

    async def endpoint(request: Request) -> Response:
        visit: Visit | None = None
        told: LinkspanError
        try:
            visit = await visit_of(parts, request)
            if visit is None:
                return see_other(f"{PATH}/sign-in")
            visit.need(role)
            if request.method == "POST":
                visit.form = await read_form(request)
                if not visit.browser.is_sealed(visit.form.one("seal"), "console", visit.session):
                    raise Forbidden("This page is too old to be answered", hint="Load it again.")
            return await answer(visit)
        except LinkspanError as error:
            told = error
        except Exception:
            told = fault(log, request, "the console")
        return failed(told, visit)

    return endpoint


def failed(error: LinkspanError, visit: Visit | None = None) -> Response:
    """Answer the page of a failure."""
    message = error.message if error.message[-1:] in ".!?" else f"{error.message}."
    values = {
        "title": "That did not work",
        "message": message[:1].upper() + message[1:],
        "hint": error.hint,
        "back": PATH if visit is not None else f"{PATH}/sign-in",
    }
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, round(error.retry_after)))}
    return page("console/failed.html", values, status=error.status, headers=headers)
