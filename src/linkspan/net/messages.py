"""Request and response: plain values, so that the library underneath can change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from linkspan.errors import InvalidArgument, UpstreamError
from linkspan.telemetry.meters import OTHER, Use

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One HTTP request. `url` is absolute and already encoded; header names are in any case.

    Query, headers and body may hold a credential: `repr` shows none of them.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    ca: str | None = None
    """Certificates (PEM): what is signed by one of these is trusted, and nothing else."""
    use: Use = OTHER
    """What it is counted as; nothing of it is sent."""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.partition('?')[0]}>"


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """One whole answer. Header names are in lower case; repeated headers are joined with `, `."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url.partition('?')[0]}>"


@dataclass(frozen=True, slots=True, repr=False)
class Streamed:
    """An answer whose body comes as it comes. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]
    """To be read once; raises `ConnectionFailed` when it breaks off, `UpstreamTimeout` when nothing comes."""
    url: str

    def __repr__(self) -> str:
        return f"<Streamed {self.status} {self.url.partition('?')[0]}>"

    @classmethod
    def whole(cls, response: Response) -> Streamed:
        """Answer a stream of what is here already."""

        async def at_once() -> AsyncIterator[bytes]:
            yield response.body

        return cls(response.status, response.headers, at_once(), response.url)

    async def read(self, at_most: int) -> Response:
        """Read what is short, such as a failure; what is longer is cut, so its length is not told."""
        body = bytearray()
        async for chunk in self.chunks:
            body += chunk
            if len(body) >= at_most:
                break
        headers = {name: value for name, value in self.headers.items() if name != "content-length"}
        return Response(self.status, headers, bytes(body[:at_most]), self.url)


CHECK_BASE_URL = "Check base_url in tools.yaml; `linkspan account verify` tries it."
"""What helps against an address that does not answer as a product's API does."""


def set_header(headers: dict[str, str], name: str, text: str) -> None:
    """Set a header, in place of one of that name in whatever case. Raises `InvalidArgument`."""
    if _CONTROL.search(text) or not text.isascii():
        raise InvalidArgument(f"a value cannot stand in the header {name}")
    for known in headers:
        if known.lower() == name.lower():
            headers[known] = text
            return
    headers[name] = text


class ConnectionFailed(UpstreamError):
    """No whole answer came: the name is unknown, nobody listens, TLS failed, the connection was lost.

    `sent` tells whether the request, or a part of it, may have reached the product: when it is False, the
    request may be repeated whatever it does. The message never holds a query string or a header.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Literal["name", "refused", "unreachable", "timeout", "tls", "lost", "unreadable"],
        sent: bool,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.sent = sent


class Transport(Protocol):
    """One exchange over the wire: no retry, no redirect. The egress guard is inside."""

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send and read the whole answer; cancellation aborts the exchange.

        Raises `ConnectionFailed`, `EgressRefused`, `TooLarge` and `UpstreamTimeout`.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class StreamingTransport(Transport, Protocol):
    """One that can also hand bodies on piece by piece, both ways, without keeping them."""

    def stream(
        self,
        request: Request,
        *,
        content: AsyncIterator[bytes] | None = None,
        timeout: float,
        idle: float,
    ) -> AbstractAsyncContextManager[Streamed]:
        """Send, and open the answer; at the end of the block what was not read is hung up on.

        `content` is a body that is not here yet, instead of the request's own. `timeout` is until the answer
        begins, `idle` between two pieces of it, in seconds. Raises as `exchange` does, but for `TooLarge`.
        """
        ...
