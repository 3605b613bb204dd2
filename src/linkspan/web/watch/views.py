"""Runs in the pages of products: the frame of one run, and what the button asks, both with a view token.

Where a token is used stands in the address: its ID, which is no secret, so that the pages which may show the
frame, or ask, are known before the token is. The token itself is shown in a header, by scripts alone; no
cookie is taken here, so no page can make a browser do anything.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from linkspan.accounts.principal import Tenant
from linkspan.errors import Forbidden, LinkspanError, NotFound, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.runs.about import recipe_of
from linkspan.runs.views import View, Views
from linkspan.spec.recipe import Recipe
from linkspan.store import run_events as event_rows
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run
from linkspan.store.view_tokens import ViewToken
from linkspan.web.failures import alone
from linkspan.web.oauth.place import Place
from linkspan.web.watch.entries import STATES
from linkspan.web.watch.pages import Ground, frame, plan_of, pull_request_of
from linkspan.web.watch.routes import Answer, Doors, Parts, door, place_of
from linkspan.web.watch.viewer import Viewer

_LOOK_AGAIN: Final = 5.0
_TOLD: Final = frozenset({"state", "prepared", "asked", "decided", "plan", "published", "cancel_requested"})
"""What changes what the button says."""
_LONGEST_KEY: Final = 100


class ViewGate:
    """The door of view tokens to the page of a run in a frame."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def viewer(self, request: Request, place: Place) -> Viewer | None:
        """Answer who shows a token, for a run that it opens. Raises `NotFound` for any other."""
        view = await enter(self._views, request, place)
        await self._views.run(view, request.path_params["run"])
        return Viewer(view.principal, view.person or view.token.subject, person=view.person)

    def check(self, request: Request, place: Place, viewer: Viewer, seal: str | None) -> None:  # noqa: ARG002
        """No form comes through here without a script that shows the token."""
        raise Forbidden("This page is answered by its script alone")

    def ground(self, request: Request, place: Place) -> Ground:
        """Answer where the token is used; there is no list."""
        return Ground(place.tenant, f"/t/{place.tenant}/views/{request.path_params['view']}")

    def sign_in(self, request: Request, place: Place) -> Response:  # noqa: ARG002
        """There is nowhere to sign in."""
        raise Unauthenticated("A view token is needed here")

    def keep(self, request: Request, place: Place, answer: Response) -> Response:  # noqa: ARG002
        """Let the browser keep nothing."""
        return answer


class ViewDoors:
    """What the pages of products ask."""

    def __init__(self, parts: Parts, views: Views) -> None:
        self._parts = parts
        self._views = views
        self._starts = Throttle(rate=0.2, burst=10, clock=parts.clock)

    async def framed(self, request: Request, place: Place) -> Response:
        """Answer the page that stands in a frame: nothing is in it until its script shows the token."""
        token = await self._views.find(place.tenant, request.path_params["view"])
        ancestors = " ".join(token.origins) if token is not None else "'none'"
        path = f"/t/{place.tenant}/views/{request.path_params['view']}"
        return frame(Ground(place.tenant, path, ancestors=ancestors), request.path_params["run"])

    async def show(self, request: Request, place: Place) -> Response:
        """Answer what the token is for, and the run that there is."""
        view = await enter(self._views, request, place)
        return JSONResponse(await self._shown(view))

    async def start(self, request: Request, place: Place) -> Response:
        """Start the run that the token is for."""
        view = await enter(self._views, request, place)
        self._starts.take(f"{place.tenant} {view.token.id}")
        key = request.headers.get("idempotency-key")
        await self._views.start(view, key[:_LONGEST_KEY] if key else None)
        return JSONResponse(await self._shown(view), 201)

    async def progress(self, request: Request, place: Place) -> Response:
        """Answer server-sent events: how the run is now, and whenever that changes, until it has ended."""
        view = await enter(self._views, request, place)
        run = await self._views.latest(view)
        if run is None:
            raise NotFound("There is no run yet")

        async def look_again() -> View:
            return await enter(self._views, request, place)

        return StreamingResponse(
            self._follow(view, run, look_again),
            headers={"X-Accel-Buffering": "no"},
            media_type="text/event-stream",
        )

    async def _follow(
        self, view: View, run: Run, look_again: Callable[[], Awaitable[View]]
    ) -> AsyncIterator[bytes]:
        looked = self._parts.clock()
        yield await self._event(view, run)
        async for batch in self._parts.feed.follow(Tenant(run.tenant), run.id, run.events):
            now, told = self._parts.clock(), b": nothing new\n\n"
            try:
                if now - looked >= _LOOK_AGAIN:
                    looked = now
                    await look_again()
                if any(event.kind in _TOLD for event in batch):
                    told = await self._event(view, await self._views.run(view, run.id))
            except LinkspanError:
                return
            yield told

    async def _event(self, view: View, run: Run) -> bytes:
        return f"event: run\ndata: {json.dumps(await self._run(view, run))}\n\n".encode()

    async def _shown(self, view: View) -> dict[str, Any]:
        token, run = view.token, await self._views.latest(view)
        recipe, enabled = await self._recipe(view, run)
        return {
            "recipe": {"name": recipe.name, "title": recipe.title, "enabled": enabled},
            "entity": recipe.entity,
            "entity_id": token.entity_id if run is None else run.entity_id,
            "may": list(token.may),
            "run": None if run is None else await self._run(view, run),
        }

    async def _recipe(self, view: View, run: Run | None) -> tuple[Recipe, bool]:
        token = view.token
        if token.recipe is None and run is not None:
            return recipe_of(run), True
        found = await self._parts.runs.recipe(Tenant(token.tenant), token.recipe or "")
        return found.recipe, found.enabled

    async def _run(self, view: View, run: Run) -> dict[str, Any]:
        word, tone = STATES[run.state]
        plan = await event_rows.of_kinds(
            self._parts.database, run.tenant, run.id, ("plan",), before=run.events + 1, limit=1
        )
        return {
            "id": run.id,
            "state": run.state,
            "word": word,
            "tone": tone,
            "finished": run.is_finished,
            "step": _step(plan),
            "error": run.error_message,
            "pull_request": pull_request_of(run),
            "path": f"/t/{run.tenant}/views/{view.token.id}/{run.id}",
        }


