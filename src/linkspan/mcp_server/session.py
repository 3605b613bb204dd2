"""One live connection that carries messages both ways: stdio.

Requests run side by side. The client may cancel one by its id, and is then owed no answer. While a call runs
the client may be asked (elicitation) or told (progress); between calls it is told what has changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import from_json

from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError
from linkspan.mcp_server import batch, protocol
from linkspan.mcp_server.caller import Caller, client_name, meta_of
from linkspan.mcp_server.calls import outline
from linkspan.mcp_server.hub import UPDATED, Event, Hub, Subscription
from linkspan.mcp_server.lines import Handshake, Output
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.protocol import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Fault
from linkspan.mcp_server.results import error_result
from linkspan.mcp_server.shorten import encode
from linkspan.spec.catalog import Json

log = logging.getLogger("linkspan.stdio")
_MAX_SUBSCRIPTIONS: Final = 200
Write = Callable[[bytes], None]


class Session:
    """Takes lines, writes answers. Everything happens on one event loop."""

    def __init__(
        self, methods: Methods, principal: Principal, handshake: Handshake, output: Output, hub: Hub
    ) -> None:
        self._methods = methods
        self._principal = principal
        self._handshake = handshake
        self._output = output
        self._hub = hub
        self._running: dict[int | str, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Future[Json]] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._questions = 0
        self._uris: set[str] = set()
        self._streams: set[Subscription] = set()
        self._stop_hearing = hub.listen(principal.tenant, self._hear)

    def take(self, line: bytes) -> None:
        """Take one line: a request, a notification, or the answer to a question of ours."""
        try:
            message = from_json(line, allow_inf_nan=False)
        except ValueError:
            self._fault(None, Fault(PARSE_ERROR, "Parse error: the line is not JSON"))
            return
        if type(message) is list:
            self._take_batch(message)
        else:
            self._take(message, self._output.write)

    def _take_batch(self, messages: list[Any]) -> None:
        try:
            batch.check(messages, self._handshake.version)
        except Fault as fault:
            self._fault(None, fault)
            return
        found: list[bytes] = []
        tasks = [self._take(message, found.append, batched=True) for message in messages]

        async def answer() -> None:
            await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
            if found:
                self._output.write(batch.joined(found))

        waiting = asyncio.get_running_loop().create_task(answer())
        self._batches.add(waiting)
        waiting.add_done_callback(self._batches.discard)

    def _take(self, message: Any, write: Write, *, batched: bool = False) -> asyncio.Task[None] | None:
        """Take one message; answer the task that serves it when it is a request that is served."""
        if type(message) is not dict or message.get("jsonrpc") != "2.0":
            self._fault(None, Fault(INVALID_REQUEST, "A line must be one JSON-RPC message"), write)
            return None
        method, request_id = message.get("method"), message.get("id")
        params = message.get("params")
        if method is None and ("result" in message or "error" in message):
            self._answered(message)
            return None
        if type(method) is str and "id" not in message:
            self._notified(method, params if type(params) is dict else {})
            return None
        known = request_id if type(request_id) in (int, str) else None
        if type(method) is not str or known is None or not (params is None or type(params) is dict):
            told = "A request needs an id, a method, and params that are an object"
            self._fault(known, Fault(INVALID_REQUEST, told), write)
            return None
        if batched:
            try:
                batch.check_member(method, params)
            except Fault as fault:
                self._fault(known, fault, write)
                return None
        task = asyncio.get_running_loop().create_task(self._request(known, method, params or {}, write))
        self._running[known] = task
        task.add_done_callback(lambda done: self._ended(known, done))
        return task

    async def finish(self, timeout: float) -> None:
        """Let calls in flight end, for at most `timeout` seconds."""
        self._stop_hearing()
        for subscription in list(self._streams):
            subscription.close()
        for future in self._asked.values():
            future.cancel()
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=timeout)
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), *self._batches, return_exceptions=True)

    def _ended(self, request_id: int | str, done: asyncio.Task[None]) -> None:
        if self._running.get(request_id) is done:
            del self._running[request_id]

    async def _request(
        self, request_id: int | str, method: str, params: Mapping[str, Any], write: Write
    ) -> None:
        try:
            caller = self._caller(params)
            result = await self._result(request_id, method, params, caller)
        except Fault as fault:
            self._fault(request_id, fault, write)
        except Exception as cause:
            log.error("%s failed: %s", method, outline(cause))
            self._fault(request_id, Fault(INTERNAL_ERROR, "Internal error"), write)
        else:
            write(protocol.response(encode(request_id), result))

    async def _result(
        self, request_id: int | str, method: str, params: Mapping[str, Any], caller: Caller
    ) -> bytes:
        if method == "initialize" and not caller.modern:
            self._handshake = Handshake.of(dict(params), protocol.negotiate(params.get("protocolVersion")))
        elif method == "subscriptions/listen" and caller.modern:
            return await self._listen(request_id, params)
        elif method in ("resources/subscribe", "resources/unsubscribe") and not caller.modern:
            return self._subscribe(method, params)
        return await self._methods.answer(method, params, caller)

    def _caller(self, params: Mapping[str, Any]) -> Caller:
        meta = meta_of(params)
        if protocol.META_VERSION not in meta:
            hand = self._handshake
            return Caller(
                self._principal,
                hand.version,
                False,
                live=True,
                client=hand.client,
                capabilities=hand.capabilities,
                ask=self._ask,
                tell=self._tell,
            )
        version, capabilities = meta[protocol.META_VERSION], meta.get(protocol.META_CAPABILITIES)
        if not isinstance(version, str) or not isinstance(capabilities, dict):
            raise Fault(
                INVALID_PARAMS,
                f"params._meta needs {protocol.META_VERSION} and {protocol.META_CAPABILITIES}",
            )
        if version not in protocol.MODERN_VERSIONS:
            raise protocol.unsupported_version(version)
        return Caller(
            self._principal,
            version,
            True,
            live=True,
            client=client_name(meta.get(protocol.META_CLIENT)),
            capabilities=capabilities,
            tell=self._tell,
        )

    def _notified(self, method: str, params: Mapping[str, Any]) -> None:
        if method == "notifications/cancelled":
            cancelled = params.get("requestId")
            task = self._running.get(cancelled) if isinstance(cancelled, int | str) else None
            if task is not None:
                task.cancel()

    def _answered(self, message: Mapping[str, Any]) -> None:
        """Take the answer to a question of ours; an error counts as no answer."""
        key = message.get("id")
        future = self._asked.get(key) if isinstance(key, str) else None
        if future is None or future.done():
            return
        result = message.get("result")
        if isinstance(result, dict):
            future.set_result(result)
        else:
            future.set_exception(Fault(INTERNAL_ERROR, "The client could not ask"))

    async def _ask(self, method: str, params: Json) -> Json:
        self._questions += 1
        key = f"linkspan-{self._questions}"
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._asked[key] = future
        self._output.write(encode({"jsonrpc": "2.0", "id": key, "method": method, "params": params}))
        try:
            return await future
        finally:
            del self._asked[key]

    async def _tell(self, method: str, params: Json) -> None:
        self._output.write(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    def _subscribe(self, method: str, params: Mapping[str, Any]) -> bytes:
        uri = params.get("uri")
        if not isinstance(uri, str):
            raise Fault(INVALID_PARAMS, "params.uri must be the URI of a resource")
        if method == "resources/unsubscribe":
            self._uris.discard(uri)
        elif len(self._uris) < _MAX_SUBSCRIPTIONS:
            self._uris.add(uri)
        else:
            raise Fault(INVALID_PARAMS, f"No more than {_MAX_SUBSCRIPTIONS} subscriptions: end one first")
        return b"{}"

    def _hear(self, event: Event) -> None:
        """Pass a change on to a client of the legacy era that has introduced itself."""
        if self._handshake.client is None or (event.method == UPDATED and event.uri not in self._uris):
            return
        message: Json = {"jsonrpc": "2.0", "method": event.method}
        if event.uri is not None:
            message["params"] = {"uri": event.uri}
        self._output.write(encode(message))

    async def _listen(self, request_id: int | str, params: Mapping[str, Any]) -> bytes:
        subscription = Subscription(request_id, params.get("notifications"))
        stop = self._hub.listen(self._principal.tenant, subscription.put)
        self._streams.add(subscription)
        try:
            await self._tell(*subscription.acknowledgement())
            while (found := await subscription.next()) is not None:
                await self._tell(*found)
        finally:
            self._streams.discard(subscription)
            stop()
        return encode({"resultType": "complete", "_meta": {protocol.META_SUBSCRIPTION: request_id}})

    def _fault(self, request_id: int | str | None, fault: Fault, write: Write | None = None) -> None:
        (write or self._output.write)(protocol.error_response(encode(request_id), encode(fault.to_dict())))


def refuse(line: bytes | None, error: LinkspanError, output: Output) -> None:
    """Answer a request that will never be served, so that its sender reads why."""
    try:
        message = from_json(line or b"")
    except ValueError:
        return
    if isinstance(message, list):
        answers = [found for one in message[: batch.LONGEST] if (found := _refusal(one, error)) is not None]
        if answers:
            output.write(batch.joined(answers))
    elif (answer := _refusal(message, error)) is not None:
        output.write(answer)


def _refusal(message: Any, error: LinkspanError) -> bytes | None:
    if not isinstance(message, dict) or "id" not in message or "method" not in message:
        return None
    if message["method"] == "tools/call":
        return protocol.response(encode(message["id"]), error_result(error, 10_000) + b"}")
    fault = Fault(INTERNAL_ERROR, error.for_model())
    return protocol.error_response(encode(message["id"]), encode(fault.to_dict()))
