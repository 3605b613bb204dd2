"""The parts of the API for administrators: webhooks of an organisation, switches of the whole desk."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from desk.call import Call, Handler, endpoint_of, listed, read_json
from desk.errors import forbidden, not_found, unauthenticated
from desk.fields import Rule, read_fields, text
from desk.outbox import EVENTS, delivery_dict, webhook_dict
from desk.paging import Sort, select_page
from desk.service import Desk
from desk.store import Row, Token


def webhook_routes(desk: Desk) -> list[Route]:
    """Webhooks: for the admins of an organisation."""

    def route(method: str, path: str, handler: Handler) -> Route:
        endpoint = endpoint_of(desk, handler, role="admin")
        return Route(f"/api/v1/webhooks{path}", endpoint, methods=[method])

    return [
        route("GET", "", list_webhooks),
        route("POST", "", create_webhook),
        route("DELETE", "/{id}", delete_webhook),
        route("POST", "/{id}/ping", ping_webhook),
        route("GET", "/{id}/deliveries", list_deliveries),
        route("POST", "/{id}/deliveries/{delivery}/redeliver", redeliver),
    ]


def switch_routes(desk: Desk) -> list[Route]:
    """The admin's switches: see switches.py."""

    def guarded(
        handler: Callable[[Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            token: Token | None = request.state.token
            if token is None or token.user is not None:
                raise unauthenticated("Send the admin token that `python -m desk seed` prints.")
            if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
                raise forbidden("The switches can be reached from this machine only.")
            return await handler(request)

        return endpoint

    async def show(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse(desk.switches.to_dict())

    async def clear(request: Request) -> Response:  # noqa: ARG001
        desk.switches.clear()
        return Response(status_code=204)

    async def flip(request: Request) -> Response:
        desk.switches.set(request.path_params["mode"], await read_json(request))
        return JSONResponse(desk.switches.to_dict()["switches"][-1], 201)

    return [
        Route("/_switch", guarded(show), methods=["GET"]),
        Route("/_switch", guarded(clear), methods=["DELETE"]),
        Route("/_switch/{mode}", guarded(flip), methods=["POST"]),
    ]


def _webhook_url(sent: Any) -> str:
    url = text(longest=500)(sent)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("must be an http or https URL without user name or password")
    return str(url)


def _events(sent: Any) -> list[str]:
    if not isinstance(sent, list) or not set(map(str, sent)) <= set(EVENTS):
        raise ValueError(f"must be a list of events; there are: {', '.join(EVENTS)}")
    return sorted(set(sent))


_WEBHOOK: dict[str, Rule] = {"url": _webhook_url, "events": _events, "secret": text(longest=200)}


async def list_webhooks(call: Call) -> Response:
    """The organisation's webhooks."""
    rows = call.desk.store.query("select * from webhooks where org = ? order by created", (call.user.org,))
    return JSONResponse({"webhooks": [webhook_dict(row) for row in rows]})


async def create_webhook(call: Call) -> Response:
    """Register a URL for some events (none named: all); the secret is shown this once."""
    values = read_fields(call.body, _WEBHOOK, required=("url",))
    store = call.desk.store
    row = {
        "id": f"whk_{store.random(6).hex()}",
        "org": call.user.org,
        "url": values["url"],
        "secret": values.get("secret") or f"whs_{store.word(32)}",
        "events": json.dumps(values.get("events", [])),
        "created": store.clock(),
    }
    store.insert("webhooks", row)
    return JSONResponse(webhook_dict(row) | {"secret": row["secret"]}, 201)


async def delete_webhook(call: Call) -> Response:
    """Take it away, with its deliveries."""
    call.desk.store.execute("delete from webhooks where id = ?", (_webhook(call)["id"],))
    return Response(status_code=204)


async def ping_webhook(call: Call) -> Response:
    """Send it a `ping`."""
    call.desk.outbox.add(call.user, "ping", {}, only=_webhook(call)["id"])
    return Response(status_code=202)


async def list_deliveries(call: Call) -> Response:
    """What was sent to it, newest first."""
    where = ["org = :org", "webhook = :webhook"]
    parameters = {"org": call.user.org, "webhook": _webhook(call)["id"]}
    page = select_page(call.desk.store, "deliveries", where, parameters, Sort("created", "id"), call.page)
    return listed(page, "deliveries", delivery_dict)


async def redeliver(call: Call) -> Response:
    """Send one again, with the same delivery id."""
    found = call.desk.outbox.again(call.user, _webhook(call)["id"], call.path("delivery"))
    if not found:
        raise not_found("delivery", call.path("delivery"))
    return Response(status_code=202)


def _webhook(call: Call) -> Row:
    row = call.desk.store.one(
        "select * from webhooks where org = ? and id = ?", (call.user.org, call.path("id"))
    )
    if row is None:
        raise not_found("webhook", call.path("id"))
    return row
