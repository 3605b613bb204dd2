"""The transport, against real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import traceback
import tracemalloc
import zlib

import pytest
from aiohttp import web

from linkspan.errors import InvalidArgument, LinkspanError, TooLarge, UpstreamTimeout
from linkspan.net.egress import EgressGuard
from linkspan.net.messages import ConnectionFailed, Request
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import parse_egress
from tests.net.conftest import RawHandler, Servers

MIB = 2**20


async def read_head(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")


async def get(transport: AiohttpTransport, url: str, **headers: str) -> tuple[int, bytes]:
    response = await transport.exchange(Request("GET", url, headers), timeout=10, max_bytes=MIB)
    return response.status, response.body


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a%2Fb/%2e%2e/%C3%A9?x=%20+&y=a|b&z={1}",
        "/a/../b/./c",
        "//double",
        "/semi;colon,comma?q=a%26b=%3d",
        "/q?a=b?c=/d",
        "/%",
        "/%zz",
        "/A%2fb",
        "/?a=%0d%0aX:%20y",
    ],
)
async def test_url_goes_out_as_it_is(servers: Servers, transport: AiohttpTransport, target: str) -> None:
    """What the caller built is what stands in the request line, byte for byte."""
    lines: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await read_head(reader)).splitlines()[0])
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    await get(transport, await servers.raw(handler) + target)
    assert lines == [f"GET {target} HTTP/1.1"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///path",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nX: y",
        "http://127.0.0.1/#fragment",
        "http://127.0.0.1\\@evil.example/",
        "http://[fe80::1%25eth0]/",
        "http://bücher.example/",
        "/relative",
        "",
    ],
)
async def test_url_that_is_not_encoded_is_refused(transport: AiohttpTransport, url: str) -> None:
    """A URL with a user, a fragment, blanks, other schemes or raw characters never leaves."""
    with pytest.raises(InvalidArgument) as caught:
        await get(transport, url)
    assert "secret" not in str(caught.value)


async def test_header_with_a_line_break_is_refused(servers: Servers, transport: AiohttpTransport) -> None:
    """A header value cannot smuggle in another header, and the error does not show it."""
    asked: list[web.BaseRequest] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return web.Response()

    with pytest.raises(InvalidArgument) as caught:
        await get(transport, await servers.http(handler), **{"X-Key": "hunter2\r\nX-Other: 1"})
    assert not asked
    assert "hunter2" not in str(caught.value)


async def test_sends_what_it_is_given_and_no_more(servers: Servers, transport: AiohttpTransport) -> None:
    """Method, headers and body arrive as given; no content type or cookie is made up."""
    heads: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        heads.append(head)
        assert await reader.readexactly(4) == b"\x00\xffab"
        writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    origin = await servers.raw(handler)
    request = Request("PATCH", origin + "/x", {"X-Odd": "a, b", "accept": "application/json"}, b"\x00\xffab")
    response = await transport.exchange(request, timeout=10, max_bytes=MIB)
    assert response.status == 201
    lines = heads[0].splitlines()
    names = {line.partition(":")[0].lower() for line in lines[1:] if line}
    assert lines[0] == "PATCH /x HTTP/1.1"
    assert "X-Odd: a, b" in lines
    assert names == {"host", "user-agent", "accept-encoding", "accept", "x-odd", "content-length"}


async def test_keeps_no_cookies_and_follows_no_redirect(
    servers: Servers, transport: AiohttpTransport
) -> None:
    """A cookie of one answer is not sent with the next request, and a redirect is an answer."""
    cookies: list[str | None] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(status=302, headers={"Location": "/next", "Set-Cookie": "session=1; Path=/"})

    origin = await servers.http(handler)
    assert [await get(transport, origin), await get(transport, origin)] == [(302, b""), (302, b"")]
    assert cookies == [None, None]


async def test_ignores_proxies_of_the_environment(
    servers: Servers, transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY does not lead around the egress guard."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="direct")

    assert await get(transport, await servers.http(handler)) == (200, b"direct")


async def test_reuses_a_connection(servers: Servers, transport: AiohttpTransport) -> None:
    """Requests to one origin share a kept connection."""
    ports: set[int] = set()

    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({"n": len(ports)})

    origin = await servers.http(handler)
    for _ in range(5):
        await get(transport, origin)
    assert len(ports) == 1


async def test_headers_are_lower_case_and_joined(servers: Servers, transport: AiohttpTransport) -> None:
    """Header names come out in lower case, and a repeated header as one (RFC 9110 §5.3)."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-Two: a\r\nLINK: <x>; rel=next\r\nx-two: b\r\nContent-Length: 2\r\n\r\nhi"
        )
        writer.close()

    response = await transport.exchange(Request("GET", await servers.raw(handler)), timeout=10, max_bytes=MIB)
    assert response.headers == {"x-two": "a, b", "link": "<x>; rel=next", "content-length": "2"}


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"x" * 5000, mtime=0)),
        ("deflate", zlib.compress(b"x" * 5000)),
        ("deflate", zlib.compress(b"x" * 5000)[2:-4]),
        ("identity", b"x" * 5000),
    ],
)
async def test_body_comes_decoded(
    servers: Servers, transport: AiohttpTransport, coding: str, packed: bytes
) -> None:
    """A compressed answer comes decompressed, and its headers speak of what is handed out."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": coding})

    response = await transport.exchange(
        Request("GET", await servers.http(handler)), timeout=10, max_bytes=MIB
    )
    assert response.body == b"x" * 5000
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip"])
async def test_unknown_coding_is_an_error(servers: Servers, transport: AiohttpTransport, coding: str) -> None:
    """Bytes in a coding that nobody asked for are not handed out as if they were the body."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"??", headers={"Content-Encoding": coding})

    with pytest.raises(ConnectionFailed, match="could not be read"):
        await get(transport, await servers.http(handler))


