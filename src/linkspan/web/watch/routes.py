"""The pages of runs, as routes: who comes in, and how a failure is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from linkspan.accounts.principal import Tenant
from linkspan.errors import LinkspanError, NotFound, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.runs.checks import Checks
from linkspan.runs.feed import Feed
from linkspan.runs.runs import Runs
from linkspan.store.database import Database
from linkspan.web.failures import alone
from linkspan.web.faults import fault
from linkspan.web.oauth.forms import read_form
from linkspan.web.oauth.login import see_other
from linkspan.web.oauth.place import Place, See, is_tenant, may_sign_in
from linkspan.web.pages import page
from linkspan.web.watch.doing import VERBS, do
from linkspan.web.watch.gate import Gate
from linkspan.web.watch.pages import Pages, headers
from linkspan.web.watch.stream import Stream
from linkspan.web.watch.viewer import Viewer

log = logging.getLogger("linkspan.watch")
Answer = Callable[[Request, Place], Awaitable[Response]]
_SCRIPT: Final = "linkspan-page"
"""A header that our own script sends: it is answered parts, and errors as JSON."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pages of runs are made of."""

    runs: Runs
    checks: Checks
    feed: Feed
    database: Database
    clock: Callable[[], float]
    see: See


class Doors:
    """The doors of a tenant's runs for people."""

    def __init__(self, parts: Parts, gate: Gate) -> None:
        self._parts = parts
        self._gate = gate
        self._pages = Pages(parts.runs, parts.checks, parts.database)
        self._stream = Stream(parts.feed, clock=parts.clock)
        self._acts = Throttle(rate=1.0, burst=30, clock=parts.clock)

    async def listed(self, request: Request, place: Place) -> Response:
        """Answer the list, or the page to sign in at."""
        viewer = await self._gate.viewer(request, place)
        if viewer is None:
            return self._gate.sign_in(request, place)
        return self._gate.keep(
            request, place, await self._pages.listed(request, self._gate.ground(request, place), viewer)
        )

    async def show(self, request: Request, place: Place) -> Response:
        """Answer a run's page, or the page to sign in at."""
        viewer = await self._gate.viewer(request, place)
        if viewer is None:
            return self._gate.sign_in(request, place)
        answer = await self._pages.show(self._gate.ground(request, place), viewer, request.path_params["run"])
        return self._gate.keep(request, place, answer)

    async def part(self, request: Request, place: Place) -> Response:
        """Answer a part of a run's page, for its script."""
        viewer, run = await self._somebody(request, place), request.path_params["run"]
        ground = self._gate.ground(request, place)
        match request.path_params["part"]:
            case "body":
                return await self._pages.body(ground, viewer, run)
            case "beside":
                return await self._pages.aside(ground, viewer, run)
            case "changes":
                asked = request.query_params.get("file")
                return await self._pages.changes(viewer, run, _number(asked) if asked else None)
            case "checks":
                return await self._pages.checks(viewer, run)
            case "earlier":
                return await self._pages.earlier(viewer, run, _number(request.query_params.get("before")))
            case "stream":
                return await self._follow(request, place, viewer, run)
        raise NotFound("There is nothing at this address")

    async def file(self, request: Request, place: Place) -> Response:
        """Answer something that a run made, as a file to keep."""
        viewer = await self._somebody(request, place)
        run, name = request.path_params["run"], request.path_params["name"]
        made, data = await self._parts.runs.artifact(viewer.principal, run, name)
        kept = {
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{run}-{made.name}.txt"',
        }
        return Response(data, headers=kept, media_type=made.media_type)

    async def act(self, request: Request, place: Place) -> Response:
        """Do what somebody has pressed."""
        verb, run = request.path_params["verb"], request.path_params["run"]
        if verb not in VERBS:
            raise NotFound("There is nothing at this address")
        viewer, form = await self._somebody(request, place), await read_form(request)
        if viewer.session:
            self._gate.check(request, place, viewer, form.one("seal"))
        self._acts.take(f"{place.tenant} {viewer.name}")
        done = await do(self._parts.runs, viewer, run, verb, form)
        if _SCRIPT in request.headers and done.id == run:
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        onward = f"{self._gate.ground(request, place).runs}/{done.id}"
        if _SCRIPT in request.headers:
            return JSONResponse({"onward": onward}, headers={"Cache-Control": "no-store"})
        return see_other(onward)

    async def _follow(self, request: Request, place: Place, viewer: Viewer, run: str) -> Response:
        found = await self._parts.runs.get(viewer.principal, run)
        last = request.headers.get("last-event-id") or request.query_params.get("after")

        async def look_again() -> None:
            await self._somebody(request, place)

        return StreamingResponse(
            self._stream.follow(found, _number(last), look_again),
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )

    async def _somebody(self, request: Request, place: Place) -> Viewer:
        viewer = await self._gate.viewer(request, place)
        if viewer is None:
            raise Unauthenticated("Nobody is signed in with this browser", hint="Load the page again.")
        return viewer


def watch_routes(parts: Parts, gate: Gate, path: str = "/t/{tenant}/runs") -> list[BaseRoute]:
    """Answer the routes of what people see of runs through a gate."""
    doors = Doors(parts, gate)

    def at(below: str, answer: Answer, method: str = "GET") -> Route:
        return Route(f"{path}{below}", door(parts.see, answer), methods=[method])

    return [
        at("", doors.listed),
        at("/{run}", doors.show),
        at("/{run}/files/{name}", doors.file),
        at("/{run}/{part}", doors.part),
        at("/{run}/{verb}", doors.act, "POST"),
    ]


def door(see: See, answer: Answer, *, always_json: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of it: an error is a page, or for scripts JSON."""

    async def endpoint(request: Request) -> Response:
        told: LinkspanError
        try:
            return await answer(request, place_of(see, request))
        except LinkspanError as error:
            told = error
        except Exception:
            told = fault(log, request, "the page of a run")
        if always_json or _SCRIPT in request.headers:
            return alone(told, request.scope)
        return _page(told, request)

    return endpoint


def _page(error: LinkspanError, request: Request) -> HTMLResponse:
    message = error.message if error.message[-1:] in ".!?" else f"{error.message}."
    back, mark, _run = request.url.path.partition("/runs/")
    values = {
        "title": "There is no such run" if error.status == 404 else "That did not work",
        "message": message[:1].upper() + message[1:],
        "hint": None if (error.hint or "").startswith("See: linkspan") else error.hint,
        "back": f"{back}/runs" if mark else None,
    }
    return page("run/failed.html", values, status=error.status, headers=headers())


def place_of(see: See, request: Request) -> Place:
    """Answer where a request came to. Raises `NotFound` where tokens would travel in the open."""
    visit = see(request.scope)
    tenant = request.path_params["tenant"]
    if not may_sign_in(visit.base) or not is_tenant(tenant):
        raise NotFound("There is nothing at this address")
    return Place(visit.base, Tenant(tenant), visit.address)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else 0
