"""The product behind every server: one page of tickets in one write, and a count of how often it was asked.

`GET /projects/web/tickets?status=open` with the right key answers the page; `GET /hits` answers the count. A
bare protocol rather than a framework, so that on a small machine the stub takes as little as possible from
what is measured.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from bench.tickets import page

hits = 0


def answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


PAGE = answer(page())
ASKED = b"GET /projects/web/tickets?status=open HTTP/1.1\r\n"
KEY = b": Bearer upstream-key"


class Stub(asyncio.Protocol):
    """Requests without a body, one after another, on a connection that stays open."""

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's does not say so

    def data_received(self, data: bytes) -> None:
        global hits
        self.received += data
        while b"\r\n\r\n" in self.received:
            request, _, self.received = self.received.partition(b"\r\n\r\n")
            if request.startswith(ASKED):
                if KEY not in request:
                    self.transport.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                    continue
                hits += 1
                self.transport.write(PAGE)
            elif request.startswith(b"GET /hits "):
                self.transport.write(answer(b"%d" % hits))
            else:
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
