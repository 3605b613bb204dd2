"""The load generator: N connections, each sending its next request when its last one was answered.

Run as a process of its own: a plan as JSON on stdin, the outcome as JSON on stdout. Requests are prepared
bytes in which only three numbers of fixed width change (JSON-RPC id, progress token, call id); an answer is
good when it is HTTP 200, carries that id, holds `marker` and no `"isError":true`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import uvloop

NUMBER = b"10000000"
"""Where a request's number goes in the prepared bytes."""
SETTLE = 0.05
"""Seconds between the last connection and the first request: a server accepts while it is not busy."""


class Run:
    """What all connections share: the deadline, the numbers given out, and what was found."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.pieces = plan["request"].encode().split(NUMBER)
        self.marker = plan["marker"].encode()
        self.number = int(NUMBER)
        self.deadline = 0.0
        self.latencies: list[float] = []
        self.bad = 0
        self.example_of_bad = ""

    def next_request(self) -> tuple[bytes, bytes]:
        self.number += 1
        number = b"%d" % self.number
        return number, number.join(self.pieces)

    def judge(self, head: bytes, body: bytes, number: bytes, seconds: float) -> None:
        good = (
            head.startswith(b"HTTP/1.1 200")
            and number in body
            and self.marker in body
            and b'"isError":true' not in body
        )
        if good:
            self.latencies.append(seconds)
        else:
            self.bad += 1
            self.example_of_bad = (head + b"\n" + body[:500]).decode(errors="replace")


class Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, run: Run, done: Callable[[], None]) -> None:
        self.run, self.done = run, done
        self.parts: list[bytes] = []
        self.head = b""
        self.missing: int | None = None
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's does not say so

    def connection_lost(self, exc: Exception | None) -> None:
        if self.started:
            self.run.bad += 1
            self.run.example_of_bad = f"connection lost: {exc!r}"
            self.done()

    def send(self) -> None:
        self.number, request = self.run.next_request()
        self.started = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self.head:
            data = b"".join([*self.parts, data])
            self.head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.parts, self.head = [self.head], b""
                return
            self.parts, self.missing = [], content_length(self.head)
        self.parts.append(data)
        if self.missing is None:
            if not data.endswith(b"0\r\n\r\n"):
                return
            body = dechunk(b"".join(self.parts))
        else:
            self.missing -= len(data)
            if self.missing > 0:
                return
            body = b"".join(self.parts)
        self.run.judge(self.head, body, self.number, time.perf_counter() - self.started)
        self.parts, self.head = [], b""
        if time.perf_counter() < self.run.deadline:
            self.send()
        else:
            self.started = 0.0
            self.transport.close()
            self.done()


def content_length(head: bytes) -> int | None:
    """Answer the body's length in bytes, or None when it comes in chunks."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else None


def dechunk(data: bytes) -> bytes:
    """Join a chunked body (RFC 9112 §7.1)."""
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        parts.append(data[:length])
        data = data[length + 2 :]
    return b"".join(parts)


async def measure(plan: dict[str, Any]) -> dict[str, Any]:
    """Keep `concurrency` callers busy for `seconds`; every request that was sent is waited for."""
    run, loop = Run(plan), asyncio.get_running_loop()
    left, finished = plan["concurrency"], asyncio.Event()

    def done() -> None:
        nonlocal left
        left -= 1
        if not left:
            finished.set()

    callers = []
    for _ in range(plan["concurrency"]):
        _, caller = await loop.create_connection(lambda: Connection(run, done), "127.0.0.1", plan["port"])
        callers.append(caller)
    await asyncio.sleep(SETTLE)
    started = time.perf_counter()
    run.deadline = started + plan["seconds"]
    for caller in callers:
        caller.send()
    await asyncio.wait_for(finished.wait(), plan["seconds"] + 60)
    elapsed = time.perf_counter() - started
    ordered = sorted(run.latencies) or [float("nan")]
    return {
        "good": len(run.latencies),
        "bad": run.bad,
        "example_of_bad": run.example_of_bad,
        "per_second": len(run.latencies) / elapsed,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(json.load(sys.stdin)))))
