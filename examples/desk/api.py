"""The REST API under `/api/v1`, for programs: bearer tokens, JSON, cursor pages, one shape for refusals."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from desk.admin_api import webhook_routes
from desk.call import Call, Handler, endpoint_of, listed
from desk.comments import Kind
from desk.errors import Fault, invalid, not_found
from desk.fields import read_fields, text
from desk.paging import Sort, select_page
from desk.service import Desk
from desk.store import Row, User, iso
from desk.tickets import etag


def api_routes(desk: Desk) -> list[Route]:
    """Every route of the API."""
    routes: list[Route] = []

    def add(method: str, path: str, handler: Handler, *, role: str = "viewer", once: bool = False) -> None:
        endpoint = endpoint_of(desk, handler, role=role, once=once)
        routes.append(Route(f"/api/v1{path}", endpoint, methods=[method]))

    add("GET", "/me", me)
    add("GET", "/users", list_users)
    add("GET", "/users/{login}", get_user)
    add("GET", "/tokens", list_tokens)
    add("POST", "/tokens", create_token)
    add("DELETE", "/tokens/{id}", delete_token)
    add("GET", "/tickets", list_tickets)
    add("GET", "/search", search)
    add("POST", "/tickets", create_ticket, role="agent", once=True)
    add("GET", "/tickets/{key}", get_ticket)
    add("PATCH", "/tickets/{key}", update_ticket, role="agent")
    add("GET", "/alerts", list_alerts)
    add("POST", "/alerts", fire_alert, role="agent", once=True)
    add("GET", "/alerts/{id}", get_alert)
    add("POST", "/alerts/{id}/acknowledge", acknowledge_alert, role="agent")
    add("POST", "/alerts/{id}/resolve", resolve_alert, role="agent")
    add("GET", "/designs", list_designs)
    add("GET", "/designs/{id}", get_design)
    add("PATCH", "/designs/{id}", update_design, role="agent")
    add("PATCH", "/designs/{id}/nodes/{node}", update_node, role="agent")
    add("GET", "/designs/{id}/image.png", design_image)
    add("GET", "/designs/{id}/nodes/{node}/image.png", design_image)
    kinds: tuple[tuple[Kind, str], ...] = (("ticket", "tickets"), ("alert", "alerts"), ("design", "designs"))
    for kind, plural in kinds:
        add("GET", f"/{plural}/{{id}}/comments", _list_comments(kind))
        add("POST", f"/{plural}/{{id}}/comments", _comment(kind), role="agent", once=True)
    return [*routes, *webhook_routes(desk)]


# Who


async def me(call: Call) -> Response:
    """Whose token it is."""
    org = {"slug": call.user.org, "name": call.user.org_name}
    token = {"id": call.token.id, "name": call.token.name}
    return JSONResponse({"user": _user_dict(call.user), "org": org, "token": token})


async def list_users(call: Call) -> Response:
    """Everybody of the organisation."""
    page = select_page(
        call.desk.store,
        "users",
        ["org = :org"],
        {"org": call.user.org},
        Sort("login", "login", descending=False),
        call.page,
    )
    return listed(page, "users", lambda row: {name: row[name] for name in ("login", "name", "email", "role")})


async def get_user(call: Call) -> Response:
    """One of the organisation."""
    user = call.desk.store.user(call.user.org, call.path("login"))
    if user is None:
        raise not_found("user", call.path("login"))
    return JSONResponse(_user_dict(user))


async def list_tokens(call: Call) -> Response:
    """One's own tokens, without their text."""
    rows = call.desk.store.tokens_of(call.user)
    return JSONResponse({"tokens": [row | {"created": iso(row["created"])} for row in rows]})


async def create_token(call: Call) -> Response:
    """A further token of one's own; its text is shown this once."""
    values = read_fields(call.body, {"name": text(longest=80)}, required=("name",))
    made = call.desk.store.add_token(call.user, values["name"])
    found = call.desk.store.token(made)
    return JSONResponse({"id": found.id if found else None, "name": values["name"], "token": made}, 201)


async def delete_token(call: Call) -> Response:
    """Revoke a token of one's own, at once."""
    if not call.desk.store.revoke_token(call.user, call.path("id")):
        raise not_found("token", call.path("id"))
    return Response(status_code=204)


# Tickets


async def list_tickets(call: Call) -> Response:
    """Tickets, newest first, filtered."""
    page = call.desk.tickets.page(call.user, call.query, call.page)
    return listed(page, "tickets", call.desk.tickets.to_dict)


