"""The WebSocket of embedded sessions: who is let in, for how long, and how much of it there may be.

A page shows its token as the second word of `Sec-WebSocket-Protocol` (RFC 6455 §1.9), a program as a bearer.
All is judged before the socket is accepted: tenant, token, and the page's origin by the token. No cookie is
taken. The token is looked at again before each request, and every few seconds while nothing is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from linkspan.accounts.opaque import read
from linkspan.accounts.principal import Tenant
from linkspan.errors import Forbidden, LinkspanError, NotFound, RateLimited, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.runs.threads import Threads, owner_of
from linkspan.runs.views import View, Views
from linkspan.telemetry.meters import Meters
from linkspan.web.failures import alone
from linkspan.web.oauth.place import Place, See, is_tenant, may_sign_in
from linkspan.web.passing import request_id_of
from linkspan.web.session.following import News, Record
from linkspan.web.session.requests import Parts, Requests
from linkspan.web.session.shapes import Json
from linkspan.web.watch.routes import Parts as WatchParts

log = logging.getLogger("linkspan.session")
SUBPROTOCOL: Final = "linkspan.codex"
LARGEST_MESSAGE: Final = 1_000_000
"""Bytes that a page may send at once."""
_LOOK_AGAIN: Final = 5.0
_MOST_OF_TENANT: Final = 500
_MOST_OF_PERSON: Final = 20
_OVER: Final = 4401
"""How a socket is closed whose token is over: the page comes back with a new one."""
_FAULT: Final = 1011


class Sockets:
    """The door of embedded sessions."""

    def __init__(
        self,
        parts: Parts,
        views: Views,
        see: See,
        *,
        clock: Callable[[], float],
        look_again: float = _LOOK_AGAIN,
    ) -> None:
        self._parts = parts
        self._views = views
        self._see = see
        self._look_again = look_again
        self._knocks = Throttle(rate=1.0, burst=120, clock=clock)
        self._requests = Throttle(rate=10.0, burst=100, clock=clock)
        self._open: Counter[tuple[str, ...]] = Counter()

    async def __call__(self, socket: WebSocket) -> None:
        """Let somebody in, or say why not; then answer until either side hangs up."""
        try:
            place = self._place(socket)
            self._knocks.take(place.address)
            shown, subprotocol = _shown(socket)
            view = await self._enter(socket, place, shown)
            owner = owner_of(view)
            names = ((owner.tenant,), (owner.tenant, owner.subject, owner.person))
            if self._open[names[0]] >= _MOST_OF_TENANT or self._open[names[1]] >= _MOST_OF_PERSON:
                raise RateLimited("too many sessions are open", hint="Close one.", retry_after=30.0)
        except LinkspanError as error:
            await socket.send_denial_response(alone(error, socket.scope))
            return
        self._open.update(names)
        try:
            await socket.accept(subprotocol)
            await self._talk(socket, place, shown, view)
        finally:
            self._open.subtract(names)
            self._open += Counter()  # what is 0 is forgotten

    async def _talk(self, socket: WebSocket, place: Place, shown: str, view: View) -> None:
        one_at_a_time = asyncio.Lock()

        async def send(message: Json) -> None:
            async with one_at_a_time:
                try:
                    await socket.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
                except RuntimeError as error:  # it was closed meanwhile
                    raise WebSocketDisconnect(1006) from error

        async def watch() -> None:
            while True:
                await asyncio.sleep(self._look_again)
                await self._enter(socket, place, shown)

        requests = Requests(self._parts, view, send)
        hearing = self._hear(socket, requests, send, lambda: self._enter(socket, place, shown))
        tasks = [asyncio.create_task(hearing), asyncio.create_task(watch())]
        try:
            done, _ = await asyncio.wait((*tasks, requests.fault), return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        except WebSocketDisconnect:
            log.debug("a session of tenant %s was left", place.tenant)
        except (Unauthenticated, Forbidden):
            await _close(socket, _OVER, "the token is over")
        except Exception:
            number = request_id_of(socket.scope)
            log.exception("request %s: a session of tenant %s was ended", number, place.tenant)
            await _close(socket, _FAULT, "come back")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await requests.close()

    async def _hear(
        self,
        socket: WebSocket,
        requests: Requests,
        send: Callable[[Json], Awaitable[None]],
        enter: Callable[[], Awaitable[View]],
    ) -> None:
        """Take what the other side says, as fast as it may."""
        while True:
            heard = await socket.receive()
            if heard["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(heard.get("code", 1005))
            try:
                message = json.loads(heard.get("text") or heard.get("bytes") or "")
                json.dumps(message, ensure_ascii=False).encode()  # half of a surrogate pair is no text
            except (ValueError, RecursionError):
                told = {"code": -32700, "message": "this is no JSON"}
                await send({"jsonrpc": "2.0", "id": None, "error": told})
                continue
            wait = self._requests.wait((requests.view.token.tenant, requests.view.token.id))
            if wait:
                await asyncio.sleep(wait)  # it is read no faster: the other side waits as well
            requests.view = await enter()
            await requests.take(message)

    async def _enter(self, socket: WebSocket, place: Place, shown: str) -> View:
        origin = socket.headers.get("origin")
        ours = place.base.lower().removesuffix(":443" if place.base.startswith("https") else ":80")
        foreign = None if origin is None or origin == ours else origin
        return await self._views.enter(place.tenant, shown, token=read(shown, "view").id, origin=foreign)

    def _place(self, socket: WebSocket) -> Place:
        scheme = "https" if socket.scope.get("scheme") == "wss" else "http"
        visit = self._see({**socket.scope, "scheme": scheme})
        tenant = socket.path_params["tenant"]
        if not may_sign_in(visit.base) or not is_tenant(tenant):
            raise NotFound("There is nothing at this address")
        return Place(visit.base, Tenant(tenant), visit.address)


async def _close(socket: WebSocket, code: int, why: str) -> None:
    """Close it, if it is not closed by now."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.close(code, why)


def _shown(socket: WebSocket) -> tuple[str, str | None]:
    """Answer the token that is shown, and the subprotocol to answer with."""
    offered = [str(each) for each in socket.scope.get("subprotocols", ())]
    kind, _, text = socket.headers.get("authorization", "").partition(" ")
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    if kind.lower() == "bearer":
        return text.strip(), subprotocol
    return next((each for each in offered if each.startswith("lsk_view_")), ""), subprotocol


def session_routes(
    watching: WatchParts, threads: Threads, views: Views, home: Path, meters: Meters
) -> list[BaseRoute]:
    """Answer the route of embedded sessions; `home` is where runs have their folders."""
    record = Record(watching.database, home / "work", watching.clock)
    parts = Parts(threads, watching.runs, watching.feed, record, News(), meters)
    sockets = Sockets(parts, views, watching.see, clock=watching.clock)

    async def endpoint(socket: WebSocket) -> None:
        await sockets(socket)

    return [WebSocketRoute("/t/{tenant}/codex", endpoint)]
