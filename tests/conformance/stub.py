"""What the fixture is declared against: a product that answers a few shapes, to whoever asks."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


async def me(request: Request) -> Response:
    return JSONResponse({"id": "1", "name": "Conformance"})


async def image(request: Request) -> Response:
    return Response(PIXEL, media_type="image/png")


async def mixed(request: Request) -> Response:
    return JSONResponse({"test": "data", "value": 123})


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.1)
    return JSONResponse({})


async def broken(request: Request) -> Response:
    return JSONResponse({"message": "This tool intentionally returns an error for testing"}, status_code=500)


async def data(request: Request) -> Response:
    id_ = request.path_params["id"]
    return JSONResponse({"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"})


def stub(config: Path) -> Starlette:
    """The product. `POST /edit` is somebody who edits the tools.yaml that Linkspan serves."""

    def edit(request: Request) -> Response:
        edited = config.with_suffix(".edited")
        edited.write_text(f"{config.read_text()}# edited\n")
        edited.replace(config)
        return JSONResponse({})

    routes = [
        Route("/me", me),
        Route("/image", image),
        Route("/mixed", mixed),
        Route("/slow", slow),
        Route("/broken", broken),
        Route("/data/{id}", data),
        Route("/edit", edit, methods=["POST"]),
    ]
    return Starlette(routes=routes)
