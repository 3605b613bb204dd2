"""Batches: an array in, an array out, for the one revision of the protocol that has them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.lines import Handshake
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.session import Session
from tests.mcp_server.conftest import Http, modern_message, principal

CALL = {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "list_tickets"}}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
TOLD = {"jsonrpc": "2.0", "method": "notifications/initialized"}
MIXED = [
    CALL,
    TOLD,
    PING,
    7,
    {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}},
    modern_message("tools/list", id_=4),
    {"jsonrpc": "2.0", "id": 5, "method": "nothing"},
    {"jsonrpc": "2.0", "id": 6, "method": 7},
]


def judge(answers: list[Any]) -> None:
    """Every request has one answer, the good ones a good one."""
    found = {answer["id"]: answer.get("error", {}).get("code") for answer in answers}
    known = {"a": None, 2: None, 3: -32600, 4: -32600, 5: -32601}
    assert {name: found[name] for name in known} == known
    by_id = {answer["id"]: answer for answer in answers}
    assert by_id["a"]["result"]["structuredContent"]["result"][0]["id"] == "1"


@pytest.mark.parametrize("headers", [{}, {"mcp_protocol_version": "2025-03-26"}])
async def test_an_array_is_answered_with_an_array(http: Http, headers: dict[str, str]) -> None:
    """Without the header the revision is 2025-03-26, which has no such header."""
    answer = await http.post(MIXED, **headers)
    assert answer.status_code == 200
    judge(answer.json())


async def test_a_batch_that_asks_nothing_is_accepted(http: Http) -> None:
    """202, as for one notification."""
    answer = await http.post([TOLD, {"jsonrpc": "2.0", "id": 1, "result": {}}])
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize("batch", [[], [PING] * 51])
async def test_a_batch_has_its_bounds(http: Http, batch: list[Any]) -> None:
    """At least one message, and so few that one request is no flood."""
    answer = await http.post(batch)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


async def test_stdio_answers_an_array_with_an_array(methods: Methods, hub: Hub) -> None:
    """One line for one line."""
    lines: asyncio.Queue[Any] = asyncio.Queue()

    class Output:
        def write(self, message: bytes) -> None:
            lines.put_nowait(json.loads(message))

    session = Session(methods, principal(), Handshake(), Output(), hub)  # type: ignore[arg-type]
    session.take(json.dumps(MIXED).encode())
    async with asyncio.timeout(5):
        judge(await lines.get())
    session.take(json.dumps([TOLD]).encode())
    await session.finish(1)
    assert lines.empty()


async def test_stdio_refuses_a_batch_of_another_revision(methods: Methods, hub: Hub) -> None:
    """2025-06-18 has none."""
    written: list[Any] = []

    class Output:
        def write(self, message: bytes) -> None:
            written.append(json.loads(message))

    session = Session(methods, principal(), Handshake("2025-06-18"), Output(), hub)  # type: ignore[arg-type]
    session.take(json.dumps([PING]).encode())
    await session.finish(1)
    assert [answer["error"]["code"] for answer in written] == [-32600]
