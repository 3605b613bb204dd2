"""`linkspan serve`: one process, one port, all tenants."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Scope

from linkspan.accounts.overview import Overview
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build, config_path, load_catalog
from linkspan.errors import ConfigurationError, Internal, InvalidArgument, LinkspanError, NotFound
from linkspan.mcp_server.access import Access, peer
from linkspan.mcp_server.headers import collect
from linkspan.mcp_server.http import McpEndpoint
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.methods import Methods
from linkspan.measuring import measured, reader, telemetry_of
from linkspan.reload import Reloader
from linkspan.runs.checks import Checks
from linkspan.runs.feed import Feed
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog
from linkspan.vault.logs import configure_logging
from linkspan.vault.redact import Redactor
from linkspan.web.api.parts import Parts as ApiParts
from linkspan.web.api.routes import api_routes
from linkspan.web.asgi import Front
from linkspan.web.console.door import Parts as ConsoleParts
from linkspan.web.console.routes import console_routes
from linkspan.web.data.entering import Entrance
from linkspan.web.data.parts import DataParts
from linkspan.web.data.routes import data_doors
from linkspan.web.failures import told
from linkspan.web.health import health_routes
from linkspan.web.hooks import hook_routes
from linkspan.web.link.routes import link_routes
from linkspan.web.link.sessions import Parts as LinkParts
from linkspan.web.models import model_routes
from linkspan.web.oauth.place import See, Visit, issuer_of, may_sign_in, network_of
from linkspan.web.oauth.routes import Parts, login_of, oauth_routes
from linkspan.web.observed import Observed
from linkspan.web.pages import static_files
from linkspan.web.passing import request_id_of
from linkspan.web.protocol import HttpProtocol, SocketProtocol
from linkspan.web.session.socket import LARGEST_MESSAGE, session_routes
from linkspan.web.watch.gate import TenantGate
from linkspan.web.watch.routes import Parts as WatchParts
from linkspan.web.watch.routes import watch_routes
from linkspan.web.watch.views import view_routes

log = logging.getLogger("linkspan")
GRACE = 30
"""Seconds that calls in flight get to end when the process is stopped."""


ACCEPTED_AT_ONCE = 16
"""New connections that are taken in one turn of the event loop."""


class Serving:
    """An application and its ASGI face, for `serve` and `demo`."""

    def __init__(
        self,
        app: App,
        *,
        routes: Sequence[BaseRoute] = (),
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.app = app
        self._clock = clock
        self._random = random
        self.hub = Hub(max_per_tenant=app.settings.call_limits.listens)
        self.feed = Feed(app.database, app.runs.bell)
        self.checks = Checks(app.gateway, clock=clock, random=random)
        self.reloader: Reloader | None = None
        self.methods = Methods(
            app.gateway,
            new_id=lambda: random(16).hex(),
            clock=clock,
            max_result_bytes=app.settings.max_result_bytes,
            written=self.hub.updated,
            sealer=app.vault,
        )
        self.endpoint = McpEndpoint(
            self.methods,
            self._authenticate,
            app.settings,
            hub=self.hub,
            authorization_servers=authorization_servers,
        )
        sign_in = self._sign_in()
        api, watching = self._api(sign_in.see), self._watching(sign_in.see)
        rest = Starlette(
            routes=[
                *health_routes(self.readiness),
                *oauth_routes(sign_in),
                *api_routes(api),
                *model_routes(app.models),
                *hook_routes(app.hooks),
                *link_routes(self._linking(sign_in.see)),
                *watch_routes(watching, self._tenant_gate(sign_in)),
                *view_routes(watching, app.views),
                *session_routes(watching, app.threads, app.views, app.settings.home, app.telemetry.meters),
                *console_routes(self._console(sign_in.see), watching),
                static_files(),
                *routes,
            ],
            exception_handlers={HTTPException: _told, Exception: _fault},
        )
        access, doors = Access(app.settings), data_doors(self._data(api))
        self.asgi: ASGIApp = Front(
            self.endpoint,
            self.endpoint.metadata,
            {word: ServerErrorMiddleware(door, _fault) for word, door in doors.items()},
            rest,
            lambda scope: access.refusal(collect(scope["headers"]), peer(scope)),
        )
        if app.telemetry.watches:
            self.asgi = Observed(self.asgi, app.telemetry)

    async def _authenticate(self, token: str, tenant: str) -> Principal:
        if token.startswith("lsk_run_"):
            return await self.app.run_tokens.authenticate(token, tenant)
        return await self.app.tokens.authenticate(token, Tenant(tenant))

    def _sign_in(self) -> Parts:
        app, access = self.app, Access(self.app.settings)

        def see(scope: Scope) -> Visit:
            headers = collect(scope["headers"])
            address = access.client_address(scope, headers)
            return Visit(access.base_url(scope, headers), network_of(address))

        return Parts(
            clients=app.clients,
            grants=app.grants,
            sessions=app.sessions,
            provider=app.provider,
            catalog=lambda: app.catalog,
            clock=self._clock,
            random=self._random,
            see=see,
        )

    def _api(self, see: See) -> ApiParts:
        app = self.app
        return ApiParts(
            admins=app.admins,
            tenants=app.tenants,
            people=app.people,
            tokens=app.tokens,
            accounts=app.accounts,
            overview=Overview(app.database),
            link_sessions=app.link_sessions,
            webhooks=app.webhooks,
            outbox=app.outbox,
            offboarding=app.offboarding,
            runs=app.runs,
            history=app.history,
            views=app.views,
            recipes=app.recipes,
            feed=self.feed,
            audit=app.audit,
            log_bodies=app.log_bodies,
            database=app.database,
            verifier=app.verifier,
            catalog=lambda: app.catalog,
            sealer=app.vault,
            clock=self._clock,
            see=see,
            max_body=app.settings.max_request_bytes,
        )

    def _data(self, api: ApiParts) -> DataParts:
        app = self.app
        return DataParts(
            entrance=Entrance(app.tokens, app.admins, app.tenants, api.overview, api.failures),
            gateway=app.gateway,
            relay=app.relay,
            governor=app.governor,
            once=app.once,
            sealer=app.vault,
            clock=self._clock,
            see=api.see,
            max_body=app.settings.max_request_bytes,
        )

    def _linking(self, see: See) -> LinkParts:
        app = self.app
        return LinkParts(
            sessions=app.link_sessions,
            attempts=app.link_attempts,
            audit=app.audit,
            catalog=lambda: app.catalog,
            clock=self._clock,
            random=self._random,
            see=see,
        )

    def _watching(self, see: See) -> WatchParts:
        app = self.app
        return WatchParts(app.runs, self.checks, self.feed, app.database, self._clock, see)

    def _tenant_gate(self, sign_in: Parts) -> TenantGate:
        return TenantGate(self.app.sessions, login_of(sign_in), random=self._random)

    def _console(self, see: See) -> ConsoleParts:
        app = self.app
        return ConsoleParts(
            settings=app.settings,
            sessions=app.console_sessions,
            provider=app.provider,
            admins=app.admins,
            tenants=app.tenants,
            people=app.people,
            tokens=app.tokens,
            accounts=app.accounts,
            overview=Overview(app.database),
            verifier=app.verifier,
            link_sessions=app.link_sessions,
            gateway=app.gateway,
            runs=app.runs,
            recipes=app.recipes,
            outbox=app.outbox,
            arrivals=app.arrivals,
            audit=app.audit,
            log_bodies=app.log_bodies,
            database=app.database,
            master_keys=app.master_keys,
            readiness=self.readiness,
            clock=self._clock,
            random=self._random,
            see=see,
        )

    def replace_catalog(self, catalog: Catalog) -> None:
        """Serve another catalog, and tell those who listen."""
        self.app.gateway.replace_catalog(catalog)
        self.hub.lists_changed()

    async def readiness(self) -> dict[str, object]:
        """Answer what `/readyz` shows: whether the store answers, and whether the file is good."""
        try:
            await self.app.database.query("SELECT 1 AS one")
        except LinkspanError as error:
            return {"ready": False, "why": error.message}
        bad = self.reloader is not None and self.reloader.error is not None
        return {"ready": True, "tools_yaml": "last edit has mistakes, see the log" if bad else "good"}


def authorization_servers(base: str, tenant: str) -> list[str]:
    """Answer who gives tokens for a tenant: we do, where nobody on the way can read them."""
    return [issuer_of(base, tenant)] if may_sign_in(base) else []


async def _told(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        error_told: LinkspanError = NotFound(
            "there is nothing at this address", hint="MCP is at /t/TENANT/mcp."
        )
    else:
        error_told = InvalidArgument(f"this address does not take {request.method}")
    return _shown(error_told, request, status=status)


async def _fault(request: Request, error: Exception) -> Response:
    response = _shown(Internal("something went wrong inside Linkspan"), request)
    log.error("request %s: %s failed", response.headers["x-request-id"], request.url.path, exc_info=error)
    return response


def _shown(error: LinkspanError, request: Request, status: int | None = None) -> Response:
    request_id = request_id_of(dict(request.headers))
    shown, body, headers = told(error, request_id, status=status)
    return Response(body, shown, {**headers, "X-Request-Id": request_id})


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