async def test_broken_compression_is_an_error(servers: Servers, transport: AiohttpTransport) -> None:
    """What says gzip and is none is told as such."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"no gzip at all", headers={"Content-Encoding": "gzip"})

    with pytest.raises(ConnectionFailed):
        await get(transport, await servers.http(handler))


@pytest.mark.parametrize("chunked", [False, True])
async def test_answer_over_the_cap_is_stopped(
    servers: Servers, transport: AiohttpTransport, chunked: bool
) -> None:
    """One byte more than the cap is too large, announced or not; the cap itself is not."""

    async def handler(request: web.BaseRequest) -> web.Response:
        response = web.Response(body=b"x" * int(request.path_qs.strip("/")))
        if chunked:
            response.enable_chunked_encoding()
        return response

    origin = await servers.http(handler)
    assert await get(transport, f"{origin}/{MIB}") == (200, b"x" * MIB)
    with pytest.raises(TooLarge, match="larger than 1 MiB") as caught:
        await get(transport, f"{origin}/{MIB + 1}")
    assert caught.value.upstream_status == 200
    with pytest.raises(TooLarge):
        await get(transport, f"{origin}/{20 * MIB}")
    with pytest.raises(TooLarge, match="is larger than 4,096 bytes"):
        await transport.exchange(Request("GET", f"{origin}/4097"), timeout=10, max_bytes=4096)


async def test_small_bomb_is_stopped(servers: Servers, transport: AiohttpTransport) -> None:
    """The cap counts decompressed bytes, and what is beyond it is never held in memory."""
    squeezed = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeezed.compress(bytes(MIB)) for _ in range(200)) + squeezed.flush()
    assert len(bomb) < MIB // 2

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    origin = await servers.http(handler)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            await get(transport, origin)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_without_a_body(servers: Servers, transport: AiohttpTransport, method: str) -> None:
    """HEAD and 204 have no body, whatever their headers promise."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="four") if request.method == "HEAD" else web.Response(status=204)

    request = Request(method, await servers.http(handler))
    assert (await transport.exchange(request, timeout=10, max_bytes=MIB)).body == b""


