"""HTTP/1.1 as uvicorn speaks it, with half the trips to the operating system.

uvicorn writes the head of an answer and then its body; uvloop sends each at once, so that every answer is two
system calls, two packets, and for the client two things to wake up for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a transport that joins what is written one after the other."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(JoiningTransport(transport, self.loop.call_soon))


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, where a handshake that was refused with an answer is no error.

    uvicorn takes such a one for never answered, and would log an error that anybody can cause.
    """

    async def send(self, message: Any) -> None:
        """Send a message."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


class JoiningTransport(asyncio.Transport):
    """Holds what is written until more is, or until the loop's next turn: whichever comes first."""

    __slots__ = ("_held", "_soon", "_transport")

    def __init__(self, transport: asyncio.Transport, soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport = transport
        self._soon = soon
        self._held: bytes | None = None

    def write(self, data: Any) -> None:
        """Send soon, or at once together with what is held."""
        held = self._held
        if held is None:
            self._held = data
            self._soon(self._let_go)
        else:
            self._held = None
            self._transport.writelines((held, data))

    def _let_go(self) -> None:
        held = self._held
        if held is not None:
            self._held = None
            self._transport.write(held)

    def close(self) -> None:
        """Send what is held and close."""
        self._let_go()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what is held is lost."""
        self._held = None
        self._transport.abort()

    def is_closing(self) -> bool:
        """Tell whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Answer what the transport knows: socket, peername and so on."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Answer the protocol that has the connection."""
        return self._transport.get_protocol()
