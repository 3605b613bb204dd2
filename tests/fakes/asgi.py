"""A transport into an in-process ASGI application: everything of the HTTP path but the socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from linkspan.errors import TooLarge, UpstreamTimeout
from linkspan.net.messages import Request, Response, Streamed


class AsgiTransport:
    """Sends requests to an ASGI application, and keeps them for a test to look at."""

    def __init__(self, app: Any) -> None:
        self.sent: list[Request] = []
        self.waits: list[tuple[float, float]] = []
        """Of each stream how long its head, and each further piece, would be waited for."""
        self.began = asyncio.Event()
        self._client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app))

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send one request."""
        self.sent.append(request)
        self.began.set()
        try:
            async with asyncio.timeout(timeout):
                headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
                answer = await self._client.request(
                    request.method, request.url, headers=headers, content=request.body
                )
        except TimeoutError as error:
            raise UpstreamTimeout("The product did not answer in time") from error
        if len(answer.content) > max_bytes:
            raise TooLarge(f"the answer has more than {max_bytes:,} bytes")
        return Response(answer.status_code, dict(answer.headers), answer.content, request.url)

    @contextlib.asynccontextmanager
    async def stream(
        self, request: Request, *, content: AsyncIterator[bytes] | None = None, timeout: float, idle: float
    ) -> AsyncIterator[Streamed]:
        """Send one request, and hand its answer out; in one process it is whole before it begins."""
        self.waits.append((timeout, idle))
        body = b"".join([part async for part in content]) if content is not None else request.body
        whole = Request(request.method, request.url, request.headers, body)
        answer = await self.exchange(whole, timeout=timeout, max_bytes=10 * 2**20)

        async def chunks() -> AsyncIterator[bytes]:
            yield answer.body

        yield Streamed(answer.status, answer.headers, chunks(), answer.url)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
