"""A door whose answer is whole: read, done, told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from linkspan.accounts.principal import Principal
from linkspan.errors import Internal, LinkspanError, TooLarge
from linkspan.web.data.asking import Asked, read_request
from linkspan.web.data.limits import limit_headers
from linkspan.web.data.parts import DataParts
from linkspan.web.data.unified import Answered
from linkspan.web.failures import told
from linkspan.web.passing import request_id_of

log = logging.getLogger("linkspan.api")
Work = Callable[[Asked, Principal, bytes], Awaitable[Answered]]
_ALWAYS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
}


class WholeDoor:
    """An ASGI application for one kind of address."""

    def __init__(
        self, parts: DataParts, work: Work, *, before: Callable[[Asked, bytes], Asked] | None = None
    ) -> None:
        """`before` takes from the body what says for whom it is asked."""
        self._parts = parts
        self._work = work
        self._before = before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What was begun is done to its end, whoever hangs up."""
        request_id = request_id_of(scope)
        try:
            status, headers, body = await self._answer(scope, receive)
        except _Gone:
            return
        except LinkspanError as error:
            status, body, headers = told(error, request_id)
            headers |= limit_headers(error.rate_limit, self._parts.clock())
        except Exception:
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            fault = Internal("Something went wrong inside Linkspan", hint="Its log has it under request_id.")
            status, body, headers = told(fault, request_id)
        await send_whole(send, status, headers, body, request_id)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, str], bytes]:
        asked = asked_of(scope)
        raw: bytes | None = None
        if self._before is not None:
            raw = await self._read(receive)
            asked = self._before(asked, raw)
        principal = await self._parts.entrance.enter(asked, self._parts.see(scope).address)
        raw = await self._read(receive) if raw is None else raw
        answer = await self._work(asked, principal, raw)
        return answer.status, answer.headers(self._parts.clock()), answer.body

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            body += message.get("body", b"")
            if len(body) > self._parts.max_body:
                raise TooLarge(f"A request here may have {self._parts.max_body} bytes")
            if not message.get("more_body"):
                return bytes(body)


class _Gone(Exception):
    """The caller has hung up."""


def asked_of(scope: Scope) -> Asked:
    """Take a request apart. Raises `InvalidArgument`."""
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    return read_request(scope, is_admins=b"lsk_admin_" in authorization)


async def send_whole(send: Send, status: int, headers: dict[str, str], body: bytes, request_id: str) -> None:
    """Send an answer with what all have."""
    given = {
        **{name.lower(): value for name, value in headers.items()},
        **_ALWAYS,
        "x-request-id": request_id,
    }
    given["content-length"] = str(len(body))
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
