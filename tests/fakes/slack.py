"""As much of Slack as posting a message needs."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TOKEN = "canary-slack-token"


class Slack:
    """What was posted, as channel and text."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def app(self) -> Starlette:
        """Answer its API."""

        async def auth(_: Request) -> JSONResponse:
            return JSONResponse({"ok": True, "team_id": "T1", "user_id": "U1", "team": "Acme"})

        async def post(request: Request) -> JSONResponse:
            assert request.headers["authorization"] == f"Bearer {TOKEN}"
            told = await request.json()
            self.said.append((told["channel"], told["text"]))
            return JSONResponse({"ok": True, "ts": "1.1", "message": {"ts": "1.1", "text": told["text"]}})

        return Starlette(
            routes=[
                Route("/api/auth.test", auth, methods=["POST"]),
                Route("/api/chat.postMessage", post, methods=["POST"]),
            ]
        )
