"""Requests to us, counted by door and traced; wired in front of everything where somebody listens."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from linkspan.telemetry import Telemetry
from linkspan.web.passing import headers_of

_TENANTS: Final = re.compile(r"/t/[a-z0-9][a-z0-9-]{0,62}(/[^/]*)?")
_OF_TENANT: Final = {"/mcp": "mcp", "/codex": "sessions", "/runs": "run_view"}
_FACES: Final = {
    "unified": "unified",
    "proxy": "proxy",
    "custom": "proxy",
    "batch-request": "unified",
    "codex": "models",
    "hooks": "hooks",
    "link": "link",
    "static": "static",
    "console": "console",
    "healthz": "health",
    "readyz": "health",
    ".well-known": "sign_in",
}


def face_of(path: str) -> str:
    """Answer which door a path leads to: one of a closed list, whatever was asked."""
    found = _TENANTS.match(path)
    if found is not None:
        return _OF_TENANT.get(found[1] or "", "sign_in")
    return _FACES.get(path[1:].partition("/")[0], "api")


class Observed:
    """An ASGI application whose answers are told of when they begin."""

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, *, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._timer = timer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        face, meters = face_of(scope["path"]), self._telemetry.meters
        meters.answering(face, 1)
        try:
            if scope["type"] == "websocket":
                await self._app(scope, receive, self._shaking(face, send))
            elif self._telemetry.tracer.is_on:
                await self._traced(face, scope, receive, send)
            else:
                await self._counted(face, scope, receive, send)
        finally:
            meters.answering(face, -1)

    async def _counted(self, face: str, scope: Scope, receive: Receive, send: Send) -> None:
        method, began, count = scope["method"], self._timer(), self._telemetry.meters.request

        async def counting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                count(face, method, message["status"], self._timer() - began)
            await send(message)

        await self._app(scope, receive, counting)

    async def _traced(self, face: str, scope: Scope, receive: Receive, send: Send) -> None:
        method, began = scope["method"], self._timer()
        status, headers = 0, headers_of(scope)
        about = {"http.request.method": method, "linkspan.face": face}
        with self._telemetry.tracer.span(f"{method} {face}", about, kind="server", headers=headers) as span:

            async def sending(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set("http.response.status_code", status)
                    if status >= 500:
                        span.failed(str(status))
                    self._telemetry.meters.request(face, method, status, self._timer() - began)
                await send(message)

            await self._app(scope, receive, sending)

    def _shaking(self, face: str, send: Send) -> Send:
        """Answer a `send` that counts how the handshake of a WebSocket ends: 101 where it is accepted.

        What is said then has no span: each turn is a run, with one of its own.
        """
        began, count = self._timer(), self._telemetry.meters.request
        is_over = False

        async def shaking(message: MutableMapping[str, Any]) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                refused = message.get("status", 403)
                status = 101 if message["type"] == "websocket.accept" else refused
                count(face, "GET", status, self._timer() - began)
            await send(message)

        return shaking
