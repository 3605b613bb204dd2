"""The wire to app-server: lines of JSON, answers to who asked, and what is not understood."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from linkspan.codex.app_server.rpc import Connection, Ended, Refused
from linkspan.errors import UpstreamTimeout


class Peer:
    """The other side: what it says is queued, what it was told is kept."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.told: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        """Say a message."""
        self.lines.put_nowait(json.dumps(message).encode() + b"\n")

    async def read_line(self) -> bytes:
        """Answer a line."""
        return await self.lines.get()

    async def write(self, line: bytes) -> None:
        """Take a line."""
        self.told.append(json.loads(line))


async def test_answers_find_who_asked() -> None:
    """In whatever order they come; without the member `jsonrpc`."""
    peer = Peer()
    connection = Connection(peer)
    running = asyncio.create_task(connection.run())
    first = asyncio.create_task(connection.call("a", {}))
    second = asyncio.create_task(connection.call("b", {}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [message["method"] for message in peer.told] == ["a", "b"]
    assert "jsonrpc" not in peer.told[0]
    peer.say(id=peer.told[1]["id"], result=2)
    peer.say(id=peer.told[0]["id"], error={"code": -32600, "message": "unknown variant"})
    assert await second == 2
    with pytest.raises(Refused, match="unknown variant"):
        await first
    peer.lines.put_nowait(b"")
    await running


async def test_a_call_has_a_deadline() -> None:
    """A Codex that does not answer is not waited for without an end."""
    with pytest.raises(UpstreamTimeout, match="thread/start"):
        await Connection(Peer()).call("thread/start", {}, seconds=0.01)


@pytest.mark.parametrize("last", [b"", b"this is no message\n", b"[1]\n"])
async def test_the_end_fails_what_is_open(last: bytes) -> None:
    """Also when it says something that is no JSON."""
    peer = Peer()
    connection = Connection(peer)
    call = asyncio.create_task(connection.call("a", {}))
    peer.lines.put_nowait(last)
    await connection.run()
    with pytest.raises(Ended):
        await call
    assert await connection.next() is None
    with pytest.raises(Ended):
        await connection.call("b", {})


async def test_a_slow_reader_slows_codex_down_and_not_its_own_calls() -> None:
    """What nobody takes is kept to a length; an answer that was read before is there."""
    peer = Peer()
    connection = Connection(peer)
    running = asyncio.create_task(connection.run())
    call = asyncio.create_task(connection.call("a", {}))
    await asyncio.sleep(0)
    peer.say(id=1, result="here")
    for number in range(1000):
        peer.say(method="item/started", params={"number": number})
    assert await call == "here"
    assert peer.lines.qsize() > 500
    told = [await connection.next() for _ in range(1000)]
    assert [each.params["number"] for each in told if each] == list(range(1000))
    peer.lines.put_nowait(b"")
    await running


async def test_an_unknown_question_is_answered() -> None:
    """Codex would wait for ever."""
    peer = Peer()
    connection = Connection(peer)
    peer.say(id="x1", method="attestation/generate", params={})
    peer.lines.put_nowait(b"")
    await connection.run()
    question = await connection.next()
    assert question is not None
    await connection.refuse(question)
    assert peer.told[0]["id"] == "x1"
    assert peer.told[0]["error"]["code"] == -32601
