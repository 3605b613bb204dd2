"""What `linkspan serve` answers: every door of one port, for all tenants."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Scope

from linkspan.accounts.overview import Overview
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App
from linkspan.errors import Internal, InvalidArgument, LinkspanError, NotFound
from linkspan.mcp_server.access import Access, peer
from linkspan.mcp_server.headers import collect
from linkspan.mcp_server.http import McpEndpoint
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.methods import Methods
from linkspan.reload import Reloader
from linkspan.runs.checks import Checks
from linkspan.runs.feed import Feed
from linkspan.spec.catalog import Catalog
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
from linkspan.web.session.socket import session_routes
from linkspan.web.watch.gate import TenantGate
from linkspan.web.watch.routes import Parts as WatchParts
from linkspan.web.watch.routes import watch_routes
from linkspan.web.watch.views import view_routes

log = logging.getLogger("linkspan")


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
            request_id_of=request_id_of,
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
            once=app.once,
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
    request_id = request_id_of(request.scope)
    shown, body, headers = told(error, request_id, status=status)
    return Response(body, shown, {**headers, "X-Request-Id": request_id})
