"""Streamable HTTP for every tenant: `/t/{tenant}/mcp`, one ASGI application without a framework in between.

Order of the checks: Host and Origin (421, 403), the bearer token (401, the same for an unknown tenant), the
method (405), size (413) and form of the body (400), then the era's own header rules. A token that may use
nothing at all is refused with 403; one that lacks a scope for one tool is told so in that tool's result,
where the model can read it. Everything else about a call is answered with 200.

By default nothing is kept between requests, so any replica may answer any of them. Where the operator has
switched sessions on, requests of the legacy era are handed to the SDK, which is imported for the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError, Unauthenticated
from linkspan.mcp_server import batch, protocol, sse
from linkspan.mcp_server.access import SCOPES, Access, challenge
from linkspan.mcp_server.caller import Caller, client_name, meta_of
from linkspan.mcp_server.calls import outline
from linkspan.mcp_server.headers import VERSION, Headers, Mirror, check, check_mirrors, collect, mirrors
from linkspan.mcp_server.hub import Hub, Subscription
from linkspan.mcp_server.incoming import read_body, watched
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.ports import Authenticate
from linkspan.mcp_server.protocol import HEADER_MISMATCH, INVALID_REQUEST, META_VERSION, PARSE_ERROR, Fault
from linkspan.mcp_server.replies import (
    accepts_events,
    bearer,
    fault,
    refuse,
    refuse_name,
    refuse_scopes,
    refuse_token,
    reply,
)
from linkspan.mcp_server.shorten import encode
from linkspan.mcp_server.sse import EventStream, Receive, Send
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog

if TYPE_CHECKING:
    from linkspan.mcp_server.sdk import SdkSessions

log = logging.getLogger("linkspan.mcp")
_PATH: Final = re.compile(r"/t/([a-z0-9][a-z0-9-]{0,62})/mcp\Z")
_LEGACY: Final = frozenset(version.encode() for version in protocol.LEGACY_VERSIONS)
_ANSWERS: Final = frozenset(("result", "error"))
_BODY_FAULT: Final = Fault(INVALID_REQUEST, "The body must be one JSON-RPC request or notification")


class McpEndpoint:
    """The MCP endpoint of all tenants, and the protected-resource metadata beside it (RFC 9728).

    `authorization_servers` answers the issuers for a base URL and a tenant; without it the metadata names
    none and a client needs a token that it was given. `request_id_of` answers the id of a request (an ASGI
    scope), which is its calls' too; without it each call has its own.
    """

    def __init__(
        self,
        methods: Methods,
        authenticate: Authenticate,
        settings: Settings,
        *,
        hub: Hub | None = None,
        authorization_servers: Callable[[str, str], list[str]] | None = None,
        request_id_of: Callable[[Any], str] | None = None,
    ) -> None:
        self._methods = methods
        self._authenticate = authenticate
        self._access = Access(settings)
        self._max_body = settings.max_request_bytes
        self._hub = hub or Hub()
        self._stateful = settings.stateful
        self._sessions: SdkSessions | None = None
        self._authorization_servers = authorization_servers
        self._request_id_of = request_id_of or _unidentified
        self._mirrors: tuple[Catalog | None, dict[str, tuple[Mirror, ...]]] = (None, {})
        self._streams: set[Subscription] = set()

    def close_streams(self) -> None:
        """End every open subscription stream, so that a stop need not wait for its clients."""
        for subscription in list(self._streams):
            subscription.close()

    async def aclose(self) -> None:
        """End every stream and every session."""
        self.close_streams()
        if self._sessions is not None:
            await self._sessions.aclose()

    async def _open_sessions(self) -> SdkSessions:
        sdk = await asyncio.to_thread(importlib.import_module, "linkspan.mcp_server.sdk")
        if self._sessions is None:
            self._sessions = sdk.SdkSessions(self._methods, self._hub, max_request_bytes=self._max_body)
        return self._sessions

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request for `/t/{tenant}/mcp`."""
        headers = collect(scope["headers"], self._request_id_of(scope))
        try:
            await self._answer(scope, headers, receive, send)
        except Exception as cause:
            number, told = headers.request_id, "Error: something went wrong inside Linkspan. Try again."
            log.error("request %s: %s %s failed: %s", number, scope["method"], scope["path"], outline(cause))
            with contextlib.suppress(RuntimeError):  # an answer was begun: what is left is to end it
                await refuse(send, number, 500, "internal", told)

    async def _answer(self, scope: Any, headers: Headers, receive: Receive, send: Send) -> None:
        number = headers.request_id
        found = _PATH.match(scope["path"])
        if found is None:
            told = "Error: there is nothing here. MCP is at /t/TENANT/mcp."
            await refuse(send, number, 404, "not_found", told)
            return
        tenant = found.group(1)
        refusal = self._access.refusal(headers, scope["client"][0] if scope.get("client") else None)
        if refusal:
            await refuse_name(send, number, refusal)
            return
        token = bearer(headers)
        try:
            principal = await self._authenticate(token, tenant) if token else None
        except Unauthenticated:
            principal = None
        except LinkspanError as error:
            await refuse(send, number, error.status, error.code, error.for_model())
            return
        audience = principal.audience if principal is not None else None
        if audience is not None and audience != self._resource(scope, headers, tenant):
            # What a program got by signing in is good for the one URL that it was asked for (RFC 8707).
            principal = None
        if principal is None:
            await self._unauthenticated(scope, headers, tenant, send, sent=token is not None)
            return
        stated = headers.text(VERSION)
        modern = stated is not None and stated.encode("latin-1") not in _LEGACY
        if self._stateful and not modern:
            sessions = self._sessions or await self._open_sessions()
            await sessions(scope, receive, send, principal, number)
        elif scope["method"] != "POST":
            await refuse(send, number, 405, "invalid_argument", "Error: use POST.", (b"allow", b"POST"))
        elif not self._surface_is_open(principal):
            await self._no_scope(scope, headers, tenant, send)
        else:
            await self._post(headers, modern, stated, principal, receive, send)

    async def _post(
        self,
        headers: Headers,
        modern: bool,
        stated: str | None,
        principal: Principal,
        receive: Receive,
        send: Send,
    ) -> None:
        if not (headers.text(b"content-type") or "").lower().startswith("application/json"):
            told = "Error: send Content-Type: application/json."
            await refuse(send, headers.request_id, 415, "invalid_argument", told)
            return
        body = await read_body(headers, receive, self._max_body)
        if body is None:
            told = f"Error: a request may have {self._max_body} bytes."
            await refuse(send, headers.request_id, 413, "too_large", told)
            return
        try:
            message = from_json(body, allow_inf_nan=False)
        except ValueError:
            await reply(send, 400, fault(b"null", Fault(PARSE_ERROR, "Parse error: the body is not JSON")))
            return
        if type(message) is list:
            await self._batch(message, headers, stated, principal, receive, send)
            return
        if type(message) is not dict or message.get("jsonrpc") != "2.0":
            await reply(send, 400, fault(b"null", _BODY_FAULT))
            return
        method, params = message.get("method"), message.get("params")
        if "id" not in message or type(method) is not str:
            await self._without_answer(message, modern, stated, send)
            return
        request_id = message["id"]
        if type(request_id) not in (int, str) or not (params is None or type(params) is dict):
            await reply(send, 400, fault(b"null", _BODY_FAULT))
            return
        await self._request(method, params or {}, request_id, headers, modern, principal, receive, send)

    async def _request(
        self,
        method: str,
        params: Mapping[str, Any],
        request_id: int | str,
        headers: Headers,
        modern: bool,
        principal: Principal,
        receive: Receive,
        send: Send,
    ) -> None:
        id_bytes = b"%d" % request_id if type(request_id) is int else encode(request_id)
        try:
            caller = self._caller(method, params, headers, modern, principal)
            if method == "tools/call":
                if modern:
                    self._check_mirrors(headers, params)
                if self._methods.streams(params.get("name")) and accepts_events(headers):
                    await self._streamed(id_bytes, params, caller, receive, send)
                    return
                result = await watched(self._methods.call_tool(params, caller), receive)
            elif method == "subscriptions/listen" and modern:
                await self._listen(request_id, id_bytes, params, caller, receive, send)
                return
            elif method in protocol.LIST_METHODS:
                result = self._methods.ready(method, params, caller)
            else:
                result = await watched(self._methods.answer(method, params, caller), receive)
        except Fault as cause:
            await reply(send, cause.status if modern else 200, fault(id_bytes, cause))
            return
        if result is not None:
            await reply(send, 200, protocol.response(id_bytes, result))

    async def _batch(
        self,
        messages: list[Any],
        headers: Headers,
        stated: str | None,
        principal: Principal,
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            batch.check(messages, stated or batch.VERSION)
        except Fault as cause:
            await reply(send, 400, fault(b"null", cause))
            return
        work = batch.answers(messages, lambda message: self._member(message, headers, principal))
        found = await watched(work, receive)
        if found is not None:
            await reply(send, 200 if found else 202, found)

    async def _member(self, message: Any, headers: Headers, principal: Principal) -> bytes | None:
        """Answer one message of a batch; None for one that is owed no answer."""
        if type(message) is not dict or message.get("jsonrpc") != "2.0":
            return fault(b"null", _BODY_FAULT)
        method, params, request_id = message.get("method"), message.get("params"), message.get("id")
        notified = type(method) is str and "id" not in message
        if notified or (method is None and message.keys() & _ANSWERS):
            return None
        if type(method) is not str or type(request_id) not in (int, str):
            return fault(b"null", _BODY_FAULT)
        id_bytes = encode(request_id)
        if not (params is None or type(params) is dict):
            return fault(id_bytes, _BODY_FAULT)
        try:
            batch.check_member(method, params)
            caller = self._caller(method, params or {}, headers, False, principal)
            return protocol.response(id_bytes, await self._methods.answer(method, params or {}, caller))
        except Fault as cause:
            return fault(id_bytes, cause)

    def _caller(
        self, method: str, params: Mapping[str, Any], headers: Headers, modern: bool, principal: Principal
    ) -> Caller:
        meta = meta_of(params)
        if not modern:
            if meta and META_VERSION in meta:
                raise Fault(
                    HEADER_MISMATCH, "the mcp-protocol-version header is missing or names another version"
                )
            agent = headers.values.get(b"user-agent")
            client = agent.decode("latin-1")[:200] if agent else None
            version = headers.text(VERSION) or protocol.LEGACY_VERSIONS[1]
            return Caller(principal, version, False, client=client, request_id=headers.request_id)
        version = check(headers, method, params)
        capabilities = meta.get(protocol.META_CAPABILITIES)
        return Caller(
            principal,
            version,
            True,
            client=client_name(meta.get(protocol.META_CLIENT)),
            capabilities=capabilities if isinstance(capabilities, dict) else {},
            request_id=headers.request_id,
        )

    def _check_mirrors(self, headers: Headers, params: Mapping[str, Any]) -> None:
        catalog = self._methods.gateway.catalog
        if self._mirrors[0] is not catalog:
            declared = {tool.name: mirrors(tool.input_schema) for tool in catalog.tools}
            self._mirrors = (catalog, {name: found for name, found in declared.items() if found})
        name = params.get("name")
        found = self._mirrors[1].get(name) if isinstance(name, str) else None
        if found:
            check_mirrors(headers, found, params.get("arguments") or {})

    async def _streamed(
        self, id_bytes: bytes, params: Mapping[str, Any], caller: Caller, receive: Receive, send: Send
    ) -> None:
        stream = EventStream(send)
        caller.tell = stream.notify
        try:
            result = await sse.run(self._methods.call_tool(params, caller), stream, receive)
        except Fault as cause:
            if not stream.begun:
                raise
            await stream.event(fault(id_bytes, cause), last=True)
            return
        if result is None:
            return
        message = protocol.response(id_bytes, result)
        if stream.begun:
            await stream.event(message, last=True)
        else:
            await reply(send, 200, message)

    async def _listen(
        self,
        request_id: int | str,
        id_bytes: bytes,
        params: Mapping[str, Any],
        caller: Caller,
        receive: Receive,
        send: Send,
    ) -> None:
        """`subscriptions/listen`: the answer is the stream, until one side ends it."""
        subscription = Subscription(request_id, params.get("notifications"))
        stop = self._hub.listen(caller.principal.tenant, subscription.put)
        self._streams.add(subscription)
        stream = EventStream(send)

        async def pump() -> bytes:
            await stream.notify(*subscription.acknowledgement())
            while (found := await subscription.next()) is not None:
                await stream.notify(*found)
            return encode({"resultType": "complete", "_meta": {protocol.META_SUBSCRIPTION: request_id}})

        try:
            result = await sse.run(pump(), stream, receive)
            if result is not None:
                await stream.event(protocol.response(id_bytes, result), last=True)
        finally:
            self._streams.discard(subscription)
            stop()

    async def _without_answer(
        self, message: Mapping[str, Any], modern: bool, stated: str | None, send: Send
    ) -> None:
        """Acknowledge a notification: nothing is kept between requests that it could act on."""
        method = message.get("method")
        answers_us = not modern and method is None and ("result" in message or "error" in message)
        if not answers_us and ("id" in message or type(method) is not str):
            await reply(send, 400, fault(b"null", _BODY_FAULT))
        elif modern and stated not in protocol.MODERN_VERSIONS:
            await reply(send, 400, fault(b"null", protocol.unsupported_version(stated or "")))
        else:
            await reply(send, 202, b"")

    def _surface_is_open(self, principal: Principal) -> bool:
        return bool(self._methods.surface(Caller(principal, "", False)).tools) or not (
            self._methods.gateway.catalog.tools
        )

    def _resource(self, scope: Any, headers: Headers, tenant: str) -> str:
        return f"{self._access.base_url(scope, headers)}/t/{tenant}/mcp"

    async def _unauthenticated(
        self, scope: Any, headers: Headers, tenant: str, send: Send, *, sent: bool
    ) -> None:
        told = challenge(self._resource(scope, headers, tenant), error="invalid_token" if sent else None)
        await refuse_token(send, headers.request_id, tenant, told)

    async def _no_scope(self, scope: Any, headers: Headers, tenant: str, send: Send) -> None:
        told = challenge(self._resource(scope, headers, tenant), error="insufficient_scope")
        await refuse_scopes(send, headers.request_id, tenant, told)

    async def metadata(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer `/.well-known/oauth-protected-resource/t/{tenant}/mcp`, whether the tenant exists or not."""
        found = _PATH.search(scope["path"])
        number = self._request_id_of(scope)
        headers = collect(scope["headers"], number)
        refusal = self._access.refusal(headers, scope["client"][0] if scope.get("client") else None)
        if refusal:
            await refuse_name(send, number, refusal)
        elif found is None or scope["path"][: found.start()] != "/.well-known/oauth-protected-resource":
            await refuse(send, number, 404, "not_found", "Error: there is no such resource.")
        elif scope["method"] not in ("GET", "HEAD"):
            await refuse(send, number, 405, "invalid_argument", "Error: use GET.", (b"allow", b"GET, HEAD"))
        else:
            base = self._access.base_url(scope, headers)
            catalog = self._methods.gateway.catalog
            document: dict[str, Any] = {
                "resource": f"{base}/t/{found.group(1)}/mcp",
                "scopes_supported": SCOPES.split(),
                "bearer_methods_supported": ["header"],
                "resource_name": catalog.title or catalog.name,
            }
            servers = self._authorization_servers(base, found.group(1)) if self._authorization_servers else []
            if servers:
                document["authorization_servers"] = servers
            await reply(send, 200, encode(document))


def _unidentified(_scope: Any) -> None:
    return None
