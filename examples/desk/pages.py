"""The pages for people: server-rendered, no script, one cookie."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from desk import alerts, tickets
from desk.codex import Codex, Progress
from desk.comments import Kind
from desk.errors import DeskError, Fault, forbidden, not_found
from desk.paging import PageRequest, read_page
from desk.service import Desk
from desk.store import SESSION_SECONDS, Row, Session, User
from desk.words import FILTERS, STATE_WORDS

COOKIE = "desk_session"
MAX_FORM = 100_000


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who signed in."""

    request: Request
    session: Session
    form: dict[str, str] = field(default_factory=dict)

    @property
    def user(self) -> User:
        """Who it is."""
        return self.session.user

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return str(self.request.path_params[name])


Handler = Callable[[Visit], Awaitable[Response]]


class Pages:
    """The pages over a desk."""

    def __init__(self, desk: Desk, templates: Path, codex: Codex | None = None) -> None:
        self._desk = desk
        self._codex = codex
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(templates),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(states=STATE_WORDS, now=desk.store.clock, href=_href)

    def routes(self) -> list[Route]:
        """Every page."""

        def get(path: str, handler: Handler) -> Route:
            return Route(path, self._for_people(handler), methods=["GET"])

        def post(path: str, handler: Handler) -> Route:
            return Route(path, self._for_people(handler), methods=["POST"])

        return [
            Route("/", self._home, methods=["GET"]),
            Route("/sign-in", self._sign_in_page, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            post("/sign-out", self._sign_out),
            get("/tickets", self._tickets),
            get("/tickets/new", self._new_ticket),
            post("/tickets/new", self._create_ticket),
            get("/tickets/{id}", self._ticket),
            post("/tickets/{id}", self._update_ticket),
            *(
                (get("/tickets/{id}/codex", self._codex_page), post("/tickets/{id}/codex", self._codex_act))
                if self._codex
                else ()
            ),
            get("/alerts", self._alerts),
            get("/alerts/{id}", self._alert),
            post("/alerts/{id}", self._update_alert),
            get("/designs", self._designs),
            get("/designs/{id}", self._design),
            post("/designs/{id}", self._update_design),
            get("/designs/{id}/image.png", self._image),
            post("/{plural:str}/{id}/comments", self._comment),
        ]

    def refusal(self, request: Request, error: DeskError) -> Response:
        """A page that says no."""
        session = self._session(request)
        html = self._html("refusal.html", session, request, error=error)
        return HTMLResponse(html, error.status, error.headers)

    # Signing in

    async def _home(self, request: Request) -> Response:  # noqa: ARG002
        return RedirectResponse("/tickets", 303)

    async def _sign_in_page(self, request: Request) -> Response:
        by_org: dict[str, list[User]] = {}
        for user in self._desk.store.users():
            by_org.setdefault(user.org_name, []).append(user)
        html = self._html(
            "sign_in.html", None, request, orgs=by_org, next=_local(request.query_params.get("next"))
        )
        return HTMLResponse(html)

    async def _sign_in(self, request: Request) -> Response:
        _same_origin(request)
        form = await _form(request)
        org, _, login = form.get("user", "").partition("/")
        user = self._desk.store.user(org, login)
        if user is None:
            raise not_found("user", form.get("user", ""))
        response = RedirectResponse(_local(form.get("next")), 303)
        # Lax, so that a link from a mail or another product finds one signed in; forms have their own token.
        response.set_cookie(
            COOKIE,
            self._desk.store.open_session(user),
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="lax",
            secure=self._desk.public_url.startswith("https:"),
        )
        return response

    async def _sign_out(self, visit: Visit) -> Response:
        self._desk.store.close_session(visit.request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    # Tickets

    async def _tickets(self, visit: Visit) -> Response:
        query = {name: [value] for name, value in visit.request.query_params.items() if value}
        request = read_page(visit.request.query_params)
        page = self._desk.tickets.page(visit.user, {"sort": ["updated"]} | query, request)
        return self._page(
            visit,
            "tickets.html",
            tickets=[self._desk.tickets.to_dict(row) for row in page.rows],
            next_cursor=page.next_cursor,
            total=page.total,
            counts=self._desk.tickets.counts(visit.user),
            query={name: values[0] for name, values in query.items()},
            state_names=tickets.STATES,
        )

    async def _new_ticket(self, visit: Visit) -> Response:
        return self._ticket_form(visit, {})

    async def _create_ticket(self, visit: Visit) -> Response:
        _may_write(visit)
        values: dict[str, Any] = {
            "subject": visit.form.get("subject", ""),
            "body_markdown": visit.form.get("body", ""),
            "priority": visit.form.get("priority", "normal"),
            "labels": [word for word in visit.form.get("labels", "").replace(",", " ").split() if word],
            "assignee": visit.form.get("assignee") or None,
        }
        try:
            row = self._desk.tickets.create(visit.user, values)
        except DeskError as error:
            return self._ticket_form(visit, visit.form, error)
        return RedirectResponse(f"/tickets/{row['key']}", 303)

    def _ticket_form(self, visit: Visit, form: dict[str, str], error: DeskError | None = None) -> Response:
        html = self._html(
            "new_ticket.html",
            visit.session,
            visit.request,
            form=form,
            faults={fault.field: fault.message for fault in error.fields} if error else {},
            priorities=tickets.PRIORITIES,
            people=self._desk.store.users(visit.user.org),
        )
        return HTMLResponse(html, error.status if error else 200)

    async def _ticket(self, visit: Visit) -> Response:
        row = self._desk.tickets.get(visit.user, visit.path("id"))
        ticket = self._desk.tickets.to_dict(row)
        related = ticket["related"]
        return self._page(
            visit,
            "ticket.html",
            ticket=ticket,
            codex=await self._progress(visit, ticket["key"]),
            model_note=self._codex.model_note if self._codex else "",
            once=secrets.token_hex(16),
            etag=tickets.etag(row),
            comments=self._comments(visit, "ticket"),
            alerts=[
                self._desk.alerts.to_dict(self._desk.alerts.get(visit.user, id_)) for id_ in related["alerts"]
            ],
            designs=[
                self._desk.designs.to_dict(self._desk.designs.get(visit.user, id_))
                for id_ in related["designs"]
            ],
            state_names=tickets.STATES,
            priorities=tickets.PRIORITIES,
            people=self._desk.store.users(visit.user.org),
        )

    async def _update_ticket(self, visit: Visit) -> Response:
        _may_write(visit)
        fields = ("state", "priority", "assignee")
        values = {name: visit.form[name] or None for name in fields if name in visit.form}
        key = visit.path("id")
        self._desk.tickets.update(visit.user, key, values, visit.form.get("etag", ""))
        return RedirectResponse(f"/tickets/{key}", 303)

    # Codex

    async def _codex_page(self, visit: Visit) -> Response:
        ticket = self._desk.tickets.to_dict(self._desk.tickets.get(visit.user, visit.path("id")))
        progress = await self._progress(visit, ticket["key"], whole=True)
        if progress is None or self._codex is None:
            raise not_found("page", "codex")
        return self._page(
            visit, "codex.html", ticket=ticket, codex=progress, model_note=self._codex.model_note
        )

    async def _codex_act(self, visit: Visit) -> Response:
        _may_write(visit)
        key = self._desk.tickets.to_dict(self._desk.tickets.get(visit.user, visit.path("id")))["key"]
        if self._codex is None or not self._codex.is_for(visit.user):
            raise not_found("page", "codex")
        act = visit.form.get("act", "")
        if act == "start":
            await self._codex.start(visit.user, key, visit.form.get("key") or secrets.token_hex(16))
        else:
            await self._codex.decide(visit.user, key, act, visit.form.get("approval", ""))
        return RedirectResponse(f"/tickets/{key}/codex", 303)

    async def _progress(self, visit: Visit, ticket: str, *, whole: bool = False) -> Progress | None:
        if self._codex is None or not self._codex.is_for(visit.user):
            return None
        return await self._codex.progress(visit.user, ticket, whole=whole)

    # Alerts

    async def _alerts(self, visit: Visit) -> Response:
        query = {name: [value] for name, value in visit.request.query_params.items() if value}
        page = self._desk.alerts.page(visit.user, query, read_page(visit.request.query_params))
        return self._page(
            visit,
            "alerts.html",
            alerts=[self._desk.alerts.to_dict(row) for row in page.rows],
            next_cursor=page.next_cursor,
            query={name: values[0] for name, values in query.items()},
            statuses=alerts.STATUSES,
        )

    async def _alert(self, visit: Visit) -> Response:
        row = self._desk.alerts.get(visit.user, visit.path("id"))
        alert = self._desk.alerts.to_dict(row)
        return self._page(visit, "alert.html", alert=alert, comments=self._comments(visit, "alert"))

    async def _update_alert(self, visit: Visit) -> Response:
        _may_write(visit)
        status = visit.form.get("status", "")
        if status not in ("acknowledged", "resolved"):
            raise DeskError(422, "invalid", "An alert can be acknowledged or resolved.")
        self._desk.alerts.set_status(visit.user, visit.path("id"), status)
        return RedirectResponse(f"/alerts/{visit.path('id')}", 303)

    # Designs

    async def _designs(self, visit: Visit) -> Response:
        page = self._desk.designs.page(visit.user, {}, read_page(visit.request.query_params))
        return self._page(
            visit,
            "designs.html",
            designs=[self._desk.designs.to_dict(row) for row in page.rows],
            next_cursor=page.next_cursor,
        )

    async def _design(self, visit: Visit) -> Response:
        row = self._desk.designs.get(visit.user, visit.path("id"))
        design = self._desk.designs.to_dict(row, whole_tree=True)
        return self._page(visit, "design.html", design=design, comments=self._comments(visit, "design"))

    async def _update_design(self, visit: Visit) -> Response:
        _may_write(visit)
        self._desk.designs.set_state(visit.user, visit.path("id"), {"state": visit.form.get("state")})
        return RedirectResponse(f"/designs/{visit.path('id')}", 303)

    async def _image(self, visit: Visit) -> Response:
        png = self._desk.designs.image(
            visit.user, visit.path("id"), visit.request.query_params.get("node"), 2
        )
        return Response(png, media_type="image/png", headers={"cache-control": "private, max-age=3600"})

    # What they share

    async def _comment(self, visit: Visit) -> Response:
        _may_write(visit)
        plural, id_ = visit.path("plural"), visit.path("id")
        desk = self._desk
        add = {
            "tickets": desk.tickets.comment,
            "alerts": desk.alerts.comment,
            "designs": desk.designs.comment,
        }.get(plural)
        if add is None:
            raise not_found("page", plural)
        comment = add(visit.user, id_, {"body_markdown": visit.form.get("body", "")})
        return RedirectResponse(f"/{plural}/{id_}#comment-{comment['id']}", 303)

    def _comments(self, visit: Visit, kind: Kind) -> list[Row]:
        rows: list[Row] = []
        cursor: str | None = None
        while True:
            request = PageRequest(limit=100, cursor=cursor)
            page = self._desk.comments.page(visit.user, kind, visit.path("id"), request)
            rows += page.rows
            cursor = page.next_cursor
            if cursor is None:
                return [self._desk.comments.to_dict(row) for row in rows]

    def _page(self, visit: Visit, template: str, **values: Any) -> Response:
        return HTMLResponse(self._html(template, visit.session, visit.request, **values))

    def _html(self, template: str, session: Session | None, request: Request, **values: Any) -> str:
        firing = self._desk.alerts.firing(session.user) if session else 0
        return self._templates.get_template(template).render(
            session=session, here=request.url.path, firing=firing, **values
        )

    def _session(self, request: Request) -> Session | None:
        cookie = request.cookies.get(COOKIE)
        return self._desk.store.session(cookie) if cookie else None

    def _for_people(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                target = urlencode({"next": wanted}) if request.method in {"GET", "HEAD"} else ""
                return RedirectResponse(f"/sign-in?{target}".rstrip("?"), 303)
            if request.method != "POST":
                return await handler(Visit(request, session))
            _same_origin(request)
            form = await _form(request)
            if not secrets.compare_digest(form.get("csrf", "").encode(), session.csrf.encode()):
                raise forbidden("This form is too old. Go back, load the page again, and send it once more.")
            return await handler(Visit(request, session, form))

        return endpoint


def _may_write(visit: Visit) -> None:
    if not visit.user.may_write:
        raise forbidden(f"{visit.user.name} may read but not change anything.")


def _same_origin(request: Request) -> None:
    """Refuse a form that another site sent. Other ports of this machine are other sites here."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    fetched_from = request.headers.get("sec-fetch-site", "same-origin")
    if (origin is not None and origin != own) or fetched_from not in {"same-origin", "none"}:
        raise forbidden("This form came from another site.")


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM:
            raise DeskError(413, "too_large", "That is more than a form may hold.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise DeskError(
            400, "invalid", "The form could not be read.", fields=[Fault("", str(error))]
        ) from error


def _local(target: str | None) -> str:
    """A path of ours to go to next; anything that a browser could read as another site is /tickets."""
    if not target or not target.startswith("/") or target[1:2] in {"/", "\\"} or not target.isprintable():
        return "/tickets"
    return target


def _href(path: str, query: dict[str, str], **changed: str | None) -> str:
    """A link to a list with one thing changed; the position in the list is forgotten unless it is that."""
    merged = {name: value for name, value in query.items() if name != "cursor"} | changed
    kept = {name: value for name, value in merged.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path
