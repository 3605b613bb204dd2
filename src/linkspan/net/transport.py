"""The one transport: aiohttp, one session for the process, connections made only through the egress guard."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from linkspan import __version__
from linkspan.errors import InvalidArgument, TooLarge, UpstreamTimeout
from linkspan.net.egress import Address, EgressGuard
from linkspan.net.messages import CHECK_BASE_URL, ConnectionFailed, Request, Response, Streamed

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

CONNECT_TIMEOUT = 10.0
"""Seconds for the look-up and for reaching one of a host's addresses, TLS included."""
MOST_PRIVATE = 64
"""How many private authorities are kept ready."""
ADDRESS_TIMEOUT = 2.0
"""Seconds after which the next address of a host is tried."""

_URL = re.compile(
    r"https?://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][!-\"$-~]*)?", re.ASCII
)
"""Visible ASCII without a fragment and without `user@`: anything else was not encoded by us."""


_DECODED = frozenset({"gzip", "deflate", "br", "zstd", "identity"})
"""Content codings that aiohttp has undone, or refused, before it hands out a body."""
_OWN_TYPE = ("Content-Type",)


class AiohttpTransport:
    """Sends requests with aiohttp exactly as they are given; knows no retry, no redirect and no cookie."""

    def __init__(
        self,
        guard: EgressGuard,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
        limit: int = 0,
        limit_per_host: int = 0,
        keepalive: float = 30.0,
    ) -> None:
        """`tls` makes the context for `https://` on its first use: the system's authorities if not given.

        At most `limit` connections are open at once and `limit_per_host` to one origin; 0: as many as are
        asked for, since a bound here is one for all tenants together, whose streams would stop each other.
        An idle one is kept for `keepalive` seconds.
        """
        self._guard = guard
        self._tls = tls or _system_tls
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._keepalive = keepalive
        self._session: aiohttp.ClientSession | None = None
        self._private: dict[str, ssl.SSLContext] = {}

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send and read the whole answer; cancellation drops the connection at once.

        `timeout` is for everything, in seconds: waiting for a connection, connecting, sending, reading.
        `max_bytes` counts the decoded body. Raises as `messages.Transport` says, and `InvalidArgument` for
        what cannot be written as an HTTP request.
        """
        if _URL.fullmatch(request.url) is None:
            raise _not_encoded()
        session = self._session or self._open()
        answer: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(timeout):
                answer = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=_content(request.body),
                    allow_redirects=False,
                    ssl=self._trust(request.ca),
                    skip_auto_headers=None if request.method == "GET" else _OWN_TYPE,
                )
                body = await _read(answer, max_bytes)
        except BaseException as error:
            if answer is not None:
                answer.close()
            failure = _failure(error, request.url, timeout)
            if failure is None:
                raise
            raise failure from None  # aiohttp's own words hold the whole URL
        return Response(answer.status, _headers(answer), body, request.url)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        timeout: float,
        idle: float,
    ) -> AsyncIterator[Streamed]:
        """Send and open the answer, piece by piece; see `messages.StreamingTransport`.

        A body that is not here yet goes out with the length that its headers name, else in chunks.
        """
        if _URL.fullmatch(request.url) is None:
            raise _not_encoded()
        session = self._session or self._open()
        try:
            async with asyncio.timeout(timeout):
                answer = await session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    data=content if content is not None else _content(request.body),
                    allow_redirects=False,
                    ssl=self._trust(request.ca),
                    skip_auto_headers=None if request.method == "GET" else _OWN_TYPE,
                )
        except BaseException as error:
            failure = _failure(error, request.url, timeout)
            if failure is None:
                raise
            raise failure from None
        chunks = _chunks(answer, request.url, idle)
        try:
            yield Streamed(answer.status, _headers(answer), chunks, request.url)
        finally:
            await chunks.aclose()
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()

    def _trust(self, ca: str | None) -> ssl.SSLContext | bool:
        """Answer what a server's certificate must be signed by: the system's authorities, or these alone."""
        if ca is None:
            return True
        context = self._private.get(ca)
        if context is None:
            context = _private_tls(ca)
            while len(self._private) >= MOST_PRIVATE:
                del self._private[next(iter(self._private))]
            self._private[ca] = context
        return context

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=_GuardedConnector(
                self._guard,
                self._tls,
                limit=self._limit,
                limit_per_host=self._limit_per_host,
                keepalive_timeout=self._keepalive,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"linkspan/{__version__}", "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # `exchange` has the one for all
            trust_env=False,
            max_line_size=65_536,
            max_field_size=65_536,
            max_headers=512,
        )
        # aiohttp repeats PUT and DELETE by itself when a kept connection turns out to be closed. What may be
        # repeated is the client's decision; there is no public switch.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return session


class _Protocol(ResponseHandler):
    """Drops a connection that is given up, instead of sending what is still unsent and saying goodbye."""

    def close(self) -> None:
        self.abort()


class _GuardedConnector(aiohttp.BaseConnector):
    """Makes connections to addresses that the guard has answered, and to no others."""

    def __init__(
        self,
        guard: EgressGuard,
        tls: Callable[[], ssl.SSLContext],
        *,
        limit: int,
        limit_per_host: int,
        keepalive_timeout: float,
    ) -> None:
        super().__init__(limit=limit, limit_per_host=limit_per_host, keepalive_timeout=keepalive_timeout)
        self._guard = guard
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],  # noqa: ARG002
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002
    ) -> ResponseHandler:
        """Look up, check, dial; the name stays the name for TLS (RFC 6066 §3) and Host."""
        url = req.url
        host = url.raw_host or ""
        port = url.port or 0
        secure = url.scheme == "https"
        own = req.ssl if isinstance(req.ssl, ssl.SSLContext) else None
        if secure and own is None and self._tls is None:
            self._tls = self._make_tls()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                addresses = await self._guard.addresses(host, port, secure=secure)
                return await self._dial(addresses, host, port, (own or self._tls) if secure else None)
        except TimeoutError as error:
            raise _unreached(
                f"{host} could not be reached within {CONNECT_TIMEOUT:g} seconds", "timeout"
            ) from error

    async def _dial(
        self, addresses: list[Address], host: str, port: int, tls: ssl.SSLContext | None
    ) -> ResponseHandler:
        """Try the addresses one after the other; only the last may take all the time there is."""
        failure = _unreached(f"{host} has no address", "name")
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            try:
                async with asyncio.timeout(ADDRESS_TIMEOUT if left else None):
                    _, protocol = await self._loop.create_connection(
                        lambda: _Protocol(self._loop),
                        str(address),
                        port,
                        ssl=tls,
                        server_hostname=host.rstrip(".") if tls else None,
                    )
                    return protocol
            except ssl.SSLCertVerificationError as error:
                raise _unreached(
                    f"The certificate of {host} is not valid: {error.verify_message}", "tls"
                ) from error
            except ssl.SSLError as error:
                raise _unreached(f"{host}:{port} does not speak TLS as it should", "tls") from error
            except ConnectionRefusedError:
                failure = _unreached(
                    f"{host}:{port} refused the connection: nothing listens there", "refused"
                )
            except OSError as error:
                reason = f" ({error.strerror})" if error.strerror else ""
                failure = _unreached(f"{host}:{port} could not be reached{reason}", "unreachable")
        raise failure


def _unreached(
    message: str, reason: Literal["name", "refused", "unreachable", "timeout", "tls"]
) -> ConnectionFailed:
    return ConnectionFailed(message, reason=reason, sent=False, hint=CHECK_BASE_URL)


def _content(body: bytes | None) -> bytes | io.BytesIO | None:
    """Hand a large body over in pieces, so that writing it does not hold up everybody else."""
    return io.BytesIO(body) if body is not None and len(body) > 2**20 else body


def _private_tls(ca: str) -> ssl.SSLContext:
    """Trust these authorities and no others; raises `InvalidArgument` for what is no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidArgument("The account's certificate authority is not a certificate (PEM)") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _system_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _not_encoded() -> InvalidArgument:
    return InvalidArgument("The address of the request is not an encoded http:// or https:// URL")


