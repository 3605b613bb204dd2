"""The receiving side of a request: its body, and whether the one who asked is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from linkspan.mcp_server.headers import Headers
from linkspan.mcp_server.sse import Receive

WATCH_AFTER: Final = 0.25
"""Seconds after which a call is watched for a client that has gone: quicker ones are not worth a task."""


async def watched(work: Awaitable[bytes], receive: Receive) -> bytes | None:
    """Answer what the work answers; None when the client went away and the work was cancelled for it.

    The work runs in the request's own task; only after a while a second one looks whether the client is still
    there.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    watcher: list[asyncio.Task[None]] = []
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        if task is not None:
            task.cancel()

    timer = loop.call_later(WATCH_AFTER, lambda: watcher.append(loop.create_task(watch())))
    try:
        return await work
    except asyncio.CancelledError:
        if left and task is not None and task.uncancel() == 0:
            return None
        raise
    finally:
        timer.cancel()
        for one in watcher:
            one.cancel()


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes | None:
    """Answer the body of a request; None when it has more than `limit` bytes."""
    declared = headers.values.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        return None
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body if len(body) <= limit else None
    parts, size = [body], len(body)
    while message.get("more_body"):
        if size > limit:
            return None
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts) if size <= limit else None
