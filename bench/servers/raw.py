"""The least that a Python server can do for tools/list: Starlette, the id read, prepared bytes answered."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def build(_upstream: str, definitions: str) -> Starlette:
    result = b'{"tools":%s}' % Path(definitions).read_bytes()

    async def answer(request: Request) -> Response:
        message = await request.json()
        body = b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (message["id"], result)
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/mcp", answer, methods=["POST"])])
