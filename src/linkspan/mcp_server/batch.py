"""JSON-RPC batches: an array of messages, an array of answers. The protocol had them for one revision.

A server of 2025-03-26 must take them; 2025-06-18 took them away again. In a batch nothing is streamed, and
`initialize` is not allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from linkspan.mcp_server.caller import meta_of
from linkspan.mcp_server.protocol import INVALID_REQUEST, META_VERSION, Fault

VERSION: Final = "2025-03-26"
LONGEST: Final = 50
"""Messages in one batch: they are answered side by side."""


def check(messages: Sequence[Any], version: str) -> None:
    """Raise `Fault` for a batch that is refused as a whole."""
    if version != VERSION:
        raise Fault(INVALID_REQUEST, f"Protocol {version} has no batches: send one message at a time")
    if not messages:
        raise Fault(INVALID_REQUEST, "A batch must hold at least one message")
    if len(messages) > LONGEST:
        raise Fault(INVALID_REQUEST, f"A batch may hold {LONGEST} messages, this one has {len(messages)}")


def check_member(method: str, params: Any) -> None:
    """Raise `Fault` for a request that may not stand in a batch."""
    if method == "initialize":
        raise Fault(INVALID_REQUEST, "initialize must not be part of a batch")
    if type(params) is dict and META_VERSION in meta_of(params):
        raise Fault(INVALID_REQUEST, "A request of a protocol without batches must be sent by itself")


async def answers(messages: Sequence[Any], answer: Callable[[Any], Awaitable[bytes | None]]) -> bytes:
    """Answer the array of what the messages are answered; nothing when none is owed an answer."""

    async def one(message: Any) -> bytes | None:
        return await answer(message)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(message)) for message in messages]
    return joined([found for task in tasks if (found := task.result()) is not None])


def joined(found: Sequence[bytes]) -> bytes:
    """Answer responses as one array."""
    return b"[" + b",".join(found) + b"]" if found else b""
