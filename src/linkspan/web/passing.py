"""Handing streams through: a request's body goes out as it comes in, and an answer comes in as it goes out.

Who hangs up ends the other side at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from linkspan.errors import Internal, LinkspanError, TooLarge
from linkspan.net.messages import Streamed

log = logging.getLogger("linkspan.web")
REQUEST_ID: Final = b"x-request-id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KNOWN: Final = "linkspan.request_id"

Open = Callable[[AsyncIterator[bytes]], contextlib.AbstractAsyncContextManager[Streamed]]
"""Takes the body that is coming, and opens the answer."""
Refused = Callable[[LinkspanError], tuple[int, dict[str, str], bytes]]
"""Answers status, headers and body for an error."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Answer a request's headers, names in lower case; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def request_id_of(scope: Scope) -> str:
    """Answer the id that the caller gave its request, else a new one: the same whoever asks for it."""
    known: str | None = scope.get(_KNOWN)
    if known is None:
        raw = next((value for name, value in scope["headers"] if name == REQUEST_ID), b"")
        stated = raw.decode("latin-1")
        known = scope[_KNOWN] = stated if _REQUEST_ID.fullmatch(stated) else secrets.token_hex(16)
    return known


async def pass_through(
    scope: Scope,
    receive: Receive,
    send: Send,
    opening: Open,
    refused: Refused,
    *,
    request_id: str,
    max_bytes: int,
) -> None:
    """Answer one request with a stream. What fails before it begins is told; afterwards it breaks off.

    Then the last message is not sent, so that nobody takes for whole what is not: the server closes the
    connection in the middle of the body (RFC 9112 §8), and the log has why.
    """
    body = _Body(receive, max_bytes)
    passing = asyncio.create_task(_pass(send, opening, refused, body, request_id, scope["path"]))
    watching = asyncio.create_task(body.until_gone())
    try:
        await asyncio.wait({passing, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in (passing, watching):
            each.cancel()
        await asyncio.wait({passing, watching})
    if not passing.cancelled():
        passing.result()


class _Body:
    """What comes in, once; and afterwards whether the caller is still there."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._has_ended = asyncio.Event()
        self.is_too_large = False

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the caller hung up")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                self.is_too_large = True
                raise ConnectionResetError("the body is too large")
            if chunk:
                yield chunk
            if not message.get("more_body"):
                break
        self._has_ended.set()

    async def until_gone(self) -> None:
        await self._has_ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _pass(send: Send, opening: Open, refused: Refused, body: _Body, request_id: str, path: str) -> None:
    has_begun = False
    try:
        async with opening(body.chunks()) as answer:
            await _start(send, answer.status, dict(answer.headers), request_id)
            has_begun = True
            async for chunk in answer.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except Exception as error:
        failure: LinkspanError | None = error if isinstance(error, LinkspanError) else None
        if body.is_too_large:
            failure = TooLarge("the body of the request is too large")
        elif isinstance(error, ConnectionResetError):
            return  # Who sent it is gone.
        if failure is None:
            log.exception("request %s: %s failed", request_id, path)
            failure = Internal("something went wrong inside Linkspan")
        elif has_begun:
            log.warning("request %s: %s broke off: %s", request_id, path, failure.message)
        if not has_begun:
            await _refuse(send, refused, failure, request_id)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send, refused: Refused, error: LinkspanError, request_id: str) -> None:
    error.request_id = request_id
    status, headers, content = refused(error)
    await _start(send, status, headers, request_id)
    await send({"type": "http.response.body", "body": content, "more_body": False})


async def _start(send: Send, status: int, headers: dict[str, str], request_id: str) -> None:
    given = {**headers, "cache-control": "no-store"}
    given.setdefault("x-request-id", request_id)
    if status == 304:
        given.pop("content-length", None)  # of the body that does not come (RFC 9110 §8.6): servers miss it
    pairs = [(name.encode("latin-1"), _as_read(value)) for name, value in given.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


def _as_read(value: str) -> bytes:
    """Answer the bytes that a product sent as a header: the transport reads them so (PEP 383)."""
    return value.encode("utf-8", "surrogateescape")
