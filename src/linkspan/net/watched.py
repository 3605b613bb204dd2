"""A transport whose exchanges are counted and traced, each try of its own; wired where somebody listens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from linkspan.errors import LinkspanError
from linkspan.net.messages import Request, Response, Streamed, StreamingTransport
from linkspan.telemetry import Telemetry
from linkspan.telemetry.tracer import Span


class WatchedTransport:
    """Hands everything to another transport, and tells how it went."""

    def __init__(
        self,
        transport: StreamingTransport,
        telemetry: Telemetry,
        *,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._transport = transport
        self._telemetry = telemetry
        self._timer = timer

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send and read the whole answer; raises as the transport does."""
        if self._telemetry.tracer.is_on:
            with self._watched(request) as seen:
                answer = await self._transport.exchange(
                    self._marked(request), timeout=timeout, max_bytes=max_bytes
                )
                seen.answered(answer.status)
                return answer
        began, count = self._timer(), self._telemetry.meters.exchange
        try:
            answer = await self._transport.exchange(request, timeout=timeout, max_bytes=max_bytes)
        except BaseException as error:
            count(request.use, request.method, None, _code(error), self._timer() - began)
            raise
        count(request.use, request.method, answer.status, "", self._timer() - began)
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        timeout: float,
        idle: float,
    ) -> AsyncIterator[Streamed]:
        """Send and open the answer; how long it goes on then is not counted."""
        async with contextlib.AsyncExitStack() as stack:
            with self._watched(request) as seen:
                opening = self._transport.stream(
                    self._marked(request), content=content, timeout=timeout, idle=idle
                )
                answer = await stack.enter_async_context(opening)
                seen.answered(answer.status)
            yield answer

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    def _marked(self, request: Request) -> Request:
        """Let what is asked become a part of the trace that is under way."""
        headers = self._telemetry.tracer.headers()
        return replace(request, headers={**request.headers, **headers}) if headers else request

    @contextlib.contextmanager
    def _watched(self, request: Request) -> Iterator[_Seen]:
        began = self._timer()
        tracer = self._telemetry.tracer
        with tracer.span(request.method, _told(request) if tracer.is_on else None, kind="client") as span:
            seen = _Seen(span)
            try:
                yield seen
            except BaseException as error:
                seen.error = _code(error)
                span.failed(seen.error)
                raise
            finally:
                self._telemetry.meters.exchange(
                    request.use, request.method, seen.status, seen.error, self._timer() - began
                )


class _Seen:
    """How an exchange goes."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.status: int | None = None
        self.error = ""

    def answered(self, status: int) -> None:
        self.status = status
        self._span.set("http.response.status_code", status)
        if status >= 400:
            self._span.failed(str(status))


def _code(error: BaseException) -> str:
    """Answer what keeps an answer from coming, in a word."""
    return error.code if isinstance(error, LinkspanError) else "cancelled"


def _told(request: Request) -> dict[str, str | int]:
    """Answer what a span says of a request: where to and what for, never its path, query or headers."""
    parts = urlsplit(request.url)
    told: dict[str, str | int] = {
        "http.request.method": request.method,
        "server.address": parts.hostname or "",
        "linkspan.use": request.use.kind,
    }
    if parts.port is not None:
        told["server.port"] = parts.port
    if request.use.connector:
        told["linkspan.connector"] = request.use.connector
    if request.use.route:
        told["url.template"] = request.use.route.partition(" ")[2]
    return told
