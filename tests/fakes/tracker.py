"""A small tracker in memory: users with tokens, tickets per organisation, and faults on demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


@dataclass
class Tracker:
    """Two organisations, `acme` and `globex`, with a token each; tickets 1 to 7 in every one."""

    tokens: dict[str, str] = field(
        default_factory=lambda: {
            f"{word}-{tenant}": tenant for word in ("canary", "token") for tenant in ("acme", "globex")
        }
    )
    tickets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    comments: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: list[Response | float] = field(default_factory=list)
    """What the next requests are answered with, first come first served; a number is seconds of waiting."""
    cut_off: int = 0
    """How many requests were abandoned by their client while they waited."""

    def __post_init__(self) -> None:
        states = ("open", "wip", "fixed")
        self.tickets = {
            org: [
                {"id": n, "subject": f"{org} ticket {n}", "state": states[n % 3], "etag": 1}
                for n in range(1, 8)
            ]
            for org in self.tokens.values()
        }

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/api/me", self._me),
                Route("/api/tickets", self._list),
                Route("/api/tickets", self._create, methods=["POST"]),
                Route("/api/tickets/{id}", self._get),
                Route("/api/tickets/{id}", self._update, methods=["PATCH"]),
                Route("/api/tickets/{id}/comments", self._comment, methods=["POST"]),
            ]
        )

    async def _enter(self, request: Request) -> str | Response:
        """Answer the organisation of the caller, or what it is refused with."""
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Response):
                return fault
            try:
                await asyncio.sleep(fault)
            except asyncio.CancelledError:
                self.cut_off += 1
                raise
        word = request.headers.get("authorization", "").removeprefix("Bearer ")
        org = self.tokens.get(word)
        return org or JSONResponse({"error": {"message": "bad token"}}, 401)

    async def _me(self, request: Request) -> Response:
        org = await self._enter(request)
        return org if isinstance(org, Response) else JSONResponse({"id": org, "email": f"bot@{org}.example"})

    async def _list(self, request: Request) -> Response:
        org = await self._enter(request)
        if isinstance(org, Response):
            return org
        start, size = int(request.query_params.get("cursor", 0)), int(request.query_params.get("limit", 3))
        states = request.query_params.getlist("state")
        found = [ticket for ticket in self.tickets[org] if not states or ticket["state"] in states]
        end = start + size
        return JSONResponse({"tickets": found[start:end], "next": str(end) if end < len(found) else None})

    def _find(self, org: str, request: Request) -> dict[str, Any] | None:
        return next((t for t in self.tickets[org] if str(t["id"]) == request.path_params["id"]), None)

    async def _get(self, request: Request) -> Response:
        org = await self._enter(request)
        if isinstance(org, Response):
            return org
        ticket = self._find(org, request)
        if ticket is None:
            return JSONResponse({"error": {"message": "no such ticket"}}, 404)
        return JSONResponse({"ticket": ticket}, headers={"ETag": f'"{ticket["etag"]}"'})

    async def _create(self, request: Request) -> Response:
        org = await self._enter(request)
        if isinstance(org, Response):
            return org
        if (said := await _said(request)) is None:
            return JSONResponse({"error": {"message": "this is no ticket"}}, 400)
        ticket = {"id": len(self.tickets[org]) + 1, "state": "open", "etag": 1, **said}
        self.tickets[org].append(ticket)
        return JSONResponse({"ticket": ticket}, 201)

    async def _update(self, request: Request) -> Response:
        org = await self._enter(request)
        if isinstance(org, Response):
            return org
        ticket = self._find(org, request)
        if ticket is None:
            return JSONResponse({"error": {"message": "no such ticket"}}, 404)
        if request.headers.get("if-match") != f'"{ticket["etag"]}"':
            return JSONResponse({"error": {"message": "it was changed"}}, 412)
        if (said := await _said(request)) is None:
            return JSONResponse({"error": {"message": "this is no ticket"}}, 400)
        ticket.update({**said, "etag": ticket["etag"] + 1})
        return JSONResponse({"ticket": ticket})

    async def _comment(self, request: Request) -> Response:
        org = await self._enter(request)
        if isinstance(org, Response):
            return org
        if (said := await _said(request)) is None:
            return JSONResponse({"error": {"message": "this is no comment"}}, 400)
        self.comments.append((org, request.path_params["id"], said))
        return JSONResponse({"id": len(self.comments), "text": "kept"}, 201)


async def _said(request: Request) -> dict[str, Any] | None:
    """Answer the object that was sent; None for anything else."""
    try:
        said = await request.json()
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def too_many(seconds: str | None) -> Response:
    """Answer 429, with Retry-After or without."""
    headers = {"Retry-After": seconds} if seconds else {}
    return JSONResponse({"error": {"message": "slow down"}}, 429, headers=headers)


def sign_in_page() -> Response:
    """Answer what a product answers whose session is over: a page instead of data."""
    return HTMLResponse("<!doctype html><title>Sign in</title><form></form>", 200)


def crash() -> Response:
    """Answer a failure that shows a program's insides."""
    return PlainTextResponse('Traceback (most recent call last):\n  File "/srv/app.py", line 3, in x', 500)


def patient(folder: Path, site: str = "") -> Path:
    """Write its tools.yaml into a folder, with time for a busy machine instead of a second for an answer."""
    text = Path(__file__).with_suffix(".yaml").read_text().replace("timeout: 1s", "timeout: 30s")
    path = folder / "tracker.yaml"
    path.write_text(text.replace("http://tracker.example", site) if site else text)
    return path
