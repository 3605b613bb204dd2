"""What every request passes: the host it names, its id, who asks, and whether something is to go wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.errors import DeskError
from desk.store import Store, Token
from desk.switches import Switches, outage

MAX_BODY = 1_048_576
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Doorman:
    """ASGI middleware. Leaves `token` (or None) and `request_id` in the request's state."""

    def __init__(self, app: ASGIApp, *, store: Store, switches: Switches, hosts: frozenset[str]) -> None:
        self._app = app
        self._store = store
        self._switches = switches
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, hold up or turn away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{self._store.random(8).hex()}"
        headers = Headers(scope=scope)
        token = self._token(headers)
        scope.setdefault("state", {}).update(token=token, request_id=request_id)
        call = {
            "method": scope["method"],
            "path": scope["path"],
            "who": _who(token),
            "request_id": request_id,
        }
        send = _finishing(send, call, request_id)
        if host_name(headers.get("host", "")) not in self._hosts:
            # A page of another site may point a name of its own at this machine (DNS rebinding).
            refused = DeskError(421, "wrong_host", "This desk does not go by that name.")
            await _answer(send, 421, {}, json.dumps(refused.to_dict(request_id)).encode())
        elif scope["path"].startswith("/api/"):
            call["idempotency_key"] = headers.get("idempotency-key")
            self._switches.saw(call)
            await self._call(scope, receive, send, call, token)
        else:
            await self._app(scope, receive, send)

    def _token(self, headers: Headers) -> Token | None:
        scheme, _, text = headers.get("authorization", "").partition(" ")
        return self._store.token(text.strip()) if scheme.lower() == "bearer" else None

    async def _call(
        self, scope: Scope, receive: Receive, send: Send, call: dict[str, Any], token: Token | None
    ) -> None:
        body = await _read(receive)
        if body is None:
            refused = DeskError(413, "too_large", f"A request may have at most {MAX_BODY:,} bytes.")
            await _answer(send, 413, {}, json.dumps(refused.to_dict(call["request_id"])).encode())
            return
        receive = _replaying(body, receive)
        switch = self._switches.take(token, scope["method"])
        if switch is None:
            await self._app(scope, receive, send)
            return
        call["switch"] = switch.mode
        if switch.mode != "slow":
            if switch.late:
                await self._app(scope, receive, _nowhere)
            await _answer(send, *outage(switch))
        elif await _gone_within(switch.seconds, receive):
            call["status"] = "aborted"
        else:
            await self._app(scope, _replaying(body, receive), send)


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _who(token: Token | None) -> str | None:
    if token is None:
        return None
    return f"{token.user.org}/{token.user.login}" if token.user else token.name


def _finishing(send: Send, call: dict[str, Any], request_id: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            call["status"] = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if not call["path"].startswith("/static/"):
                headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _replaying(body: bytes, receive: Receive) -> Receive:
    """First the body once more, then whatever comes."""
    waiting = [body]

    async def receiving() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receiving


async def _gone_within(seconds: float, receive: Receive) -> bool:
    """Wait; answer at once when whoever asked has hung up."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _answer(
    send: Callable[[Message], Awaitable[None]], status: int, headers: Mapping[str, str], body: bytes
) -> None:
    all_headers = {"content-type": "application/json", **headers, "content-length": str(len(body))}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _nowhere(message: Message) -> None:
    del message
