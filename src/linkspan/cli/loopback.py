"""A listener on this machine that takes one answer of a browser (RFC 8252 §7.3)."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from linkspan.errors import ConfigurationError, LinkspanError

HOST: Final = "127.0.0.1"
PORT: Final = 8641
"""The one that is registered at products which want an exact redirect URL."""
PATH: Final = "/oauth/callback"
_PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="color-scheme" content="light dark">
<body style="font: 1.1rem/1.5 system-ui; max-width: 34rem; margin: 15vh auto; padding: 0 1rem">
<h1 style="font-size: 1.4rem">{title}</h1><p>{text}</p></body></html>"""
_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nConnection: close\r\n"
)
Take = Callable[[dict[str, str]], Awaitable[str | None]]
"""Takes the query of a redirect; answers what the page says, or None for one that is not the answer."""


def redirect_uri(port: int) -> str:
    """Answer the URL that a product redirects to."""
    return f"http://{HOST}:{port}{PATH}"


class Listener:
    """Waits for the one answer that `take` takes; whatever else comes is refused, and waiting goes on."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lock = asyncio.Lock()

    async def wait(self, seconds: float) -> None:
        """Wait until an answer was taken. Raises `TimeoutError`, and what `take` raised."""
        async with asyncio.timeout(seconds):
            await self._taken

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            async with asyncio.timeout(30):
                status, title, text = await self._answer(await reader.readuntil(b"\r\n\r\n"))
                page = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
                head = f"HTTP/1.1 {status}\r\n{_HEADERS}Content-Length: {len(page)}\r\n\r\n"
                writer.write(head.encode() + page)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a browser that went away, or something that is none
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, head: bytes) -> tuple[str, str, str]:
        method, _, rest = head.decode("latin-1").partition(" ")
        target = urlsplit(rest.split(" ", 1)[0])
        if method != "GET" or target.path != PATH:
            return "404 Not Found", "Nothing here", "Linkspan waits for a redirect, and this is none."
        async with self._lock:
            if self._taken.done():
                return "410 Gone", "Used already", "This link was used; go back to the command line."
            try:
                said = await self._take(dict(parse_qsl(target.query, keep_blank_values=True)))
            except LinkspanError as error:
                self._taken.set_exception(error)
                return "400 Bad Request", "Not linked", error.message
            except BaseException as error:
                self._taken.set_exception(error)
                raise
            if said is None:
                return "400 Bad Request", "Not linked", "This is not the answer that Linkspan waits for."
            self._taken.set_result(None)
            return "200 OK", "Done", f"{said} You can close this window."


@asynccontextmanager
async def listening(port: int, take: Take) -> AsyncIterator[Listener]:
    """Listen until the block ends. Raises `ConfigurationError` for a port that is taken."""
    listener = Listener(take)
    try:
        server = await asyncio.start_server(listener.serve, HOST, port, limit=32_768)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {HOST}:{port}: {error.strerror or error}",
            hint="Choose another with --callback-port, one that the product knows too.",
        ) from error
    async with server:
        yield listener
