"""What a page says and hears on its WebSockets, and whether it is what a protocol says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, WebSocket

from tests.servers.protocol import Conversation, Protocol

Json = dict[str, Any]


@dataclass
class Overheard:
    """What a page says and hears on its sockets, each socket by itself."""

    sockets: list[list[tuple[str, Json]]] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> Overheard:
        """Listen to a page's sockets from now on."""
        heard = cls()
        page.on("websocket", heard._listen)
        return heard

    def _listen(self, socket: WebSocket) -> None:
        said: list[tuple[str, Json]] = []
        self.sockets.append(said)
        socket.on("framesent", lambda text: said.append(("sent", json.loads(text))))
        socket.on("framereceived", lambda text: said.append(("came", json.loads(text))))

    def methods(self) -> set[str]:
        """Answer what the page has asked."""
        return {
            message["method"]
            for said in self.sockets
            for side, message in said
            if side == "sent" and "method" in message
        }

    def check(self, protocol: Protocol) -> None:
        """Hold all of it against a protocol."""
        for said in self.sockets:
            conversation = Conversation(protocol)
            for side, message in said:
                (conversation.sent if side == "sent" else conversation.came)(message)
