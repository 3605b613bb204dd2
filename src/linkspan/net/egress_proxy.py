"""The egress guard as a proxy on loopback, for programs of others: git, and commands in a sandbox.

Each user of it holds a `Permit`: a credential of its own, the few `host:port` that it may reach, and how many
bytes it may move. What it asks for is looked up and checked by the guard, and the address that was checked is
the one that is dialled. `https://` is tunnelled by CONNECT (RFC 9110 §9.3.6), and the tunnel must begin with
TLS that asks for that very host (tls_hello.py); `http://` is passed on for one request, and only where the
operator allowed that place.

What is refused is told in the answer and kept at the permit, since most programs show nothing but a status.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from linkspan.errors import EgressRefused, InvalidArgument, LinkspanError, TooLarge, UpstreamError
from linkspan.net.egress import Address, EgressGuard
from linkspan.net.tls_hello import read_hello

HEAD_TIMEOUT = 10.0
"""Seconds for a request's head to arrive."""
CONNECT_TIMEOUT = 10.0
ADDRESS_TIMEOUT = 2.0
_LONGEST_HEAD = 16_384
_MOST_CONNECTIONS = 512
_MOST_OF_ONE = 64
_BLOCK = 65_536
_TLS: Final = b"\x16\x03"
"""How a TLS handshake begins (RFC 8446 §5.1)."""
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_CREDENTIAL: Final = re.compile(
    rb"\r\nproxy-authorization:[ \t]*basic[ \t]+([A-Za-z0-9+/=]+)[ \t]*\r\n", re.IGNORECASE
)
_OURS: Final = (b"proxy-", b"connection:", b"keep-alive:", b"upgrade:", b"host:")
_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    407: "Proxy Authentication Required",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Permit:
    """What one user of the proxy may do, what it did, and why it was last refused."""

    def __init__(
        self, name: str, secret: str, hosts: frozenset[tuple[str, int]], max_bytes: int, remedy: str, at: str
    ) -> None:
        self.name = name
        self.secret = secret
        self.hosts = hosts
        self.max_bytes = max_bytes
        self.remedy = remedy
        self._at = at
        self.moved = 0
        """Bytes in both directions."""
        self.refusal: LinkspanError | None = None
        """Why something was refused, the first time."""
        self.connections: set[asyncio.Task[None]] = set()

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a place is one of its hosts; `*.example` is everything below example."""
        below = (("*" + host[at:], port) for at, mark in enumerate(host) if mark == ".")
        return (host, port) in self.hosts or any(place in self.hosts for place in below)

    @property
    def url(self) -> str:
        """The proxy's URL with the credential in it, for `https_proxy` or git's `http.proxy`. A secret."""
        return f"http://{self.name}:{self.secret}@{self._at}"

    def __repr__(self) -> str:
        return f"<Permit {self.name}>"

    def refuse(self, error: LinkspanError) -> LinkspanError:
        """Keep the first refusal: what follows is mostly its consequence."""
        self.refusal = self.refusal or error
        return error

    def move(self, count: int) -> None:
        """Count bytes. Raises `TooLarge` beyond the limit."""
        self.moved += count
        if self.moved > self.max_bytes:
            raise self.refuse(
                TooLarge(f"More than {megabytes(self.max_bytes)} went through the egress proxy")
            )


@dataclass(frozen=True, slots=True)
class _Asked:
    host: str
    port: int
    secure: bool
    head: bytes = field(default=b"", repr=False)
    """What is passed on of the head: nothing of a CONNECT."""


class EgressProxy:
    """Listens on a loopback port. One for a process; it starts with its first permit."""

    def __init__(self, guard: EgressGuard, *, random: Callable[[int], bytes]) -> None:
        self.guard = guard
        self._random = random
        self._permits: dict[str, Permit] = {}
        self._server: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self._open = 0

    async def admit(self, hosts: Iterable[tuple[str, int]], *, max_bytes: int, remedy: str) -> Permit:
        """Let somebody reach these hosts until `revoke`. `remedy` is the next step for who wants others."""
        async with self._starting:
            if self._server is None:
                self._server = await asyncio.start_server(
                    self._accept, "127.0.0.1", 0, limit=_LONGEST_HEAD + _BLOCK
                )
        port = self._server.sockets[0].getsockname()[1]
        name = self._random(6).hex()
        secret = base64.urlsafe_b64encode(self._random(24)).decode()
        known = frozenset((normal_host(host), port) for host, port in hosts)
        permit = self._permits[name] = Permit(name, secret, known, max_bytes, remedy, f"127.0.0.1:{port}")
        return permit

    async def revoke(self, permit: Permit) -> None:
        """End a permit and every connection that it has open."""
        self._permits.pop(permit.name, None)
        open_now = list(permit.connections)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def aclose(self) -> None:
        """End every permit, and listen no longer."""
        for permit in list(self._permits.values()):
            await self.revoke(permit)
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            # Nobody waits for this task, and a cancelled one would be logged as a fault: it ends by itself.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._open -= 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open > _MOST_CONNECTIONS:
            await _answer(writer, 503, "The egress proxy has too many connections")
            return
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _answer(writer, 400, "The head of the request is too long")
            return
        permit = self._permit(head)
        if permit is None:
            await _answer(writer, 407, "The egress proxy knows no such user", challenge=True)
            return
        if len(permit.connections) >= _MOST_OF_ONE:
            await _answer(writer, 503, f"There are {_MOST_OF_ONE} connections of this user already")
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        permit.connections.add(task)
        try:
            await self._pass_on(permit, head, reader, writer)
        finally:
            permit.connections.discard(task)

    def _permit(self, head: bytes) -> Permit | None:
        """Answer whose credential the head carries (RFC 7617)."""
        found = _CREDENTIAL.search(head)
        if found is None:
            return None
        try:
            name, _, secret = base64.b64decode(found[1], validate=True).partition(b":")
        except (ValueError, binascii.Error):
            return None
        permit = self._permits.get(name.decode("ascii", "replace"))
        if permit is None or not hmac.compare_digest(secret, permit.secret.encode()):
            return None
        return permit

    async def _pass_on(
        self, permit: Permit, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            asked = _read(head)
            addresses = await self._addresses(permit, asked)
            there, onward = await _dial(addresses, asked)
        except LinkspanError as error:
            permit.refuse(error)
            status = 400 if isinstance(error, InvalidArgument) else 403
            await _answer(writer, 502 if isinstance(error, UpstreamError) else status, error.for_model())
            return
        try:
            if asked.secure:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await writer.drain()
                first = await self._opening(asked, reader)
            else:
                first = asked.head
            permit.move(len(first))
            onward.write(first)
            await onward.drain()
            await _relay(permit, (reader, onward), (there, writer))
            await _finish(writer)
        except LinkspanError as error:
            permit.refuse(error)
        finally:
            onward.transport.abort()

    async def _opening(self, asked: _Asked, reader: asyncio.StreamReader) -> bytes:
        """Answer the first bytes of a tunnel: TLS that asks for the server which the tunnel is for."""
        first = await reader.read(_BLOCK)
        while first and len(first) < len(_TLS) and (more := await reader.read(_BLOCK)):
            first += more
        if not first.startswith(_TLS):
            await self.guard.addresses(asked.host, asked.port, secure=False)
            return first
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                while (hello := read_hello(first)) is None:
                    more = await reader.read(_BLOCK)
                    if not more:
                        raise ValueError("it is cut off")
                    first += more
        except (ValueError, TimeoutError) as error:
            raise _misled(asked, "begins with no whole TLS handshake") from error
        if hello.hides_name:
            raise _misled(asked, "hides which server it is for (Encrypted Client Hello)")
        if hello.name is None and not _is_address(asked.host):
            raise _misled(asked, "does not say which server it is for")
        if hello.name is not None and normal_host(hello.name) != asked.host:
            raise _misled(asked, "is for another server")
        return first

    async def _addresses(self, permit: Permit, asked: _Asked) -> list[Address]:
        where = f"{asked.host}:{asked.port}"
        if not permit.allows(asked.host, asked.port):
            raise EgressRefused(f"Connections to {where} are not allowed here", hint=permit.remedy)
        if permit.moved >= permit.max_bytes:
            permit.move(1)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                return await self.guard.addresses(asked.host, asked.port, secure=asked.secure)
        except TimeoutError as error:
            raise _unreached(asked) from error


def places(words: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Read hosts as recipes write them: `a.example`, `*.example`, `a.example:8080`; 443 if not said."""
    found = set()
    for word in words:
        host, colon, port = word.rpartition(":")
        found.add((normal_host(host), int(port)) if colon and port.isdigit() else (normal_host(word), 443))
    return frozenset(found)


