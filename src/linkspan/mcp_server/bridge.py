"""What `mcp run` wants to find: an `MCPServer`. Everything is answered by our own servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer


class Bridge(MCPServer):
    """Stands for Linkspan in `mcp run FILE`. The functions serve until done and answer an exit code."""

    def __init__(self, stdio: Callable[[], int], serve: Callable[[], int]) -> None:
        super().__init__("linkspan", log_level="ERROR")
        self._stdio = stdio
        self._serve = serve

    def run(self, transport: str = "stdio", **_options: Any) -> None:
        """Serve. Options of the transports are Linkspan's own settings (LINKSPAN_HOST, LINKSPAN_PORT …)."""
        raise SystemExit(self._stdio() if transport == "stdio" else self._serve())
