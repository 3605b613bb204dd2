"""The SDK's decorated server with one httpx2 client. The page is passed on as text."""

import json
from pathlib import Path
from typing import Literal

import httpx2
from mcp.server import MCPServer
from starlette.applications import Starlette


def build(upstream: str, definitions: str | None = None) -> Starlette:
    client = httpx2.AsyncClient(base_url=upstream, limits=httpx2.Limits(max_connections=64))
    mcp = MCPServer("mcpserver", log_level="WARNING")

    async def list_tickets(project: str, status: Literal["open", "done"]) -> str:
        """List tickets."""
        response = await client.get(
            f"/projects/{project}/tickets",
            params={"status": status},
            headers={"Authorization": "Bearer upstream-key"},
        )
        response.raise_for_status()
        return response.text

    if definitions:
        for tool in json.loads(Path(definitions).read_text()):
            mcp.add_tool(
                list_tickets, name=tool["name"], description=tool["description"], structured_output=False
            )
    else:
        mcp.add_tool(list_tickets, structured_output=False)
    return mcp.streamable_http_app(json_response=True, stateless_http=True)
