"""Streams through the transport, against real servers on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from linkspan.errors import EgressRefused, InvalidArgument, UpstreamTimeout
from linkspan.net.egress import EgressGuard
from linkspan.net.messages import ConnectionFailed, Request
from linkspan.net.transport import AiohttpTransport
from tests.net.conftest import Servers


async def test_both_ways_as_it_comes(servers: Servers, transport: AiohttpTransport) -> None:
    """The answer to the first words is here before the second are said."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-Method": request.method})
        await response.prepare(request)
        async for block in request.content.iter_any():
            await response.write(b"heard " + block)
        return response

    async def words() -> AsyncIterator[bytes]:
        yield b"one"
        assert await heard.get() == b"heard one"
        yield b"two"

    request = Request("PUT", await servers.http(echo))
    async with transport.stream(request, content=words(), timeout=5, idle=5) as answer:
        assert (answer.status, answer.headers["x-method"]) == (200, "PUT")
        async for block in answer.chunks:
            heard.put_nowait(block)
    assert heard.get_nowait() == b"heard two"


async def test_a_connection_is_used_again_when_all_was_read(
    servers: Servers, transport: AiohttpTransport
) -> None:
    """And is hung up on when it was not."""
    peers = []

    async def answering(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(body=b"x" * 100_000)

    url = await servers.http(answering)
    for is_read in (True, False, True):
        async with transport.stream(Request("GET", url), timeout=5, idle=5) as answer:
            if is_read:
                assert sum([len(block) async for block in answer.chunks]) == 100_000
    assert peers[0] == peers[1]
    assert peers[1] != peers[2]


async def test_leaving_hangs_up_at_once(servers: Servers, transport: AiohttpTransport) -> None:
    """The other side sees the end of the connection."""
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert await reader.read() == b""
        gone.set()
        writer.close()

    request = Request("GET", await servers.raw(endless))
    async with transport.stream(request, timeout=5, idle=5) as answer:
        assert await anext(answer.chunks) == b"first"
    async with asyncio.timeout(2):
        await gone.wait()


async def test_silence_has_an_end(servers: Servers, transport: AiohttpTransport) -> None:
    """Before the answer begins, and in the middle of it."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/begun" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
        await reader.read()
        writer.close()

    url = await servers.raw(silent)
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        async with transport.stream(Request("GET", url), timeout=0.1, idle=5):
            pass
    async with transport.stream(Request("GET", f"{url}/begun"), timeout=5, idle=0.1) as answer:
        assert await anext(answer.chunks) == b"first"
        with pytest.raises(UpstreamTimeout):
            await anext(answer.chunks)
    assert time.monotonic() - began < 3


async def test_an_answer_that_breaks_off_is_told(servers: Servers, transport: AiohttpTransport) -> None:
    """It is not taken for whole."""

    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
        writer.close()

    async with transport.stream(Request("GET", await servers.raw(short)), timeout=5, idle=5) as answer:
        with pytest.raises(ConnectionFailed, match="lost"):
            assert [block async for block in answer.chunks]


async def test_streams_go_through_the_guard_too(servers: Servers) -> None:
    """Nothing is dialled that may not be, and nothing is sent that is no URL."""
    strict = AiohttpTransport(EgressGuard())
    url = await servers.http(lambda _: pytest.fail("dialled"))
    with pytest.raises(EgressRefused):
        async with strict.stream(Request("GET", url), timeout=5, idle=5):
            pass
    with pytest.raises(InvalidArgument):
        async with strict.stream(Request("GET", "http://127.0.0.1/a b"), timeout=5, idle=5):
            pass
    await strict.aclose()
