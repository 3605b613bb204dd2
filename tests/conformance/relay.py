"""A relay that adds the bearer: the conformance suite knows no way to send one.

It works on bytes, so that everything else the suite sends (odd hosts, white space in headers) arrives as it
was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:.*chunked", re.IGNORECASE | re.MULTILINE)


@contextlib.contextmanager
def relaying(target: str, token: str) -> Iterator[str]:
    """Relay to a base URL with the token in every request; yields the relay's own base URL."""
    relay = _Relay(target, token)
    thread = threading.Thread(target=relay.run, daemon=True)
    thread.start()
    relay.started.wait(10)
    try:
        yield f"http://127.0.0.1:{relay.port}"
    finally:
        relay.stop()
        thread.join(10)


class _Relay:
    def __init__(self, target: str, token: str) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname, parts.port
        self._line = f"Authorization: Bearer {token}\r\n".encode()
        self.started = threading.Event()
        self.port = 0

    def run(self) -> None:
        asyncio.run(self._serve())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()
        await self._stopping.wait()
        server.close()
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        answers = asyncio.create_task(_copy(from_server, writer))
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._request(reader, to_server)
        except asyncio.CancelledError:
            answers.cancel()
        finally:
            for one in (to_server, writer):
                one.close()
                with contextlib.suppress(ConnectionError):
                    await one.wait_closed()
            await asyncio.gather(answers, return_exceptions=True)
            self._connections.discard(task)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        writer.write(line + b"\r\n" + self._line + rest)
        length = _LENGTH.search(head)
        if length:
            writer.write(await reader.readexactly(int(length.group(1))))
        elif _CHUNKED.search(head):
            chunk = b""
            while not chunk.endswith(b"0\r\n\r\n"):
                chunk = await reader.readuntil(b"\r\n\r\n")
                writer.write(chunk)
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
