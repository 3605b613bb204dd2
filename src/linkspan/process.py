"""`linkspan serve` as a process: it opens everything, listens, works beside, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable

import uvicorn

from linkspan.app import App, build, config_path, load_catalog
from linkspan.errors import ConfigurationError, LinkspanError
from linkspan.mcp_server.http import McpEndpoint
from linkspan.measuring import measured, reader, telemetry_of
from linkspan.reload import Reloader
from linkspan.runs.feed import Feed
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog
from linkspan.vault.logs import configure_logging
from linkspan.vault.redact import Redactor
from linkspan.web.protocol import HttpProtocol, SocketProtocol
from linkspan.web.session.socket import LARGEST_MESSAGE

log = logging.getLogger("linkspan")
GRACE = 30
"""Seconds that calls in flight get to end when the process is stopped."""
ACCEPTED_AT_ONCE = 16
"""New connections that are taken in one turn of the event loop."""


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; answer the exit code."""
    redactor = Redactor()
    configure_logging(redactor, form=settings.log_form)
    catalog = load_catalog(settings)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn_runner()(run_server(settings, catalog, redactor))
    return 0


def uvicorn_runner() -> Callable[..., None]:
    """Answer `asyncio.run` on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def run_server(settings: Settings, catalog: Catalog, redactor: Redactor) -> None:
    """Open everything, serve, and close in order: the port, the calls in flight, the store.

    Raises `ConfigurationError` when the port cannot be had.
    """
    listener = listen(settings.host, settings.port)
    telemetry = telemetry_of(settings)
    app = await build(settings, catalog=catalog, redactor=redactor, telemetry=telemetry)
    serving = Serving(app)
    serving.reloader = Reloader(
        [config_path(settings)], lambda: load_catalog(settings), serving.replace_catalog
    )
    server = make_server(serving, settings)
    watching = asyncio.create_task(serving.reloader.run())
    chores = (app.outbox.run(), app.keeper.run(), app.trail_keeper.run(), app.replicas.run())
    beside = [asyncio.create_task(chore) for chore in chores]
    working = asyncio.create_task(_work(app, redactor)) if settings.works else None
    try:
        async with measured(telemetry, settings, reader(app, lambda: serving.reloader, time.time)):
            await _announce(serving, settings)
            outlive_signals()
            spare_what_stays()
            await server.serve([listener])
    finally:
        watching.cancel()
        for each in beside:
            each.cancel()
        if working is not None:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        await asyncio.gather(*beside, return_exceptions=True)
        await app.aclose()
        listener.close()


async def _work(app: App, redactor: Redactor) -> None:
    """Work runs beside serving. What keeps them from being worked is told, and the serving goes on."""
    from linkspan.working import work_runs

    try:
        await work_runs(app, redactor=redactor)
    except LinkspanError as error:
        log.error("runs are not worked here: %s", error.for_model())
    except Exception:
        log.exception("runs are not worked here any more")


def listen(host: str, port: int) -> socket.socket:
    """Answer a socket that listens; raises `ConfigurationError` that says why it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror})",
            hint="Choose another address with --host or another port with --port.",
        ) from error


def spare_what_stays() -> None:
    """Keep what lives as long as the process out of garbage collection, which looks at the rest less often.

    A page of items is some hundred objects that are gone with its answer; by default each few calls would
    look through all that there is.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


def outlive_signals() -> None:
    """Let the server's own handling of SIGINT and SIGTERM end the serving, and nothing else.

    uvicorn raises a captured signal again when it has stopped; by default that would end the process before
    the audit rows that wait are written.
    """
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: None)


class Server(uvicorn.Server):
    """An HTTP server that tells open streams to end before it waits for its connections to end."""

    def __init__(self, config: uvicorn.Config, endpoint: McpEndpoint, feed: Feed) -> None:
        super().__init__(config)
        self._endpoint = endpoint
        self._feed = feed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. uvloop takes one new connection a turn from a descriptor, so each socket gets several."""
        copies = [copy for each in sockets or () for copy in (each.dup() for _ in range(ACCEPTED_AT_ONCE))]
        await super().startup(copies if sockets else None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, streams ended, calls in flight finished within the grace."""
        self._feed.close()
        closing = asyncio.create_task(self._endpoint.aclose())
        await super().shutdown(sockets)
        await closing


def make_server(serving: Serving, settings: Settings) -> Server:
    """Answer the HTTP server, not started."""
    config = uvicorn.Config(
        serving.asgi,
        host=settings.host,
        port=settings.port,
        http=HttpProtocol,
        ws=SocketProtocol,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        h11_max_incomplete_event_size=65_536,
    )
    return Server(config, serving.endpoint, serving.feed)


async def _announce(serving: Serving, settings: Settings) -> None:
    catalog = serving.app.catalog
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    tenants = [tenant.name for tenant in await serving.app.tenants.list()]
    log.info(
        "serving %d tools of %s at %s/t/TENANT/mcp; %s",
        len(catalog.tools),
        ", ".join(catalog.connectors) or "no connector",
        base,
        f"tenants: {', '.join(tenants[:20])}" if tenants else "no tenants yet: linkspan tenant add NAME",
    )
