"""FastMCP's way to say "this HTTP API": a server made from an OpenAPI description, with one httpx2 client."""

import json
from pathlib import Path

import httpx2
from fastmcp import FastMCP
from starlette.applications import Starlette

PARAMETERS = [
    {"name": "project", "in": "path", "required": True, "schema": {"type": "string"}},
    {"name": "status", "in": "query", "schema": {"type": "string", "enum": ["open", "done"]}},
]


def build(upstream: str, definitions: str | None = None) -> Starlette:
    client = httpx2.AsyncClient(
        base_url=upstream,
        headers={"Authorization": "Bearer upstream-key"},
        limits=httpx2.Limits(max_connections=64),
    )
    if definitions:
        names = [(tool["name"], tool["description"]) for tool in json.loads(Path(definitions).read_text())]
    else:
        names = [("list_tickets", "List tickets.")]
    paths = {
        "/projects/{project}/tickets" + "/" * number: {
            "get": {
                "operationId": name,
                "summary": description,
                "parameters": PARAMETERS,
                "responses": {"200": {"description": "A page of tickets"}},
            }
        }
        for number, (name, description) in enumerate(names)
    }
    description = {"openapi": "3.1.0", "info": {"title": "Desk", "version": "1"}, "paths": paths}
    mcp = FastMCP.from_openapi(description, client=client, name="fastmcp")
    return mcp.http_app(path="/mcp", json_response=True, stateless_http=True)
