"""The egress proxy: real sockets on loopback, asked as programs ask."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from linkspan.errors import EgressRefused, TooLarge, UpstreamError
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy, Permit, places
from linkspan.settings import parse_egress
from tests.net.conftest import Servers
from tests.net.test_egress import Names
from tests.servers.authority import Authority

REMEDY = "Name the host under network of the recipe."


@dataclass
class Bench:
    """A proxy whose operator allows loopback, and a product behind TLS."""

    proxy: EgressProxy
    authority: Authority
    host: str = "127.0.0.1"
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)

    async def permit(self, *places: tuple[str, int], max_bytes: int = 1_000_000) -> Permit:
        return await self.proxy.admit(
            places or [("127.0.0.1", self.port)], max_bytes=max_bytes, remedy=REMEDY
        )


@pytest.fixture
async def bench(servers: Servers, tmp_path: Path) -> AsyncIterator[Bench]:
    """A proxy and a TLS server that answers with what it was sent."""
    authority = Authority(tmp_path)
    proxy = EgressProxy(EgressGuard(parse_egress("127.0.0.0/8")), random=os.urandom)
    made = Bench(proxy, authority)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while block := await reader.read(65_536):
            made.bodies.append(block)
            writer.write(block)
            await writer.drain()
        writer.close()

    url = await servers.raw(echo, tls=authority.server_context("127.0.0.1"))
    made.port = int(url.rpartition(":")[2])
    yield made
    await proxy.aclose()


async def ask(permit: Permit, target: str, *, method: str = "CONNECT", auth: str | None = None) -> str:
    """Send one head to the proxy and answer all that comes back before it hangs up or tunnels."""
    reader, writer = await connect(permit)
    word = auth if auth is not None else f"{permit.name}:{permit.secret}"
    line = f"Proxy-Authorization: Basic {base64.b64encode(word.encode()).decode()}\r\n" if word else ""
    writer.write(f"{method} {target} HTTP/1.1\r\nHost: {target}\r\n{line}\r\n".encode())
    answer = await reader.read() if method != "CONNECT" or auth is not None else await reader.read(4096)
    writer.close()
    return answer.decode()


async def connect(permit: Permit) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(permit.url.rpartition(":")[2])
    return await asyncio.open_connection("127.0.0.1", port)


async def tunnel(
    permit: Permit, host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(permit)
    word = base64.b64encode(f"{permit.name}:{permit.secret}".encode()).decode()
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nProxy-Authorization: Basic {word}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    if tls is not None:
        await writer.start_tls(tls, server_hostname=host)
    return reader, writer


async def test_a_tunnel_carries_tls_both_ways(bench: Bench) -> None:
    """What is sent arrives and comes back; the proxy sees nothing but a tunnel, and counts it."""
    permit = await bench.permit()
    reader, writer = await tunnel(permit, bench.host, bench.port, bench.authority.client_context())
    sent = os.urandom(200_000)
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()
    assert 400_000 < permit.moved < 450_000
    assert permit.refusal is None


@pytest.mark.parametrize("auth", ["", "nobody:secret", "{name}:wrong", "{name}"])
async def test_who_shows_no_credential_of_a_permit_reaches_nothing(bench: Bench, auth: str) -> None:
    """407 and a challenge, the same for every wrong one."""
    permit = await bench.permit()
    answer = await ask(permit, f"127.0.0.1:{bench.port}", auth=auth.format(name=permit.name))
    assert answer.startswith("HTTP/1.1 407 ")
    assert 'Proxy-Authenticate: Basic realm="linkspan"' in answer


async def test_a_host_that_is_not_named_is_refused_with_the_remedy(bench: Bench) -> None:
    """The allow-list is of host and port together, and the refusal says where it is set."""
    permit = await bench.permit(("forge.example", 443))
    for target in ("127.0.0.1:443", "forge.example:22", "evil.example:443", "xforge.example:443"):
        answer = await ask(permit, target)
        assert answer.startswith("HTTP/1.1 403 ")
        assert f"Connections to {target} are not allowed here. {REMEDY}" in answer
    assert isinstance(permit.refusal, EgressRefused)


async def test_hosts_are_written_as_in_recipes(bench: Bench) -> None:
    """A port if it is another than 443, and a star for everything below a domain, itself not included."""
    words = ("Packages.example", "*.mirror.example", "host.example:8080")
    permit = await bench.proxy.admit(places(words), max_bytes=1, remedy=REMEDY)
    for host, port in (("packages.example", 443), ("a.b.mirror.example", 443), ("host.example", 8080)):
        assert permit.allows(host, port)
    for host, port in (
        ("packages.example", 80),
        ("mirror.example", 443),
        ("evilmirror.example", 443),
        ("host.example", 443),
        ("a.packages.example", 443),
    ):
        assert not permit.allows(host, port)


async def test_the_address_that_was_checked_is_dialled(bench: Bench) -> None:
    """A name is looked up once, and one that answers a private address is refused with the setting's name."""
    names = Names([["127.0.0.1"], ["10.0.0.1"]])
    proxy = EgressProxy(EgressGuard(parse_egress("127.0.0.0/8"), resolver=names), random=os.urandom)
    permit = await proxy.admit([("forge.example", bench.port)], max_bytes=10_000, remedy=REMEDY)
    tls = bench.authority.client_context()
    tls.check_hostname = False
    reader, writer = await tunnel(permit, "Forge.Example.", bench.port, None)
    await writer.start_tls(tls, server_hostname="forge.example")
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert names.asked == 1
    writer.close()
    assert "LINKSPAN_ALLOW_EGRESS" in await ask(permit, f"forge.example:{bench.port}")
    assert isinstance(permit.refusal, EgressRefused)
    await proxy.aclose()


