"""`/healthz`: the process answers. `/readyz`: it can work, and what it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from linkspan import __version__

Readiness = Callable[[], Awaitable[dict[str, object]]]
"""Answers what stands in `/readyz`; `ready` is true or false."""


def health_routes(readiness: Readiness) -> list[Route]:
    """Answer the two routes. Both are open and tell nothing of any tenant."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        state = await readiness()
        return JSONResponse({**state, "version": __version__}, status_code=200 if state["ready"] else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
