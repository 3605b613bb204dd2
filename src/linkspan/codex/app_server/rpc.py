"""JSON-RPC as `codex app-server` speaks it: a message a line, without the member `jsonrpc`.

Answers go to who asked at once. What Codex tells and asks waits in a queue of limited length, so that a slow
reader slows Codex down instead of filling our memory.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Final, Protocol

from linkspan.errors import UpstreamError, UpstreamTimeout

_WAITING: Final = 256
_LONGEST: Final = 500


class Pipe(Protocol):
    """Lines in, lines out."""

    async def read_line(self) -> bytes:
        """Answer the next line; empty at the end."""
        ...

    async def write(self, line: bytes) -> None:
        """Write a line."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What Codex says of itself; with an `id` it is a question that must be answered."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None = None
    size: int = 0
    """Bytes that it took."""


class Refused(UpstreamError):
    """Codex answered a call with an error."""

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        self.words = " ".join(str(error.get("message", error)).split())
        """Codex's own, however long."""
        super().__init__(f"Codex refused {method}: {shorten(self.words, _LONGEST, placeholder=' …')}")
        self.rpc_code = error.get("code")
        self.data = error.get("data")


class Ended(UpstreamError):
    """Codex is not there any more."""


class Connection:
    """One conversation with an app-server. `run` reads it; everything else may be called meanwhile."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._told: asyncio.Queue[Told | None] = asyncio.Queue(_WAITING)
        self._has_ended = False

    async def run(self) -> None:
        """Read until the end of the pipe; then every open call fails with `Ended`."""
        try:
            while line := await self._pipe.read_line():
                await self._take(line)
        except (ValueError, ConnectionError):
            pass  # A line without an end, or not JSON: nothing that follows can be trusted to be a message.
        finally:
            self._has_ended = True
            for method, future in self._asked.values():
                if not future.done():
                    future.set_exception(_ended(method))
            self._asked.clear()
            if self._told.full():
                self._told.get_nowait()
            self._told.put_nowait(None)

    async def next(self) -> Told | None:
        """Answer the next thing that Codex tells or asks, None when it has ended."""
        return await self._told.get()

    async def call(self, method: str, params: Mapping[str, Any], *, seconds: float = 30.0) -> Any:
        """Ask Codex and answer its result.

        Raises `Refused`, `Ended`, and `UpstreamTimeout` when there is no answer in that time.
        """
        if self._has_ended:
            raise _ended(method)
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = method, future
        try:
            async with asyncio.timeout(seconds):
                await self._send({"id": number, "method": method, "params": params})
                return await future
        except TimeoutError as error:
            raise UpstreamTimeout(f"Codex did not answer {method} within {seconds:g} seconds") from error
        except ConnectionError as error:
            raise _ended(method) from error
        finally:
            self._asked.pop(number, None)

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Tell Codex something."""
        await self._send({"method": method} if params is None else {"method": method, "params": params})

    async def answer(self, question: Told, result: Mapping[str, Any]) -> None:
        """Answer a question of Codex's."""
        await self._send({"id": question.id, "result": result})

    async def refuse(self, question: Told) -> None:
        """Tell Codex that a question is none that we know."""
        message = f"{question.method} is not supported by this client"
        await self._send({"id": question.id, "error": {"code": -32601, "message": message}})

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._pipe.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _take(self, line: bytes) -> None:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("not a message")
        method = message.get("method")
        if method is not None:
            given = message.get("params")
            params = given if isinstance(given, dict) else {}
            await self._told.put(Told(method, params, message.get("id"), len(line)))
            return
        number = message.get("id")
        asked = self._asked.get(number) if isinstance(number, int) else None
        if asked is None or asked[1].done():
            return
        name, future = asked
        if "error" in message:
            future.set_exception(Refused(name, message["error"] or {}))
        else:
            future.set_result(message.get("result"))


def _ended(method: str) -> Ended:
    return Ended(f"Codex ended before it answered {method}")
