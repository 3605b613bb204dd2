"""A product that allows so many requests in each stretch of time, to each of its accounts, and says so."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Limited:
    """Stands before an application; without a `limit` it is not there."""

    app: ASGIApp
    limit: int | None = None
    period: float = 1.0
    clock: Callable[[], float] = time.time
    rounds: int = 0
    """Of the event loop that an answer takes."""
    refused: int = 0
    most: int = 0
    """The most requests that one stretch saw, and how many there were in all."""
    total: int = 0
    _seen: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count one request, and tell what is left beside its answer."""
        if self.limit is None:
            await self.app(scope, receive, send)
            return
        now = self.clock()
        stretch = int(now / self.period)
        who = (dict(scope["headers"]).get(b"authorization", b"").decode(), stretch)
        self._seen[who] += 1
        self.total += 1
        self.most = max(self.most, self._seen[who])
        left = self.limit - self._seen[who]
        for _ in range(self.rounds):
            await asyncio.sleep(0)
        reset = (stretch + 1) * self.period - now
        told = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(0, left)),
            "x-ratelimit-reset": f"{reset:.3f}",
        }
        if left < 0:
            self.refused += 1
            refusal = JSONResponse(
                {"error": {"message": "too many"}}, 429, {**told, "retry-after": str(math.ceil(reset))}
            )
            await refusal(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                pairs = [(name.encode(), value.encode()) for name, value in told.items()]
                message = {**message, "headers": [*message.get("headers", ()), *pairs]}
            await send(message)

        await self.app(scope, receive, sent)
