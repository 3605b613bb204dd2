"""A client of embedded sessions: plain websockets, and the protocol as Codex's schema has it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

PAGE = "https://shop.example"
PATIENCE = 60.0
Json = dict[str, Any]


_ABOUT: Final = {"threadId": "t", "turnId": "u"}
_COMMAND: Final = {
    "id": "c1", "type": "commandExecution", "command": "make test", "cwd": "/workspace",
    "commandActions": [], "status": "inProgress",
}  # fmt: skip
_CALL: Final = {
    "id": "m1", "type": "mcpToolCall", "server": "linkspan", "tool": "get_ticket",
    "arguments": {"id": "HC-103"}, "status": "completed",
}  # fmt: skip
SAID_BY_CODEX: Final[Sequence[tuple[str, Json]]] = (
    ("item/started", {**_ABOUT, "item": _COMMAND, "startedAtMs": 1}),
    ("item/commandExecution/outputDelta", {**_ABOUT, "itemId": "c1", "delta": "2 passed"}),
    ("item/completed", {**_ABOUT, "item": {**_COMMAND, "status": "completed"}, "completedAtMs": 2}),
    ("item/completed", {**_ABOUT, "item": _CALL, "completedAtMs": 2}),
    ("item/agentMessage/delta", {**_ABOUT, "itemId": "a1", "delta": "It is three."}),
    ("item/reasoning/summaryTextDelta", {**_ABOUT, "itemId": "r1", "delta": "Hm.", "summaryIndex": 1}),
    ("item/reasoning/textDelta", {**_ABOUT, "itemId": "r1", "delta": "Well.", "contentIndex": 0}),
    ("turn/plan/updated", {**_ABOUT, "plan": [{"step": "Look", "status": "inProgress"}]}),
    ("turn/diff/updated", {**_ABOUT, "diff": "+three"}),
    ("warning", {"threadId": "t", "message": "The model is an old one."}),
    ("configWarning", {"summary": "A word in config.toml is unknown."}),
    (
        "error",
        {**_ABOUT, "error": {"message": "?", "codexErrorInfo": "serverOverloaded"}, "willRetry": True},
    ),
)
"""What Codex tells of a turn, one of each method that becomes an event which a session tells of."""


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
    async with connect(address, origin=Origin(origin), subprotocols=words, open_timeout=PATIENCE) as socket:
        assert socket.subprotocol == "linkspan.codex"
        yield Client(socket, **more)


@asynccontextmanager
async def session(url: str, token: str, **how: Any) -> AsyncIterator[Client]:
    """Connect and say hello."""
    async with page(url, token, **how) as client:
        await client.ask("initialize", clientInfo={"name": "test", "version": "1"})
        await client.send({"jsonrpc": "2.0", "method": "initialized"})
        yield client
