"""A tiny MCP server over stdio, to test what drives Codex without any code of ours in between."""

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("tiny", instructions="Tickets of the tiny desk: search tickets by a word.")


@server.tool(description="Search tickets by a word.", annotations=ToolAnnotations(read_only_hint=True))
def search_tickets(query: str) -> dict[str, Any]:
    """Answer one ticket with the word as its title."""
    return {"result": [{"id": "1", "title": query}], "next_cursor": None}


if __name__ == "__main__":
    server.run()
