"""The desk as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from desk.admin_api import switch_routes
from desk.api import api_routes
from desk.codex import Codex
from desk.doorman import Doorman
from desk.errors import DeskError
from desk.outbox import Post, post_over_http
from desk.pages import Pages
from desk.service import Desk, open_desk
from desk.store import Store

HERE = Path(__file__).parent
_SAID = {404: "Nothing has this address.", 405: "That cannot be done here."}


def build(
    store: Store,
    public_url: str = "http://127.0.0.1:8650",
    *,
    post: Post | None = post_over_http,
    codex: Codex | None = None,
) -> Starlette:
    """Join the desk's parts. `post` sends webhooks while the application runs; None sends none.

    With `codex` tickets have the button "Fix with Codex".

    `app.state.desk` is the `Desk`, for tests that look behind the counter.
    """
    public_url = public_url.rstrip("/")
    desk = open_desk(store, public_url)
    pages = Pages(desk, HERE / "templates", codex)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001
        sending = asyncio.create_task(desk.outbox.deliver(post)) if post else None
        yield
        if sending:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def healthy(request: Request) -> Response:  # noqa: ARG001
        return PlainTextResponse("ok\n")

    app = Starlette(
        routes=[
            Route("/healthz", healthy),
            *api_routes(desk),
            *switch_routes(desk),
            *pages.routes(),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Doorman, store=store, switches=desk.switches, hosts=_hosts(public_url))],
        exception_handlers=_handlers(pages),
        lifespan=lifespan,
    )
    app.state.desk = desk
    return app


def desk_of(app: Starlette) -> Desk:
    """The parts behind an application."""
    desk: Desk = app.state.desk
    return desk


def _hosts(public_url: str) -> frozenset[str]:
    return frozenset({"127.0.0.1", "localhost", "[::1]", (urlsplit(public_url).hostname or "").lower()})


def _handlers(pages: Pages) -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    def told(request: Request, error: DeskError) -> Response:
        if request.url.path.startswith(("/api/", "/_switch")):
            body = error.to_dict(request.state.request_id)
            return JSONResponse(body, error.status, error.headers)
        return pages.refusal(request, error)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, DeskError)
        return told(request, error)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = _SAID.get(error.status_code, str(error.detail))
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        return told(request, DeskError(error.status_code, code, message, headers=error.headers))

    async def broken(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return told(request, DeskError(500, "internal", "Something broke here. The log has more."))

    return {DeskError: refused, HTTPException: routing, Exception: broken}