async def test_silent_upstream_times_out(servers: Servers, transport: AiohttpTransport) -> None:
    """An upstream that never answers is given up after the time-out, and told so."""
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        assert await reader.read() == b""
        gone.set()
        writer.close()

    request = Request("GET", await servers.raw(handler) + "/x?token=hunter2")
    with pytest.raises(UpstreamTimeout, match=r"127\.0\.0\.1 did not answer within 0\.05 seconds") as caught:
        await transport.exchange(request, timeout=0.05, max_bytes=MIB)
    assert "hunter2" not in caught.value.for_model()
    await asyncio.wait_for(gone.wait(), 5)


async def test_slow_body_counts_for_the_time_out(servers: Servers, transport: AiohttpTransport) -> None:
    """The time-out is for the whole exchange: a body that trickles does not extend it."""
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
        assert await reader.read() == b""
        gone.set()
        writer.close()

    with pytest.raises(UpstreamTimeout):
        await transport.exchange(Request("GET", await servers.raw(handler)), timeout=0.05, max_bytes=MIB)
    await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"])
async def test_cancelling_closes_the_connection(
    servers: Servers, transport: AiohttpTransport, answered: bytes
) -> None:
    """Whoever gives up a call gives up its connection: the upstream sees it closed at once."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answered)
        await writer.drain()
        asked.set()
        assert await reader.read() == b""
        gone.set()
        writer.close()

    task = asyncio.create_task(get(transport, await servers.raw(handler)))
    await asyncio.wait_for(asked.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 5)


async def test_cancelling_an_upload_sends_no_more(servers: Servers, transport: AiohttpTransport) -> None:
    """A request body that is given up half sent is not sent to its end."""
    asked, received = asyncio.Event(), asyncio.Queue[int]()
    go_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go_on.wait()
        size = 0
        try:
            while block := await reader.read(MIB):
                size += len(block)
        except ConnectionResetError:
            pass
        received.put_nowait(size)
        writer.close()

    body = bytes(64 * MIB)
    request = Request("POST", await servers.raw(handler), {}, body)
    task = asyncio.create_task(transport.exchange(request, timeout=30, max_bytes=MIB))
    await asyncio.wait_for(asked.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.wait_for(received.get(), 10) < len(body)


async def drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    writer.close()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def says_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    writer.write(b"garbage\r\n\r\n")
    writer.close()


async def says_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_head(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2 * MIB))
    writer.close()


@pytest.mark.parametrize("handler", [drops, says_nothing, says_garbage, says_too_much])
async def test_failures_show_no_secret(
    servers: Servers, transport: AiohttpTransport, handler: RawHandler
) -> None:
    """However an exchange fails, a logged traceback holds neither the query nor a header nor the body."""
    request = Request("POST", await servers.raw(handler) + "/x?key=hunter2", {"X-Key": "hunter3"}, b"hunter4")
    with pytest.raises(LinkspanError) as caught:
        await transport.exchange(request, timeout=0.2, max_bytes=MIB)
    logged = "".join(traceback.format_exception(caught.value)) + repr(request) + caught.value.for_model()
    assert "hunter" not in logged


async def test_messages_show_no_secret(servers: Servers, transport: AiohttpTransport) -> None:
    """A request and an answer are shown by method, status and path."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text="hunter2", headers={"X-Key": "hunter2"})

    origin = await servers.http(handler)
    request = Request("GET", f"{origin}/x?key=hunter2", {"X-Key": "hunter2"})
    response = await transport.exchange(request, timeout=10, max_bytes=MIB)
    assert repr(request) == f"<Request GET {origin}/x>"
    assert repr(response) == f"<Response 200 {origin}/x>"


