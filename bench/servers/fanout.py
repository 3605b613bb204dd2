"""The fewest lines that send one stream to everybody: what `python -m bench viewers` compares with.

`python fanout.py PORT RATE`: each second RATE events, each with the time at which it was made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

PORT, RATE = int(sys.argv[1]), float(sys.argv[2])
readers: set[asyncio.Queue[bytes]] = set()


async def speak() -> None:
    """Tell everybody something, again and again."""
    number = 0
    while True:
        await asyncio.sleep(1 / RATE)
        number += 1
        data = json.dumps({"key": "m1", "text": f"{time.time():.6f} "})
        told = f"id: {number}\nevent: text\ndata: {data}\n\n".encode()
        for reader in readers:
            reader.put_nowait(told)


async def follow() -> AsyncIterator[bytes]:
    """Answer what is told from now on."""
    mine: asyncio.Queue[bytes] = asyncio.Queue()
    readers.add(mine)
    try:
        while True:
            yield await mine.get()
    finally:
        readers.discard(mine)


async def stream(_request: Request) -> StreamingResponse:
    """Answer one reader."""
    return StreamingResponse(follow(), media_type="text/event-stream")


@contextlib.asynccontextmanager
async def speaking(_app: Starlette) -> AsyncIterator[None]:
    """Speak while it serves."""
    task = asyncio.create_task(speak())
    yield
    task.cancel()


app = Starlette(routes=[Route("/stream", stream)], lifespan=speaking)
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False)
