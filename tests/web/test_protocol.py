"""HTTP as it leaves the process: whole answers in one write, streams without delay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from linkspan.web.protocol import HttpProtocol, JoiningTransport

Send = Callable[[dict[str, Any]], Awaitable[None]]
REQUEST = b"GET /%s HTTP/1.1\r\nhost: x\r\n\r\n"


class Recording(asyncio.Transport):
    """A transport that keeps each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.writes.append(b"".join(list_of_data))

    def close(self) -> None:
        self.is_closed = True


async def test_head_and_body_are_one_write() -> None:
    """What is written in one turn of the loop, two by two."""
    inner = Recording()
    transport = JoiningTransport(inner, asyncio.get_running_loop().call_soon)
    transport.write(b"head")
    transport.write(b"body")
    assert inner.writes == [b"headbody"]


async def test_what_is_written_alone_leaves_in_the_next_turn() -> None:
    """A stream's head and its events do not wait for more."""
    inner = Recording()
    transport = JoiningTransport(inner, asyncio.get_running_loop().call_soon)
    transport.write(b"event")
    await asyncio.sleep(0)
    assert inner.writes == [b"event"]


async def test_nothing_is_lost_when_it_is_closed() -> None:
    """Closing sends what is held first."""
    inner = Recording()
    transport = JoiningTransport(inner, asyncio.get_running_loop().call_soon)
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)
    assert (inner.writes, inner.is_closed) == ([b"last words"], True)


async def application(scope: Any, receive: Any, send: Send) -> None:
    """Answer the path; `/stream` a head and then, once somebody has read that, the rest."""
    body = scope["path"].encode()
    stream = scope["path"] == "/stream"
    headers = [] if stream else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if stream:
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await scope["state"]["read"].wait()
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def served(state: dict[str, Any] | None = None) -> AsyncIterator[int]:
    async def with_state(scope: Any, receive: Any, send: Send) -> None:
        await application({**scope, "state": state or {}}, receive, send)

    config = uvicorn.Config(with_state, ws="none", lifespan="off", log_config=None)
    config.load()
    protocols = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpProtocol(config, protocols, {}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_connection_answers_one_request_after_the_other() -> None:
    """Over a real socket, pipelined ones too."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST % b"one" + REQUEST % b"two")
        for word in (b"/one", b"/two"):
            assert b"content-length: 4" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(4) == word
        writer.close()
        await writer.wait_closed()


async def test_a_stream_is_read_before_it_ends() -> None:
    """The first event of a stream is there while the second waits."""
    read = asyncio.Event()
    async with served({"read": read}) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST % b"stream")
        assert b"first" in await asyncio.wait_for(reader.readuntil(b"first"), 5)
        read.set()
        assert b"/stream" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        writer.close()
        await writer.wait_closed()
