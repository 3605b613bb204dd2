"""The baseline: the SDK's low-level server and one httpx2 client, as its documentation writes it.

It does less than Linkspan on purpose: no token, no check of arguments, the product's page passed on as text.
"""

import json
from pathlib import Path

import httpx2
from mcp import types
from mcp.server.lowlevel import Server
from starlette.applications import Starlette

SCHEMA = {
    "type": "object",
    "properties": {"project": {"type": "string"}, "status": {"type": "string", "enum": ["open", "done"]}},
    "required": ["project"],
}


def build(upstream: str, definitions: str | None = None) -> Starlette:
    client = httpx2.AsyncClient(base_url=upstream, limits=httpx2.Limits(max_connections=64))
    if definitions:
        tools = [types.Tool.model_validate(tool) for tool in json.loads(Path(definitions).read_text())]
    else:
        tools = [types.Tool(name="list_tickets", description="List tickets.", input_schema=SCHEMA)]
    schemas = {tool.name: tool.input_schema for tool in tools}

    async def list_tools(_context, _params) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(_context, params) -> types.CallToolResult:
        arguments = params.arguments
        response = await client.get(
            f"/projects/{arguments['project']}/tickets",
            params={"status": arguments["status"]},
            headers={"Authorization": "Bearer upstream-key"},
        )
        response.raise_for_status()
        return types.CallToolResult(content=[types.TextContent(type="text", text=response.text)])

    server = Server(
        "lowlevel", on_list_tools=list_tools, on_call_tool=call_tool, get_tool_input_schema=schemas.get
    )
    return server.streamable_http_app(json_response=True, stateless_http=True)
