"""What `python -m bench proxy` measures with: a product, a bare relay, callers; each a process of its own.

python -m bench.proxying upstream PORT
python -m bench.proxying relay PORT UPSTREAM_PORT
python -m bench.proxying load < plan.json
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

PIECE = b"x" * 65_536
ANSWER = json.dumps(
    {"tickets": [{"id": n, "subject": "The importer fails " * 4} for n in range(20)]}
).encode()
"""2 KB."""
SERVED = {"host": "127.0.0.1", "http": "httptools", "ws": "none", "access_log": False, "log_level": "warning"}


def upstream() -> Starlette:
    """The product: 2 KB of JSON, and a stream of as many pieces as are asked for."""

    async def answer(_request: Request) -> Response:
        return Response(ANSWER, media_type="application/json")

    async def stream(request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _each in range(int(request.query_params["pieces"])):
                yield PIECE

        return StreamingResponse(pieces(), media_type="application/octet-stream")

    return Starlette(routes=[Route("/json", answer), Route("/stream", stream)])


def relay(upstream_port: int) -> Starlette:
    """The fewest lines that hand a request on and its answer back as it comes."""
    clients: list[aiohttp.ClientSession] = []

    async def hand_on(request: Request) -> Response:
        if not clients:
            clients.append(aiohttp.ClientSession(auto_decompress=False))
        url = f"http://127.0.0.1:{upstream_port}{request.url.path}?{request.url.query}"
        answer = await clients[0].get(url, headers={"Authorization": "Bearer upstream-key"})

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in answer.content.iter_any():
                yield piece
            answer.release()

        headers = {"content-type": answer.headers["content-type"]}
        return StreamingResponse(pieces(), answer.status, headers)

    return Starlette(routes=[Route("/{path:path}", hand_on)])


async def load(plan: dict[str, Any]) -> dict[str, Any]:
    """Ask for `seconds` by `callers`, each its next when its last was answered, or `rate` a second in all."""
    latencies: list[float] = []
    received = 0
    deadline = time.perf_counter() + plan["seconds"]

    async def ask(http: aiohttp.ClientSession) -> None:
        nonlocal received
        began = time.perf_counter()
        async with http.get(plan["url"]) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")
            async for piece in answer.content.iter_any():
                received += len(piece)
        latencies.append(time.perf_counter() - began)

    async def caller(http: aiohttp.ClientSession) -> None:
        while time.perf_counter() < deadline:
            await ask(http)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=plan["headers"], connector=connector) as http:
        for _each in range(3):
            await ask(http)
        latencies.clear()
        received = 0
        cpu, began = time.process_time(), time.perf_counter()
        deadline = began + plan["seconds"]
        async with asyncio.TaskGroup() as group:
            if plan.get("rate"):
                while time.perf_counter() < deadline:
                    group.create_task(ask(http))
                    await asyncio.sleep(1 / plan["rate"])
            else:
                for _each in range(plan["callers"]):
                    group.create_task(caller(http))
        took = time.perf_counter() - began
    ordered = sorted(latencies)
    return {
        "count": len(ordered),
        "per_second": len(ordered) / took,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p95_ms": 1000 * ordered[int(len(ordered) * 0.95)],
        "cpu_ms": 1000 * (time.process_time() - cpu) / len(ordered),
        "mb_per_second": received / took / 1e6,
    }


def main(words: list[str]) -> None:
    """Be one of the three."""
    match words:
        case ["upstream", port]:
            uvicorn.run(upstream(), port=int(port), **SERVED)  # type: ignore[arg-type]
        case ["relay", port, upstream_port]:
            uvicorn.run(relay(int(upstream_port)), port=int(port), **SERVED)  # type: ignore[arg-type]
        case _:
            print(json.dumps(uvloop.run(load(json.load(sys.stdin)))))


if __name__ == "__main__":
    main(sys.argv[1:])