async def test_refused_connection(transport: AiohttpTransport) -> None:
    """Where nobody listens the error says so, and that nothing was sent."""
    port = free_port()
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port} refused the connection") as caught:
        await get(transport, f"http://127.0.0.1:{port}/x?token=hunter2")
    assert (caught.value.reason, caught.value.sent) == ("refused", False)
    assert "hunter2" not in caught.value.for_model()
    assert "linkspan account verify" in caught.value.for_model()


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]
)
async def test_lost_connection(servers: Servers, transport: AiohttpTransport, part: bytes) -> None:
    """A connection that ends before the answer does is lost, and the request may have been done."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(part)
        await writer.drain()
        writer.close()

    with pytest.raises(ConnectionFailed, match="was lost") as caught:
        await get(transport, await servers.raw(handler))
    assert (caught.value.reason, caught.value.sent) == ("lost", True)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_nothing_is_repeated_behind_the_back(
    servers: Servers, transport: AiohttpTransport, method: str
) -> None:
    """When a kept connection is lost the request is not sent again: that is the client's decision."""
    asked: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await read_head(reader)).partition(" ")[0])
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        asked.append((await read_head(reader)).partition(" ")[0])
        writer.close()

    origin = await servers.raw(handler)
    await get(transport, origin)
    with pytest.raises(ConnectionFailed, match="was lost"):
        await transport.exchange(Request(method, origin), timeout=10, max_bytes=MIB)
    assert asked == ["GET", method]


async def test_what_is_not_http_is_told(servers: Servers, transport: AiohttpTransport) -> None:
    """A port that speaks something else is not mistaken for a lost connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"220 mail.example ESMTP\r\n500 what?\r\n")
        await writer.drain()
        writer.close()

    with pytest.raises(ConnectionFailed, match="could not be read as HTTP") as caught:
        await get(transport, await servers.raw(handler))
    assert caught.value.reason == "unreadable"


async def test_closing_ends_kept_connections_and_calls(servers: Servers, transport: AiohttpTransport) -> None:
    """After closing nothing is open: kept connections end, and calls under way fail as lost."""
    asked, closed = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await reader.read()
        closed.set()
        writer.close()

    task = asyncio.create_task(get(transport, await servers.raw(handler)))
    await asyncio.wait_for(asked.wait(), 5)
    await transport.aclose()
    await asyncio.wait_for(closed.wait(), 5)
    with pytest.raises(ConnectionFailed):
        await task


async def test_connections_to_one_origin_are_limited(servers: Servers) -> None:
    """More calls than connections wait for one, and all are answered."""
    at_once = most = 0
    full = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == 2:
            full.set()
        await full.wait()
        at_once -= 1
        return web.Response(text="ok")

    transport = AiohttpTransport(EgressGuard(parse_egress("127.0.0.0/8")), limit_per_host=2)
    origin = await servers.http(handler)
    answers = await asyncio.gather(*(get(transport, origin) for _ in range(6)))
    await transport.aclose()
    assert answers == [(200, b"ok")] * 6
    assert most == 2


async def test_one_origin_may_have_as_many_connections_as_are_asked_for(servers: Servers) -> None:
    """Streams are held for minutes: a bound for all tenants together would let one stop the others."""
    at_once, wanted = 0, 101
    full = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal at_once
        at_once += 1
        if at_once == wanted:
            full.set()
        await full.wait()
        return web.Response(text="ok")

    transport = AiohttpTransport(EgressGuard(parse_egress("127.0.0.0/8")))
    request = Request("GET", await servers.http(handler), {})
    asked = (transport.exchange(request, timeout=30, max_bytes=MIB) for _ in range(wanted))
    try:
        answers = await asyncio.gather(*asked)
    finally:
        full.set()
        await transport.aclose()
    assert [answer.status for answer in answers] == [200] * wanted
