"""An answer that may say something before it ends: Server-Sent Events, begun only when there is something.

A call that is done before it has said anything is answered as plain JSON. One that is silent for long is kept
alive with comments, so that proxies do not cut it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from linkspan.mcp_server.shorten import encode
from linkspan.spec.catalog import Json

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

PING_SECONDS: Final = 15.0
_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """The sending side of one response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()
        self.begun = False

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification as an event; begins the stream."""
        await self.event(encode({"jsonrpc": "2.0", "method": method, "params": params}))

    async def event(self, message: bytes, *, last: bool = False) -> None:
        """Send a JSON-RPC message as an event."""
        await self._write(b"event: message\r\ndata: " + message + b"\r\n\r\n", last=last)

    async def ping(self) -> None:
        """Send a comment, so that nothing in between takes the stream for dead."""
        await self._write(b": ping\r\n\r\n", last=False)

    async def _write(self, content: bytes, *, last: bool) -> None:
        async with self._lock:
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await self._send({"type": "http.response.body", "body": content, "more_body": not last})


async def run(work: Awaitable[bytes], stream: EventStream, receive: Receive) -> bytes | None:
    """Answer what `work` answers, keeping the stream alive meanwhile; None when the client went away.

    A client that closes the stream cancels the work: in the modern era that is how one cancels.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        while True:
            await asyncio.wait((working, leaving), timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if leaving.done():
                return None
            await stream.ping()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
