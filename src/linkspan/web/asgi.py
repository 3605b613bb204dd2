"""The one ASGI application: calls go straight to their doors, the rest through Starlette's routing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linkspan.errors import Forbidden, NotFound
from linkspan.web.failures import told
from linkspan.web.passing import REQUEST_ID, request_id_of

METADATA = "/.well-known/oauth-protected-resource/t/"
Refusal = Callable[[Scope], int]
"""Answers 0, or the HTTP status that refuses a request for its Host (421) or Origin (403)."""
_OPEN = ("/healthz", "/readyz")
"""What load balancers ask by address; it tells nothing."""
_FOR_ANY_ORIGIN = re.compile(
    r"(/t/[^/]+)?/\.well-known/.*|/t/[^/]+/oauth/(token|revoke|register)|/static/linkspan(/[a-z]+)?\.(js|d\.ts)"
    r"|/t/[^/]+/views/[^/]+(/progress)?"
)
"""What programs in a browser may ask wherever they come from: it takes no cookie (web/oauth/routes.py); and
what view tokens open, each of which names its origins (web/watch/views.py)."""
_SOCKETS = re.compile(r"/t/[^/]+/codex")
"""Where WebSockets are taken; whose pages may is said by the token that they show (web/session/socket.py)."""
_MISDIRECTED = NotFound("this server is not reached under that name", hint="Set LINKSPAN_PUBLIC_URL.")
_FOREIGN = Forbidden("pages of another origin may not call this server", hint="Set LINKSPAN_PUBLIC_URL.")


class Front:
    """Sends `/t/{tenant}/mcp` and the doors to the products where they go, without a router in between.

    It would look through a hundred addresses of pages before it came to these.
    """

    def __init__(
        self, mcp: ASGIApp, metadata: ASGIApp, doors: Mapping[str, ASGIApp], rest: ASGIApp, refusal: Refusal
    ) -> None:
        """`doors` are by the first word of their paths.

        `refusal` judges Host and Origin of what goes to them and to `rest`; the other two do so themselves.
        """
        self._doors = doors
        self._mcp = mcp
        self._metadata = metadata
        self.rest = rest
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection; whatever is answered has the id of its request (`X-Request-Id`)."""
        if scope["type"] == "http":
            send = _identified(send, request_id_of(scope))
            path: str = scope["path"]
            if path.startswith("/t/") and path.endswith("/mcp"):
                await self._mcp(scope, receive, send)
                return
            if path.startswith(METADATA):
                await self._metadata(scope, receive, send)
                return
            status = 0 if path in _OPEN else self._refusal(scope)
            if status == 421 or (status and not _FOR_ANY_ORIGIN.fullmatch(path)):
                error = _MISDIRECTED if status == 421 else _FOREIGN
                shown, body, headers = told(error, request_id_of(scope), status=status)
                await Response(body, shown, headers)(scope, receive, send)
                return
            door = self._doors.get(path[1:].partition("/")[0])
            if door is not None:
                await door(scope, receive, send)
                return
        elif scope["type"] == "websocket" and (
            not _SOCKETS.fullmatch(scope["path"]) or self._refusal(scope) == 421
        ):
            await send({"type": "websocket.close"})  # before it was accepted: 403
            return
        await self.rest(scope, receive, send)


def _identified(send: Send, request_id: str) -> Send:
    """Answer a `send` that puts the id into the head of the answer, unless a door has done so itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name != REQUEST_ID for name, _ in headers):
                headers.append((REQUEST_ID, request_id.encode()))
                message = {**message, "headers": headers}
        await send(message)

    return sending
