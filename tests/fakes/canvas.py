"""A design product in memory that behaves like Figma's REST API, as its description (0.43.0) has it.

It holds one file. It refuses what Figma refuses: a token it does not know (403), a file or a node that is not
there (404, 400), variables without the Enterprise plan (403). Pictures are rendered to addresses of their
own, which anybody may read who has them, and which answer no request that bears a credential.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
WHO = {"id": "77", "handle": "bot", "img_url": "", "email": "bot@acme.example"}


def png(colour: tuple[int, int, int]) -> bytes:
    """Answer a picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(colour))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@dataclass
class Canvas:
    """Everything of it."""

    token: str
    url: str = ""
    key: str = "aB3xY"
    name: str = "Shop"
    pages: list[Json] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)
    variables: Json | None = None
    """None: this plan has none."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """By node."""
    wrong: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        file = "/v1/files/{key}"
        return Starlette(
            routes=[
                Route("/v1/me", self._me),
                Route(f"{file}/nodes", self._nodes),
                Route(f"{file}/meta", self._meta),
                Route(f"{file}/comments", self._list_comments, methods=["GET"]),
                Route(f"{file}/comments", self._comment, methods=["POST"]),
                Route(f"{file}/variables/local", self._variables),
                Route(file, self._file),
                Route("/v1/images/{key}", self._images),
                Route("/pictures/{node}.png", self._picture),
            ]
        )

    def node(self, identified: str) -> Json | None:
        """Answer a node of the file."""
        return next((node for node in _walk(self.pages) if node["id"] == identified), None)

    def _refused(self, request: Request) -> Response | None:
        if request.headers.get("x-figma-token") != self.token:
            return JSONResponse({"status": 403, "err": "Invalid token"}, 403)
        if request.path_params.get("key", self.key) != self.key:
            return JSONResponse({"status": 404, "err": "Not found"}, 404)
        return None

    async def _me(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(WHO)

    async def _meta(self, request: Request) -> Response:
        url = f"https://www.figma.com/design/{self.key}/{self.name}"
        meta = {"name": self.name, "folder_name": "Team", "version": "9", "url": url}
        meta["last_touched_at"] = "2026-11-20T08:00:00Z"
        return self._refused(request) or JSONResponse({"file": meta})

    async def _file(self, request: Request) -> Response:
        depth = int(request.query_params.get("depth", "99"))
        document = {"id": "0:0", "name": "Document", "type": "DOCUMENT", "children": self.pages}
        told = {"name": self.name, "version": "9", "document": _cut(document, depth)}
        return self._refused(request) or JSONResponse(told)

    async def _nodes(self, request: Request) -> Response:
        found = self.node(request.query_params.get("ids", ""))
        if (refused := self._refused(request)) is not None:
            return refused
        if found is None:
            return JSONResponse({"status": 404, "err": "Node not found"}, 404)
        told = {"document": found, "components": {}, "styles": {}}
        return JSONResponse({"name": self.name, "version": "9", "nodes": {found["id"]: told}})

    async def _variables(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        if self.variables is None:
            message = "Limited by Figma plan"
            return JSONResponse({"status": 403, "error": True, "message": message}, 403)
        return JSONResponse({"status": 200, "error": False, "meta": self.variables})

    async def _images(self, request: Request) -> Response:
        ids = request.query_params.get("ids", "").split(",")
        if any(self.node(each) is None for each in ids):
            return JSONResponse({"status": 400, "err": "No such node"}, 400)
        images = {each: f"{self.url}/pictures/{each.replace(':', '-')}.png" for each in ids}
        return self._refused(request) or JSONResponse({"err": None, "images": images})

    async def _picture(self, request: Request) -> Response:
        found = self.pictures.get(request.path_params["node"].replace("-", ":"))
        if found is None:
            return Response(status_code=404)
        return Response(found, media_type="image/png")

    async def _list_comments(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"comments": self.comments})

    async def _comment(self, request: Request) -> Response:
        said = await request.json()
        if (refused := self._refused(request)) is not None:
            return refused
        if not said.get("message"):
            return JSONResponse({"status": 400, "err": "message is missing"}, 400)
        made = {
            "id": str(len(self.comments) + 1),
            "file_key": self.key,
            "message": said["message"],
            "user": WHO,
            "created_at": "2026-11-20T09:00:00Z",
            "resolved_at": None,
            "client_meta": said.get("client_meta"),
            "reactions": [],
            "order_id": None,
        }
        self.comments.append(made)
        return JSONResponse(made)


def _walk(nodes: list[Json]) -> Iterator[Json]:
    for node in nodes:
        yield node
        yield from _walk(node.get("children", []))


def _cut(node: Json, depth: int) -> Json:
    children = [_cut(each, depth - 1) for each in node.get("children", [])] if depth > 0 else None
    return {key: value for key, value in {**node, "children": children}.items() if value is not None}