async def test_a_tunnel_must_begin_with_tls(bench: Bench) -> None:
    """CONNECT is no way around the rule that plain HTTP needs the operator's word."""
    strict = EgressProxy(OnlyTls(), random=os.urandom)
    permit = await strict.admit([("127.0.0.1", bench.port)], max_bytes=10_000, remedy=REMEDY)
    reader, writer = await tunnel(permit, "127.0.0.1", bench.port, None)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await reader.read() == b""
    assert permit.refusal is not None
    assert "without TLS" in permit.refusal.message
    writer.close()
    await strict.aclose()


class Front:
    """A TLS client that asks for a server by a name of its own."""

    def __init__(self, authority: Authority, name: str | None) -> None:
        context = authority.client_context()
        context.check_hostname = False
        self._out = ssl.MemoryBIO()
        tls = context.wrap_bio(ssl.MemoryBIO(), self._out, server_hostname=name)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        self.hello = self._out.read()
        """What it sends first."""


@pytest.mark.parametrize(
    ("host", "name", "told"),
    [
        ("forge.example", "evil.example", "is for another server"),
        ("forge.example", None, "does not say which server it is for"),
        ("127.0.0.1", "evil.example", "is for another server"),
        ("forge.example", "FORGE.example", None),
        ("127.0.0.1", None, None),
    ],
)
async def test_a_tunnel_is_for_the_server_that_its_tls_names(
    bench: Bench, host: str, name: str | None, told: str | None
) -> None:
    """A front that serves many names is no way from an allowed one to another; in however many pieces."""
    guard = EgressGuard(parse_egress("127.0.0.0/8"), resolver=Names([["127.0.0.1"]]))
    proxy = EgressProxy(guard, random=os.urandom)
    permit = await proxy.admit([(host, bench.port)], max_bytes=100_000, remedy=REMEDY)
    reader, writer = await tunnel(permit, host, bench.port, None)
    hello = Front(bench.authority, name).hello
    writer.write(hello[:7])
    await writer.drain()
    writer.write(hello[7:])
    answer = await reader.read(4096)
    if told is None:
        assert answer.startswith(b"\x16\x03")
        assert permit.refusal is None
    else:
        assert answer == b""
        assert permit.refusal is not None
        assert told in permit.refusal.message
    assert bench.bodies == []
    writer.close()
    await proxy.aclose()


class OnlyTls(EgressGuard):
    """A guard that takes loopback for the public internet."""

    async def addresses(self, host: str, port: int, *, secure: bool) -> list:  # type: ignore[type-arg]
        found = await EgressGuard(parse_egress("127.0.0.0/8")).addresses(host, port, secure=True)
        if not secure:
            raise EgressRefused(f"Connections to {host} without TLS are not allowed")
        return found


