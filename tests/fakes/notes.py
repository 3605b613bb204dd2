"""A place for notes, in folders that must be made first."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@dataclass
class Notes:
    """Notes and folders of one person, alice."""

    folders: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    is_full: bool = False

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/people", self._people),
                Route("/folders", self._make_folder, methods=["POST"]),
                Route("/folders/{name}", self._folder),
                Route("/notes", self._list),
                Route("/notes", self._write, methods=["POST"]),
            ]
        )

    def _person(self, request: Request) -> str:
        word = request.headers["authorization"].removeprefix("Basic ")
        return base64.b64decode(word).decode().partition(":")[0]

    async def _people(self, request: Request) -> JSONResponse:
        name = request.query_params["name"]
        return JSONResponse([{"id": f"p-{name}", "name": name}] if name == self._person(request) else [])

    async def _make_folder(self, request: Request) -> JSONResponse:
        if self.is_full:
            return JSONResponse({"error": "no more folders"}, 409)
        self.folders.append((await request.json())["name"])
        return JSONResponse({"made": {"id": f"f-{self.folders[-1]}"}}, 201)

    async def _folder(self, request: Request) -> JSONResponse:
        return JSONResponse({"id": f"f-{request.path_params['name']}"})

    async def _list(self, request: Request) -> JSONResponse:
        folder = request.query_params["folder"]
        return JSONResponse([note for note in self.notes if note.get("folder") == folder])

    async def _write(self, request: Request) -> JSONResponse:
        self.notes.append({"id": len(self.notes) + 1, **await request.json()})
        return JSONResponse(self.notes[-1], 201)
