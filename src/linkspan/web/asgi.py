"""The one ASGI application: MCP goes straight to its endpoint, the rest through Starlette's routing."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

METADATA = "/.well-known/oauth-protected-resource/t/"


class Front:
    """Sends `/t/{tenant}/mcp` to the MCP endpoint without a router in between, which a hot path would pay."""

    def __init__(self, mcp: ASGIApp, metadata: ASGIApp, rest: ASGIApp) -> None:
        self._mcp = mcp
        self._metadata = metadata
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith("/t/") and path.endswith("/mcp"):
                await self._mcp(scope, receive, send)
                return
            if path.startswith(METADATA):
                await self._metadata(scope, receive, send)
                return
        await self._rest(scope, receive, send)