async def _chunks(answer: aiohttp.ClientResponse, url: str, idle: float) -> AsyncGenerator[bytes, None]:
    """Hand out what has come, as soon as it has."""
    while True:
        try:
            async with asyncio.timeout(idle):
                block = await answer.content.readany()
        except BaseException as error:
            failure = _failure(error, url, idle)
            if failure is None:
                raise
            raise failure from None
        if not block:
            return
        yield block


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read a body of at most `max_bytes`; aiohttp decompresses it piece by piece, as it is read."""
    content = answer.content
    block = await content.readany()
    size = len(block)
    if size <= max_bytes and content.at_eof():
        return block
    if size > max_bytes or (answer.content_length or 0) > max_bytes:
        raise _too_large(answer, max_bytes)
    blocks = [block]
    while block := await content.readany():
        size += len(block)
        if size > max_bytes:
            raise _too_large(answer, max_bytes)
        blocks.append(block)
    return b"".join(blocks)


def _too_large(answer: aiohttp.ClientResponse, max_bytes: int) -> TooLarge:
    most = f"{max_bytes:,} bytes" if max_bytes % 2**20 else f"{max_bytes // 2**20} MiB"
    return TooLarge(
        f"The answer of {answer.url.host} is larger than {most}",
        hint="Ask for less at once: a smaller limit, fewer fields or a narrower search.",
        upstream_status=answer.status,
    )


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Answer the headers of the body as it is now: lower case, joined (RFC 9110 §5.3), without its coding."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    coding = headers.pop("content-encoding", None)
    if coding is not None:
        headers.pop("content-length", None)
        if coding.strip().lower() not in _DECODED:
            raise _unreadable(answer.url.host)
    return headers


def _unreadable(host: str | None) -> ConnectionFailed:
    return ConnectionFailed(
        f"What {host} answered could not be read as HTTP", reason="unreadable", sent=True, hint=CHECK_BASE_URL
    )


def _failure(error: BaseException, url: str, timeout: float) -> Exception | None:
    """Say what became of an exchange in words of the error tree; None for what is said already."""
    host = URL(url, encoded=True).host
    if isinstance(error, TimeoutError):
        return UpstreamTimeout(
            f"{host} did not answer within {timeout:g} seconds",
            hint="Try again in a minute, or ask for less at once.",
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return _unreadable(host)
    if isinstance(error, ValueError):
        return InvalidArgument("The request holds a character that HTTP has no place for")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ConnectionFailed(
            f"The connection to {host} was lost before the whole answer was here",
            reason="lost",
            sent=True,
            hint="Try again in a minute.",
        )
    return None