async def search(call: Call) -> Response:
    """Tickets in which (or in whose comments) every word of `q` stands."""
    if not "".join(call.query.get("q", [])).strip():
        raise invalid(Fault("q", "is required"))
    page = call.desk.tickets.page(call.user, call.query, call.page)
    return listed(page, "hits", call.desk.tickets.to_dict)


async def create_ticket(call: Call) -> Response:
    """Open a ticket."""
    return _ticket(call, call.desk.tickets.create(call.user, call.body), 201)


async def get_ticket(call: Call) -> Response:
    """One ticket, with its ETag; 304 for If-None-Match."""
    row = call.desk.tickets.get(call.user, call.path("key"))
    if etag(row) in call.request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag(row)})
    return _ticket(call, row)


async def update_ticket(call: Call) -> Response:
    """Change a ticket that is still as If-Match says."""
    if_match = call.request.headers.get("if-match")
    return _ticket(call, call.desk.tickets.update(call.user, call.path("key"), call.body, if_match))


def _ticket(call: Call, row: Row, status: int = 200) -> Response:
    return JSONResponse(call.desk.tickets.to_dict(row), status, {"ETag": etag(row)})


# Comments of every kind


def _list_comments(kind: Kind) -> Handler:
    async def list_comments(call: Call) -> Response:
        """Comments, oldest first."""
        _parent(call, kind)
        page = call.desk.comments.page(call.user, kind, call.path("id"), call.page)
        return listed(page, "comments", call.desk.comments.to_dict)

    return list_comments


def _comment(kind: Kind) -> Handler:
    async def comment(call: Call) -> Response:
        """Add a comment."""
        add = {
            "ticket": call.desk.tickets.comment,
            "alert": call.desk.alerts.comment,
            "design": call.desk.designs.comment,
        }[kind]
        return JSONResponse(add(call.user, call.path("id"), call.body), 201)

    return comment


def _parent(call: Call, kind: Kind) -> Row:
    desk = call.desk
    get = {"ticket": desk.tickets.get, "alert": desk.alerts.get, "design": desk.designs.get}[kind]
    return get(call.user, call.path("id"))


# Alerts


async def list_alerts(call: Call) -> Response:
    """Alerts, last seen first, filtered."""
    page = call.desk.alerts.page(call.user, call.query, call.page)
    return listed(page, "alerts", call.desk.alerts.to_dict)


async def fire_alert(call: Call) -> Response:
    """Report an occurrence: 201 for a new alert, 200 when it counted towards a known one."""
    row, is_new = call.desk.alerts.fire(call.user, call.body)
    return JSONResponse(call.desk.alerts.to_dict(row), 201 if is_new else 200)


async def get_alert(call: Call) -> Response:
    """One alert."""
    return JSONResponse(call.desk.alerts.to_dict(call.desk.alerts.get(call.user, call.path("id"))))


async def acknowledge_alert(call: Call) -> Response:
    """Somebody works on it."""
    row = call.desk.alerts.set_status(call.user, call.path("id"), "acknowledged")
    return JSONResponse(call.desk.alerts.to_dict(row))


async def resolve_alert(call: Call) -> Response:
    """It is over."""
    row = call.desk.alerts.set_status(call.user, call.path("id"), "resolved")
    return JSONResponse(call.desk.alerts.to_dict(row))


# Designs


async def list_designs(call: Call) -> Response:
    """Designs without their trees, last changed first."""
    page = call.desk.designs.page(call.user, call.query, call.page)
    return listed(page, "designs", call.desk.designs.to_dict)


async def get_design(call: Call) -> Response:
    """One design with its tree of nodes."""
    row = call.desk.designs.get(call.user, call.path("id"))
    return JSONResponse(call.desk.designs.to_dict(row, whole_tree=True))


async def update_design(call: Call) -> Response:
    """Mark a design as ready, or as a draft again."""
    row = call.desk.designs.set_state(call.user, call.path("id"), call.body)
    return JSONResponse(call.desk.designs.to_dict(row, whole_tree=True))


async def update_node(call: Call) -> Response:
    """Change a node."""
    row = call.desk.designs.change_node(call.user, call.path("id"), call.path("node"), call.body)
    return JSONResponse(call.desk.designs.to_dict(row, whole_tree=True))


async def design_image(call: Call) -> Response:
    """A PNG of the design or of one node; `scale` 1 to 3."""
    scale = call.request.query_params.get("scale", "2")
    if scale not in {"1", "2", "3"}:
        raise invalid(Fault("scale", "must be 1, 2 or 3"))
    node = call.request.path_params.get("node")
    png = call.desk.designs.image(call.user, call.path("id"), node, int(scale))
    return Response(png, media_type="image/png")


def _user_dict(user: User) -> Row:
    return {"login": user.login, "name": user.name, "email": user.email, "role": user.role}