def normal_host(host: str) -> str:
    """Answer a host as hosts are compared: lower case, no brackets, no dot at the end."""
    return host.strip("[]").rstrip(".").lower()


def megabytes(count: int) -> str:
    """Answer a number of bytes for people."""
    return f"{count / 1_000_000:,.0f} MB" if count >= 1_000_000 else f"{count:,} bytes"


def _read(head: bytes) -> _Asked:
    """Read the first line: `CONNECT host:port`, or a method and an absolute http:// URL (RFC 9112 §3.2)."""
    line, _, rest = head.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise InvalidArgument("The egress proxy speaks HTTP/1.1")
    method, target, _ = words
    try:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port or (None if method == "CONNECT" else 80)
        scheme = parts.scheme
    except ValueError:
        parts, port, scheme = urlsplit(""), None, ""
    host = parts.hostname or ""
    if port is None or not _HOST.fullmatch(f"[{host}]" if ":" in host else host) or "@" in parts.netloc:
        raise InvalidArgument("The egress proxy takes CONNECT host:port, or an absolute http:// URL")
    if method == "CONNECT":
        return _Asked(normal_host(host), port, secure=True)
    if scheme != "http":
        raise InvalidArgument("The egress proxy tunnels https:// by CONNECT and passes http:// on")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [each for each in rest.split(b"\r\n") if each and not each.lower().startswith(_OURS)]
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), f"Host: {parts.netloc}".encode(), *kept]
    return _Asked(
        normal_host(host), port, secure=False, head=b"\r\n".join([*lines, b"Connection: close", b"", b""])
    )