def _step(plan: list[RunEvent]) -> dict[str, Any] | None:
    """Answer how far the plan is; None where there is none."""
    steps = plan_of(plan)
    if not steps:
        return None
    now = next((each["step"] for each in steps if each["status"] == "now"), None)
    return {"now": now, "done": sum(each["status"] == "done" for each in steps), "of": len(steps)}


async def enter(views: Views, request: Request, place: Place) -> View:
    """Answer what the token opens that a request shows. Raises `Unauthenticated` and `Forbidden`."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    shown = text.strip() if kind.lower() == "bearer" else ""
    return await views.enter(
        place.tenant, shown, token=request.path_params["view"], origin=foreign_origin(request, place.base)
    )


def foreign_origin(request: Request, base: str) -> str | None:
    """Answer the origin of the page that asks; None where it is one of ours, or no page asks."""
    origin = request.headers.get("origin")
    ours = base.lower().removesuffix(":443" if base.startswith("https") else ":80")
    return None if origin is None or origin == ours else origin


def _shared(
    views: Views, parts: Parts, answer: Answer, methods: str
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of it that pages of other origins ask: those that the token in its address names."""
    told = door(parts.see, answer, always_json=True)

    async def endpoint(request: Request) -> Response:
        try:
            place = place_of(parts.see, request)
            token = await views.find(place.tenant, request.path_params["view"])
        except LinkspanError as error:
            return alone(error, request.scope)
        if request.method == "OPTIONS":
            response = Response(status_code=204 if _names(token, request) else 403)
            response.headers["Access-Control-Allow-Methods"] = methods
            response.headers["Access-Control-Allow-Headers"] = "authorization, idempotency-key"
            response.headers["Access-Control-Max-Age"] = "600"
        else:
            response = await told(request)
        response.headers["Vary"] = "Origin"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if _names(token, request):
            response.headers["Access-Control-Allow-Origin"] = request.headers["origin"]
        return response

    return endpoint


def _names(token: ViewToken | None, request: Request) -> bool:
    """Tell whether a page may read the answer; that a token is over any page may read, to get a new one."""
    origin = request.headers.get("origin")
    return origin is not None and (token is None or origin in token.origins)


def view_routes(parts: Parts, views: Views) -> list[BaseRoute]:
    """Answer the routes of what view tokens open."""
    path = "/t/{tenant}/views/{view}"
    doors, shown = Doors(parts, ViewGate(views)), ViewDoors(parts, views)

    async def both(request: Request, place: Place) -> Response:
        answer = shown.start if request.method == "POST" else shown.show
        return await answer(request, place)

    def at(below: str, answer: Answer, method: str = "GET") -> Route:
        return Route(f"{path}{below}", door(parts.see, answer), methods=[method])

    return [
        Route(path, _shared(views, parts, both, "GET, POST"), methods=["GET", "POST", "OPTIONS"]),
        Route(
            f"{path}/progress",
            _shared(views, parts, shown.progress, "GET"),
            methods=["GET", "OPTIONS"],
        ),
        at("/{run}", shown.framed),
        at("/{run}/files/{name}", doors.file),
        at("/{run}/{part}", doors.part),
        at("/{run}/{verb}", doors.act, "POST"),
    ]
