"""A product that leaves things out: issues that do not name their project, no way to get one, told addresses.

It is at two addresses, a host for each way to connect, and says whose a token is by GraphQL alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEPT = {"red": ["First", "Second"], "blue": ["Third"]}
FILES = {
    "own": "http://shelf.example/raw/1?sig=a%2Fb",
    "relative": "/raw/1",
    "store": "https://files.example/pre-signed/1",
    "foreign": "https://elsewhere.example/1",
    "inward": "http://127.0.0.1:1/1",
    "user": "http://me@shelf.example/1",
    "none": None,
    "number": 5,
    "bracket": "[file.url]",
    "script": "javascript:alert(1)",
}


@dataclass
class Shelf:
    """What it was asked, with the credential of each request."""

    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def app(self) -> Starlette:
        """Answer the ASGI application, whatever the host."""
        return Starlette(
            routes=[
                Route("/graphql", self._who, methods=["POST"]),
                Route("/site/session", self._session, methods=["POST"]),
                Route("/sites", self._sites),
                Route("/{site}/api/projects/{project}/issues", self._issues),
                Route("/api/projects/{project}/issues", self._issues),
                Route("/api/projects/{project}/issues", self._add, methods=["POST"]),
                Route("/api/projects/{project}/issues/{number:int}/notes", self._note, methods=["POST"]),
                Route("/api/files/{name}", self._file),
                Route("/api/since", self._since),
                Route("/raw/1", self._raw),
                Route("/pre-signed/1", self._raw),
            ]
        )

    def _saw(self, request: Request) -> None:
        host = request.headers["host"]
        self.asked.append((host, str(request.url.path), request.headers.get("authorization")))

    async def _who(self, request: Request) -> Response:
        self._saw(request)
        asked = await request.json()
        self.bodies.append(asked)
        if not str(request.headers.get("authorization")).startswith("Bearer canary"):
            return JSONResponse({"errors": [{"message": "bad token"}]}, 401)
        return JSONResponse({"data": {"viewer": {"id": "u1", "email": "ann@acme.example"}}})

    async def _session(self, request: Request) -> Response:
        self._saw(request)
        self.bodies.append((await request.body()).decode())
        return JSONResponse({"user": {"id": "u2", "name": "Bob"}})

    async def _sites(self, request: Request) -> Response:
        self._saw(request)
        return JSONResponse([{"id": "cloud-7", "name": "Acme"}])

    async def _issues(self, request: Request) -> Response:
        self._saw(request)
        titles = KEPT.get(request.path_params["project"])
        if titles is None:
            return JSONResponse({"message": "no such project"}, 404)
        issues = [{"number": number, "title": title} for number, title in enumerate(titles, 1)]
        return JSONResponse({"issues": issues})

    async def _add(self, request: Request) -> Response:
        self._saw(request)
        return JSONResponse({"number": 9, "title": (await request.json())["title"]}, 201)

    async def _note(self, request: Request) -> Response:
        self._saw(request)
        return JSONResponse({"id": 3, "text": (await request.json())["text"]}, 201)

    async def _file(self, request: Request) -> Response:
        self._saw(request)
        return JSONResponse({"name": request.path_params["name"], "url": FILES[request.path_params["name"]]})

    async def _since(self, request: Request) -> Response:
        self._saw(request)
        query = dict(request.query_params)
        self.bodies.append(query)
        more = {"next": "2"} if "cursor" not in query else {}
        return JSONResponse({"issues": [{"number": 1, "title": json.dumps(query)}], **more})

    async def _raw(self, request: Request) -> Response:
        self._saw(request)
        return Response("line one\n", media_type="text/plain")
