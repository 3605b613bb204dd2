"""The operator's own port: `/metrics` for Prometheus and `/healthz`, away from where tenants reach us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from linkspan.errors import LinkspanError
from linkspan.telemetry.meters import Standing
from linkspan.telemetry.prometheus import CONTENT_TYPE, PrometheusMeters

Read = Callable[[], Awaitable[Standing]]


def metrics_app(meters: PrometheusMeters, read: Read) -> Starlette:
    """Answer the ASGI application; `read` is asked at each scrape."""

    async def metrics(_request: Request) -> Response:
        try:
            standing = await read()
        except LinkspanError:
            standing = None  # that it does not answer is a metric itself
        return Response(meters.exposition(standing), media_type=CONTENT_TYPE)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", healthz)])


class _Server(uvicorn.Server):
    """One beside the main server, which alone hears signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_metrics(listener: socket.socket, meters: PrometheusMeters, read: Read) -> None:
    """Answer on a socket that listens, until cancelled."""
    config = uvicorn.Config(
        metrics_app(meters, read),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    try:
        await server.serve([listener])
    except asyncio.CancelledError:
        if server.started:
            await server.shutdown([listener])
        raise
    finally:
        listener.close()
