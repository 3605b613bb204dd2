"""What a product that gives ETags does around its answers (RFC 9110 §13.1.2)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Conditional:
    """Tags what is read, and answers 304 without a body to who has it already; counts those as `304`."""

    def __init__(self, app: Asgi, counts: Counter[str]) -> None:
        self.app = app
        self.counts = counts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as the application does, but for what has not changed."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return await self.app(scope, receive, send)
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, keep)
        start, *parts = sent
        body = b"".join(part.get("body", b"") for part in parts)
        if start["status"] == 200:
            tag = f'W/"{hashlib.sha256(body).hexdigest()}"'.encode()
            headers = [*start["headers"], (b"etag", tag)]
            if dict(scope["headers"]).get(b"if-none-match") == tag:
                self.counts["304"] += 1
                headers = [pair for pair in headers if pair[0] not in (b"content-length", b"content-type")]
                start, body = {**start, "status": 304}, b""
            start = {**start, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return None
