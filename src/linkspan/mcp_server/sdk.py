"""Sessions of the legacy era, on the MCP SDK's low-level server.

Off by default: sessions live in one process and need sticky routing. Old clients need them for what a server
asks in the middle of a call (elicitation) and for notifications between calls. The SDK carries the messages;
what is answered comes from the same `Methods` as everywhere. Importing the SDK costs a second and 40 MB, so
this module is imported when the first session is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp.types as t
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel
from pydantic_core import from_json

from linkspan import __version__
from linkspan.accounts.principal import Principal
from linkspan.mcp_server import protocol
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.hub import UPDATED, Event, Hub
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.protocol import Fault
from linkspan.mcp_server.sse import Receive, Send
from linkspan.spec.catalog import Json

Context = ServerRequestContext[Any, Any]
LINGER = 25.0
"""Seconds that calls in flight may still take when the process is stopped."""
_PRINCIPAL = "linkspan.principal"
_REQUEST_ID = "linkspan.mcp_request_id"
_URIS = "uris"
_METHODS: Mapping[str, type[BaseModel]] = {
    "server/discover": t.RequestParams,
    "tools/list": t.PaginatedRequestParams,
    "tools/call": t.CallToolRequestParams,
    "resources/list": t.PaginatedRequestParams,
    "resources/templates/list": t.PaginatedRequestParams,
    "resources/read": t.ReadResourceRequestParams,
    "prompts/list": t.PaginatedRequestParams,
    "prompts/get": t.GetPromptRequestParams,
    "completion/complete": t.CompleteRequestParams,
}


def make_server(methods: Methods, principal_of: Callable[[Context], Principal], hub: Hub) -> Server[Any]:
    """Answer a low-level server that answers through `methods`, for whom `principal_of` says is calling."""
    server: Server[Any] = Server("linkspan", version=__version__)

    async def answer(context: Context, _params: BaseModel) -> HandlerResult:
        return await _answered(methods, context, principal_of(context))

    async def subscribe(context: Context, params: t.SubscribeRequestParams) -> HandlerResult:
        _uris(context).add(str(params.uri))
        return {}

    async def unsubscribe(context: Context, params: t.UnsubscribeRequestParams) -> HandlerResult:
        _uris(context).discard(str(params.uri))
        return {}

    async def introduce(ctx: Context, call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method != "initialize":
            return result
        principal = principal_of(ctx)
        _follow(ctx, principal, hub)
        caller = Caller(principal, "", False, live=True)
        return _loaded(methods.ready("initialize", ctx.params or {}, caller))

    for method, params in _METHODS.items():
        server.add_request_handler(method, params, answer)
    server.add_request_handler("resources/subscribe", t.SubscribeRequestParams, subscribe)
    server.add_request_handler("resources/unsubscribe", t.UnsubscribeRequestParams, unsubscribe)
    server.middleware[:] = [introduce]
    return server


class SdkSessions:
    """Keeps sessions for the HTTP endpoint. A session belongs to the principal that opened it."""

    def __init__(self, methods: Methods, hub: Hub, *, max_request_bytes: int) -> None:
        self._manager = StreamableHTTPSessionManager(
            make_server(methods, _request_principal, hub),
            max_request_body_size=max_request_bytes,
        )
        self._ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(
        self, scope: Any, receive: Receive, send: Send, principal: Principal, request_id: str | None
    ) -> None:
        """Answer one HTTP request of a session, or the one that opens it."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        await self._ready.wait()
        token = AccessToken(
            token="",
            client_id=principal.token_id or "",
            scopes=[],
            subject=f"{principal.tenant}/{principal.kind}/{principal.subject}",
        )
        given = {**scope, _PRINCIPAL: principal, _REQUEST_ID: request_id, "user": AuthenticatedUser(token)}
        if scope["method"] != "POST":
            await self._manager.handle_request(given, receive, send)
            return
        self._calls += 1
        self._idle.clear()
        try:
            await self._manager.handle_request(given, receive, send)
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def aclose(self) -> None:
        """End all sessions once the calls in flight are answered, or after a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), LINGER)
        self._stop.set()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        async with self._manager.run():
            self._ready.set()
            await self._stop.wait()


def _request_principal(context: Context) -> Principal:
    found = context.request.scope[_PRINCIPAL] if context.request is not None else None
    if not isinstance(found, Principal):
        raise MCPError(code=protocol.INTERNAL_ERROR, message="Internal error")
    return found


async def _answered(methods: Methods, context: Context, principal: Principal) -> Json:
    params = context.params or {}
    capabilities = context.session.client_capabilities
    client = context.session.client_params
    caller = Caller(
        principal,
        context.protocol_version,
        context.protocol_version in protocol.MODERN_VERSIONS,
        live=True,
        client=f"{client.client_info.name}/{client.client_info.version}" if client else None,
        capabilities=capabilities.model_dump(by_alias=True, exclude_none=True) if capabilities else {},
        ask=_asker(context),
        tell=_teller(context),
        request_id=context.request.scope.get(_REQUEST_ID) if context.request is not None else None,
    )
    try:
        return _loaded(await methods.answer(context.method, params, caller))
    except Fault as fault:
        raise MCPError(code=fault.code, message=fault.message, data=fault.data) from fault


def _asker(context: Context) -> Callable[[str, Json], Awaitable[Json]]:
    async def ask(_method: str, params: Json) -> Json:
        try:
            answer = await context.session.elicit_form(
                params["message"], params["requestedSchema"], related_request_id=context.request_id
            )
        except MCPError as error:
            raise Fault(error.error.code, error.error.message) from error
        return answer.model_dump(by_alias=True, exclude_none=True)

    return ask


def _teller(context: Context) -> Callable[[str, Json], Awaitable[None]]:
    async def tell(_method: str, params: Json) -> None:
        told = t.ProgressNotification(params=t.ProgressNotificationParams.model_validate(params))
        await context.session.send_notification(told, related_request_id=context.request_id)

    return tell


def _uris(context: Context) -> set[str]:
    """Answer the resources that this session has subscribed to."""
    state = context.session._connection.state  # noqa: SLF001 - the SDK gives handlers no other way to it
    uris: set[str] = state.setdefault(_URIS, set())
    return uris


def _follow(context: Context, principal: Principal, hub: Hub) -> None:
    """Pass changes on to a session until it ends."""
    connection = context.session._connection  # noqa: SLF001 - as above
    session, uris = context.session, _uris(context)
    sending: set[asyncio.Task[None]] = set()

    async def send(event: Event) -> None:
        with contextlib.suppress(Exception):  # the session is ending: there is nobody left to tell
            await session.send_notification(_NOTIFICATIONS[event.method](event))

    def hear(event: Event) -> None:
        if event.method != UPDATED or event.uri in uris:
            task = asyncio.get_running_loop().create_task(send(event))
            sending.add(task)
            task.add_done_callback(sending.discard)

    with contextlib.suppress(Fault):  # too many already: the session works without
        connection.exit_stack.callback(hub.listen(principal.tenant, hear))


_NOTIFICATIONS: Mapping[str, Callable[[Event], t.ServerNotification]] = {
    "notifications/tools/list_changed": lambda _event: t.ToolListChangedNotification(),
    "notifications/prompts/list_changed": lambda _event: t.PromptListChangedNotification(),
    "notifications/resources/list_changed": lambda _event: t.ResourceListChangedNotification(),
    UPDATED: lambda event: t.ResourceUpdatedNotification(
        params=t.ResourceUpdatedNotificationParams(uri=event.uri or "")
    ),
}


def _loaded(result: bytes) -> Json:
    loaded: Json = from_json(result)
    return loaded