async def _dial(addresses: list[Address], asked: _Asked) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Try the addresses that were checked, one after the other."""
    for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
        try:
            async with asyncio.timeout(ADDRESS_TIMEOUT if left else CONNECT_TIMEOUT):
                return await asyncio.open_connection(str(address), asked.port)
        except OSError:  # a time-out is one too
            continue
    raise _unreached(asked)


def _unreached(asked: _Asked) -> UpstreamError:
    return UpstreamError(f"{asked.host}:{asked.port} could not be reached", hint="Try again in a minute.")


def _misled(asked: _Asked, how: str) -> EgressRefused:
    return EgressRefused(
        f"A connection to {asked.host}:{asked.port} {how}",
        hint="Its TLS must name (SNI) the very host that the proxy was asked for.",
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _relay(permit: Permit, up: Stream, down: Stream) -> None:
    """Carry bytes both ways until the far side has said everything, or either way fails."""
    upward = asyncio.create_task(_carry(permit, *up))
    downward = asyncio.create_task(_carry(permit, *down))
    left = {upward, downward}
    try:
        while downward in left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _carry(permit: Permit, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK):
        permit.move(len(block))
        writer.write(block)
        await writer.drain()
    with contextlib.suppress(OSError, NotImplementedError):
        writer.write_eof()


async def _answer(writer: asyncio.StreamWriter, status: int, text: str, *, challenge: bool = False) -> None:
    body = f"{text}\n".encode()
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if challenge:
        lines.append('Proxy-Authenticate: Basic realm="linkspan"')
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await _finish(writer)


async def _finish(writer: asyncio.StreamWriter) -> None:
    """Send what is still unsent, and say goodbye; nobody is waited for longer than for a head."""
    async with asyncio.timeout(HEAD_TIMEOUT):
        writer.close()
        await writer.wait_closed()
