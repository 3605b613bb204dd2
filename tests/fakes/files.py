"""A product with attachments: uploads as browsers send them, downloads by way of another host, ETags.

Its file store takes no credential and refuses requests that bring one, as pre-signed addresses do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))


@dataclass
class Files:
    """The attachments by id, and how often a list was really made."""

    kept: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "1": {"id": "1", "name": "shot.png", "type": "image/png", "data": PNG},
            "2": {"id": "2", "name": "log.txt", "type": "text/plain; charset=utf-8", "data": "é\n".encode()},
            "3": {"id": "3", "name": "data.json", "type": "application/json", "data": b'{"a": 1}'},
            "4": {"id": "4", "name": "a.zip", "type": "application/zip", "data": b"PK\x03\x04"},
            "5": {"id": "5", "name": "big.bin", "type": "application/octet-stream", "data": b"x" * 5000},
            "6": {"id": "6", "name": "page.html", "type": "text/html", "data": b"<html><body>sign in</body>"},
        }
    )
    version: int = 1
    made: int = 0

    def app(self) -> Starlette:
        """Answer the ASGI application, which is both hosts."""
        return Starlette(
            routes=[
                Route("/files", self._list),
                Route("/files", self._upload, methods=["POST"]),
                Route("/files/{id}", self._one),
                Route("/files/{id}", self._put, methods=["PUT"]),
                Route("/files/{id}/content", self._content),
                Route("/elsewhere/content", self._elsewhere),
                Route("/store/{id}", self._store),
            ]
        )

    async def _list(self, request: Request) -> Response:
        who = request.headers["authorization"].removeprefix("Bearer ")
        etag = f'"{who}-{self.version}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"ETag": etag, "X-RateLimit-Remaining": "9"})
        self.made += 1
        shown = [_shown(one) for one in self.kept.values()]
        return JSONResponse({"files": shown}, headers={"ETag": etag, "X-RateLimit-Remaining": "5"})

    async def _one(self, request: Request) -> Response:
        return JSONResponse(_shown(self.kept[request.path_params["id"]]))

    async def _upload(self, request: Request) -> Response:
        async with request.form() as form:
            file = form["attachment"]
            if not isinstance(file, UploadFile):
                return JSONResponse({"error": "attachment must be a file"}, 400)
            made = {"id": str(len(self.kept) + 1), "name": file.filename, "type": file.content_type}
            self.kept[made["id"] or ""] = {**made, "data": await file.read(), "labels": form.getlist("label")}
            return JSONResponse({**made, "note": form.get("note")}, 201)

    async def _put(self, request: Request) -> Response:
        one = self.kept[request.path_params["id"]]
        one |= {"data": await request.body(), "type": request.headers["content-type"]}
        return JSONResponse(_shown(one))

    async def _content(self, request: Request) -> Response:
        if "authorization" not in request.headers:
            return JSONResponse({"error": "who are you"}, 401)
        return RedirectResponse(f"https://store.example/store/{request.path_params['id']}?signature=s", 302)

    async def _elsewhere(self, request: Request) -> Response:
        return RedirectResponse("https://evil.example/store/1", 302)

    async def _store(self, request: Request) -> Response:
        if "authorization" in request.headers:
            return Response("Only one auth mechanism allowed", 400)
        one = self.kept[request.path_params["id"]]
        return Response(one["data"], headers={"Content-Type": one["type"]})


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    return {"id": one["id"], "name": one["name"], "type": one["type"], "size": len(one["data"])}