async def test_plain_http_is_passed_on_where_the_operator_allows_it(servers: Servers) -> None:
    """One request a connection, in the form that servers take, without the proxy's credential."""
    seen: list[tuple[str, dict[str, str]]] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.raw_path, dict(request.headers)))
        return web.Response(text=f"got {await request.text()}")

    place = (await servers.http(handler)).removeprefix("http://")
    proxy = EgressProxy(EgressGuard(parse_egress(place)), random=os.urandom)
    host, _, port = place.partition(":")
    permit = await proxy.admit([(host, int(port))], max_bytes=10_000, remedy=REMEDY)
    answer = await ask(permit, f"http://{place}/a%20b?c=d", method="GET")
    assert answer.startswith("HTTP/1.1 200 OK")
    assert answer.endswith("got ")
    path, headers = seen[0]
    assert path == "/a%20b?c=d"
    assert headers["Connection"] == "close"
    assert "Proxy-Authorization" not in headers
    await proxy.aclose()


async def test_plain_http_is_refused_elsewhere(bench: Bench) -> None:
    """Also where the allow-list names the place: that is the operator's to say."""
    names = Names([["93.184.216.34"]])
    proxy = EgressProxy(EgressGuard(resolver=names), random=os.urandom)
    permit = await proxy.admit([("shop.example", 80)], max_bytes=10_000, remedy=REMEDY)
    answer = await ask(permit, "http://shop.example/", method="GET")
    assert answer.startswith("HTTP/1.1 403 ")
    assert "without TLS" in answer
    assert "LINKSPAN_ALLOW_EGRESS" in answer
    await proxy.aclose()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("CONNECT", "127.0.0.1"),
        ("CONNECT", "user@127.0.0.1:443"),
        ("CONNECT", "127.0.0.1:99999"),
        ("CONNECT", "a b:443"),
        ("GET", "/etc/passwd"),
        ("GET", "ftp://127.0.0.1/"),
        ("GET", "https://127.0.0.1/"),
        ("GET", "http://u:p@127.0.0.1/"),
    ],
)
async def test_what_is_no_request_to_a_proxy_is_told_so(bench: Bench, method: str, target: str) -> None:
    """400 and a sentence."""
    answer = await ask(await bench.permit(), target, method=method)
    assert answer.startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("is_download", [True, False])
async def test_a_permit_moves_so_many_bytes_and_no_more(bench: Bench, is_download: bool) -> None:
    """Beyond the limit the tunnel ends, and so does every later one."""
    permit = await bench.permit(max_bytes=100_000 if is_download else 60_000)
    reader, writer = await tunnel(permit, bench.host, bench.port, bench.authority.client_context())
    writer.write(b"x" * (60_000 if is_download else 90_000))
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await reader.readexactly(90_000)
    writer.close()
    assert isinstance(permit.refusal, TooLarge)
    assert "went through the egress proxy" in await ask(permit, f"127.0.0.1:{bench.port}")


async def test_revoking_a_permit_ends_what_it_has_open(bench: Bench) -> None:
    """A run that ends leaves no connection, and its credential opens nothing any more."""
    permit = await bench.permit()
    reader, writer = await tunnel(permit, bench.host, bench.port, bench.authority.client_context())
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    await bench.proxy.revoke(permit)
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    assert (await ask(permit, f"127.0.0.1:{bench.port}", auth=f"{permit.name}:{permit.secret}")).startswith(
        "HTTP/1.1 407 "
    )


async def test_a_place_where_nobody_listens(bench: Bench) -> None:
    """502 and a sentence that names it."""
    listening = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    permit = await bench.permit(("127.0.0.1", port))
    answer = await ask(permit, f"127.0.0.1:{port}")
    assert answer.startswith("HTTP/1.1 502 ")
    assert f"127.0.0.1:{port} could not be reached" in answer
    assert isinstance(permit.refusal, UpstreamError)


async def test_a_permit_shows_no_secret(bench: Bench) -> None:
    """Neither in its repr nor in what it refuses with."""
    permit = await bench.permit()
    assert permit.secret not in repr(permit)
    assert permit.secret not in await ask(permit, "evil.example:443")
