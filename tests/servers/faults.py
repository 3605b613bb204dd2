"""A proxy before a real server that can be told to fail as the server itself cannot on demand."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HOP_BY_HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Fault:
    """One answer in place of the server's. `hold` gives no answer until the client goes away."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    hold: bool = False


@dataclass(frozen=True)
class Received:
    """One request that arrived; its path as it was encoded."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    query: str = ""


class FaultyProxy:
    """An ASGI application in front of `target` (scheme, host and port), which sees its own origin only."""

    def __init__(self, target: str) -> None:
        self._target = target.rstrip("/")
        self._faults: list[Fault] = []
        self._received: list[Received] = []
        self._meanwhile: tuple[str, Callable[[], object]] | None = None
        self._lock = threading.Lock()
        self.aborted = threading.Event()
        """The client of a held request went away."""
        self.held_for: float | None = None
        """Seconds until it did."""

    def fail(self, fault: Fault, *, times: int = 1) -> None:
        """Answer the next requests with this fault."""
        with self._lock:
            self._faults.extend([fault] * times)

    def meanwhile(self, method: str, act: Callable[[], object]) -> None:
        """Do something at the server right before the next request with this method gets there."""
        with self._lock:
            self._meanwhile = (method, act)

    def mend(self) -> None:
        """Forget the faults that are left, and what was recorded."""
        with self._lock:
            self._meanwhile = None
            self._faults.clear()
            self._received.clear()
        self.aborted.clear()
        self.held_for = None

    @property
    def received(self) -> tuple[Received, ...]:
        """The requests since the last `mend`."""
        with self._lock:
            return tuple(self._received)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        with self._lock:
            self._received.append(
                Received(request.method, _path(request), dict(request.headers), request.url.query)
            )
            fault = self._faults.pop(0) if self._faults else None
            act = None
            if self._meanwhile is not None and self._meanwhile[0] == request.method:
                (_, act), self._meanwhile = self._meanwhile, None
        if act is not None:
            await asyncio.to_thread(act)
        if fault is None:
            response = await self._forward(request)
        elif fault.hold:
            await self._hold(request, receive)
            return
        else:
            response = Response(fault.body, fault.status, dict(fault.headers))
        await response(scope, receive, send)

    async def _hold(self, request: Request, receive: Receive) -> None:
        start = time.monotonic()
        with contextlib.suppress(ClientDisconnect):
            await request.body()
            await receive()  # with the body read, what comes next is the end of the connection
        self.held_for = time.monotonic() - start
        self.aborted.set()

    async def _forward(self, request: Request) -> Response:
        own = str(request.base_url).rstrip("/")
        headers = {
            name: value.replace(own, self._target)
            for name, value in request.headers.items()
            if name not in HOP_BY_HOP
        }
        async with httpx2.AsyncClient() as client:
            url = f"{self._target}{_path(request)}"
            if request.url.query:
                url += f"?{request.url.query}"
            answer = await client.request(request.method, url, headers=headers, content=await request.body())
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return Response(answer.content.replace(self._target.encode(), own.encode()), answer.status_code, kept)


def _path(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii")
