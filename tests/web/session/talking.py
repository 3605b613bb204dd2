"""A client of embedded sessions: plain websockets, and the protocol as Codex's schema has it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

PAGE = "https://shop.example"
PATIENCE = 60.0
Json = dict[str, Any]


@dataclass
class Client:
    """A plain client of the protocol."""

    socket: ClientConnection
    told: list[Json] = field(default_factory=list)
    """What came without being asked for, questions included."""
    heard: list[Json] = field(default_factory=list)
    """All that ever came."""
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    sent: Callable[[Json], None] = lambda _message: None
    came: Callable[[Json], None] = lambda _message: None
    """They are given every message that is sent, and every one that comes."""

    async def call(self, method: str, **params: Any) -> Json:
        """Ask, and answer what came back, an error included."""
        number = next(self.numbers)
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            message = await self.next()
            if message.get("id") == number and "method" not in message:
                return message
            self.told.append(message)

    async def ask(self, method: str, **params: Any) -> Json:
        """Ask, and answer the result."""
        answer = await self.call(method, **params)
        assert "result" in answer, answer
        result: Json = answer["result"]
        return result

    async def until(self, method: str) -> Json:
        """Answer the parameters of the next message of a method."""
        return (await self.message(method))["params"]  # type: ignore[no-any-return]

    async def message(self, method: str) -> Json:
        """Answer the next message of a method, wherever it stands among those that were told."""
        while True:
            for number, message in enumerate(self.told):
                if message.get("method") == method:
                    del self.told[: number + 1]
                    return message
            self.told.append(await self.next())

    async def next(self) -> Json:
        """Answer the next message."""
        async with asyncio.timeout(PATIENCE):
            message: Json = json.loads(await self.socket.recv())
            self.heard.append(message)
            self.came(message)
            return message

    async def send(self, message: Json) -> None:
        """Send a message."""
        self.sent(message)
        await self.socket.send(json.dumps(message))

    async def say(self, thread: str, text: str) -> Json:
        """Begin a turn."""
        told = await self.ask("turn/start", threadId=thread, input=[{"type": "text", "text": text}])
        turn: Json = told["turn"]
        return turn


@asynccontextmanager
async def page(
    url: str, token: str, *, origin: str = PAGE, tenant: str = "acme", **more: Any
) -> AsyncIterator[Client]:
    """Connect as a page does: its origin, and the token beside the subprotocol."""
    words = [Subprotocol("linkspan.codex"), Subprotocol(token)]
    address = f"{url.replace('http', 'ws', 1)}/t/{tenant}/codex"
    async with connect(address, origin=Origin(origin), subprotocols=words) as socket:
        assert socket.subprotocol == "linkspan.codex"
        yield Client(socket, **more)


@asynccontextmanager
async def session(url: str, token: str, **how: Any) -> AsyncIterator[Client]:
    """Connect and say hello."""
    async with page(url, token, **how) as client:
        await client.ask("initialize", clientInfo={"name": "test", "version": "1"})
        await client.send({"jsonrpc": "2.0", "method": "initialized"})
        yield client
