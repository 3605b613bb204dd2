"""Signing in to us, as routes: which door each endpoint has, and how each door tells an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linkspan.accounts.clients import Clients
from linkspan.accounts.grants import Grants
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.openid import OpenIdProvider
from linkspan.accounts.principal import Tenant
from linkspan.accounts.sessions import Sessions
from linkspan.errors import LinkspanError, NotFound
from linkspan.gateway.throttle import Throttle
from linkspan.spec.catalog import Catalog
from linkspan.web.oauth.authorize import Authorize
from linkspan.web.oauth.browser import Random
from linkspan.web.oauth.home import Home
from linkspan.web.oauth.invitations import InvitationLogin
from linkspan.web.oauth.login import Answer, Login
from linkspan.web.oauth.metadata import document
from linkspan.web.oauth.place import Place, See, is_tenant, may_sign_in
from linkspan.web.oauth.provider import ProviderLogin
from linkspan.web.oauth.register import Register
from linkspan.web.oauth.token import NO_STORE, TokenEndpoint
from linkspan.web.pages import page

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, MCP-Protocol-Version",
}
"""Programs in a browser may read these answers; never with its cookies."""


_NO_TENANT: Final = Tenant("-")


@dataclass(frozen=True, slots=True)
class Parts:
    """What signing in is made of. Without a `provider` people sign in with invitations."""

    clients: Clients
    grants: Grants
    sessions: Sessions
    provider: OpenIdProvider | None
    catalog: Callable[[], Catalog]
    clock: Callable[[], float]
    random: Random
    see: See


def login_of(parts: Parts) -> Login:
    """Answer the way in which people say who they are here."""
    attempts = Throttle(rate=1 / 6, burst=10, clock=parts.clock)
    if parts.provider is None:
        return InvitationLogin(parts.sessions, random=parts.random, throttle=attempts)
    return ProviderLogin(
        parts.provider, parts.sessions, clock=parts.clock, random=parts.random, throttle=attempts
    )


def oauth_routes(parts: Parts) -> list[BaseRoute]:
    """Answer every route of signing in."""

    def throttle(*, rate: float, burst: int) -> Throttle:
        return Throttle(rate=rate, burst=burst, clock=parts.clock)

    def page_door(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        return _page_door(parts.see, answer)

    def program_door(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        return _program_door(parts.see, answer)

    login = login_of(parts)
    authorize = Authorize(
        parts.clients,
        parts.grants,
        parts.sessions,
        login,
        catalog=parts.catalog,
        random=parts.random,
        throttle=throttle(rate=0.2, burst=20),
    )
    home = Home(parts.grants, parts.sessions, login, catalog=parts.catalog, random=parts.random)
    tokens = TokenEndpoint(parts.grants, throttle=throttle(rate=5, burst=100))
    register = Register(parts.clients, throttle=throttle(rate=1 / 60, burst=10))

    async def metadata(_request: Request, place: Place) -> Response:
        return JSONResponse(document(place, registration=parts.clients.registration))

    described = program_door(metadata)
    return [
        Route("/.well-known/oauth-authorization-server/t/{tenant}", described, methods=["GET", "OPTIONS"]),
        Route("/.well-known/openid-configuration/t/{tenant}", described, methods=["GET", "OPTIONS"]),
        Route("/t/{tenant}/.well-known/openid-configuration", described, methods=["GET", "OPTIONS"]),
        Route("/t/{tenant}/oauth/authorize", page_door(authorize.show), methods=["GET"]),
        Route("/t/{tenant}/oauth/authorize", page_door(authorize.decide), methods=["POST"]),
        Route("/t/{tenant}/oauth/token", program_door(tokens.issue), methods=["POST", "OPTIONS"]),
        Route("/t/{tenant}/oauth/revoke", program_door(tokens.revoke), methods=["POST", "OPTIONS"]),
        Route("/t/{tenant}/oauth/register", program_door(register), methods=["POST", "OPTIONS"]),
        *login.routes(page_door),
        Route("/t/{tenant}/sign-in", page_door(home.show), methods=["GET"]),
        Route("/t/{tenant}/sign-out", page_door(home.sign_out), methods=["POST"]),
        Route("/t/{tenant}/programs/{grant}/end", page_door(home.end), methods=["POST"]),
    ]


def _place(see: See, request: Request) -> Place:
    """Answer where a request came to; its Host and its Origin have been looked at before."""
    visit = see(request.scope)
    if not may_sign_in(visit.base):
        raise NotFound(
            "Nobody signs in over plain HTTP",
            hint="The operator serves it over https:// and says so with LINKSPAN_PUBLIC_URL.",
        )
    tenant = request.path_params.get("tenant")
    if tenant is not None and not is_tenant(tenant):
        raise NotFound("There is nothing at this address")
    return Place(visit.base, Tenant(tenant) if tenant is not None else _NO_TENANT, visit.address)


def _page_door(see: See, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request, _place(see, request))
        except LinkspanError as error:
            values = {
                "title": "That did not work",
                "message": _sentence(error),
                "hint": error.hint,
                "back": None,
            }
            headers = _retry(error)
            return page("oauth/refused.html", values, status=error.status, headers=headers)

    return endpoint


def _program_door(see: See, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        try:
            response = await answer(request, _place(see, request))
        except LinkspanError as error:
            response = _refused(error, tried="authorization" in request.headers)
        response.headers.update(CORS)
        return response

    return endpoint


def _refused(error: LinkspanError, *, tried: bool) -> JSONResponse:
    """Answer an error as programs read it (RFC 6749 §5.2); ours have no word there but "not now".

    `tried` tells whether the client sent an Authorization header, which is answered in kind.
    """
    status, challenge = error.status, {}
    if isinstance(error, OAuthRefused):
        word: str = error.error
        if word == "invalid_client" and tried:
            status, challenge = 401, {"WWW-Authenticate": 'Basic realm="linkspan"'}
    else:
        word = "temporarily_unavailable" if status >= 429 else "invalid_request"
        status = 503 if status >= 500 else status
    told = {"error": word, "error_description": error.for_model().removeprefix("Error: ")}
    return JSONResponse(told, status, headers={**NO_STORE, **challenge, **_retry(error)})


def _retry(error: LinkspanError) -> Mapping[str, Any]:
    wait = error.retry_after
    return {} if wait is None else {"Retry-After": str(max(1, round(wait)))}


def _sentence(error: LinkspanError) -> str:
    return error.message if error.message[-1:] in ".!?" else f"{error.message}."
