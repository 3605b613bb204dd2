"""A spent quota and a rate limit have one status, and are told apart at every door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from linkspan import spec
from linkspan.app import build
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport

FILE = {
    "linkspan": 1,
    "name": "models",
    "instructions": "List the models of OpenAI.",
    "connectors": {"openai": {"use": "openai"}},
    "entities": {
        "model": {
            "title": "Model",
            "plural": "models",
            "fields": {"id": "string"},
            "sources": {
                "openai": {
                    "fields": {"id": "id"},
                    "operations": {
                        "list": {"description": "List models.", "request": "GET /models", "items": "data"}
                    },
                }
            },
        }
    },
}
SPENT = {"message": "You exceeded your quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
LIMIT = {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}
WINDOW = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
"""What stands beside either: nothing is left, and a time."""
HEADERS = {**WINDOW, "x-ratelimit-reset-requests": "90s", "retry-after": "90"}


@dataclass
class OpenAI:
    """Refuses while `error` is there."""

    error: Mapping[str, str] | None = None
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer whatever is asked with the models, or with the refusal."""
        self.asked += 1
        answer = JSONResponse({"object": "list", "data": [{"id": "gpt-test"}], "has_more": False})
        if self.error is not None:
            answer = JSONResponse({"error": self.error}, 429, HEADERS)
        await answer(scope, receive, send)


@dataclass
class Doors:
    """Linkspan with one linked key, and its three doors; each answers the code of its failure, or nothing."""

    openai: OpenAI
    http: httpx2.AsyncClient

    async def through(self, door: str) -> tuple[str | None, Mapping[str, Any]]:
        """Ask for the models."""
        if door == "mcp":
            call = {"name": "list_models", "arguments": {}}
            asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            told = (await self.http.post("/t/acme/mcp", json=asked)).json()["result"]
            if not told.get("isError"):
                return None, {}
            found = told.get("structuredContent") or json.loads(told["content"][-1]["text"])
            return found["error"]["code"], found["error"]
        path = "/proxy/openai/models" if door == "proxy" else "/unified/custom/models"
        answer = (await self.http.get(path)).json()
        return answer.get("code"), answer.get("error", {})


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    """With a key at an OpenAI that is in this process."""
    file, openai = tmp_path / "tools.yaml", OpenAI()
    file.write_text(yaml.safe_dump(FILE))
    transport = AsgiTransport(openai)

    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=transport,
    )
    tenant = await app.tenants.add("acme")
    await app.accounts.link(tenant, app.catalog.connectors["openai"], secrets={"token": "canary-sk"})
    token = (await app.tokens.create(tenant, subject="backend")).text.reveal()
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    served = httpx2.ASGITransport(app=Watched(Serving(app).asgi))
    async with httpx2.AsyncClient(
        transport=served, base_url="http://127.0.0.1:8640", headers=headers
    ) as http:
        yield Doors(openai, http)
    await app.aclose()


@pytest.mark.parametrize("door", ["mcp", "rest", "proxy"])
async def test_a_spent_quota_is_told_at_once_and_holds_nothing_back(doors: Doors, door: str) -> None:
    """It is asked once, nobody waits, and whoever has paid meanwhile is let through by the next request."""
    doors.openai.error = SPENT
    code, error = await doors.through(door)
    assert code == "quota_exceeded"
    assert "You exceeded your quota." in error["message"]
    if door != "proxy":  # where `error` is the product's own
        assert error["message"].endswith("Waiting does not help: see its plan and billing.")
    assert doors.openai.asked == 1
    doors.openai.error = None
    assert await doors.through(door) == (None, {})
    assert doors.openai.asked == 2


@pytest.mark.parametrize("door", ["mcp", "rest", "proxy"])
async def test_a_rate_limit_is_told_with_its_wait_and_heeded(doors: Doors, door: str) -> None:
    """The same headers with the other word: the next request is not sent."""
    doors.openai.error = LIMIT
    code, error = await doors.through(door)
    assert (code, error["retry_after"]) == ("rate_limited", 90)
    doors.openai.error = None
    code, error = await doors.through(door)
    assert code == "rate_limited"
    assert 80 < error["retry_after"] < 91
    assert doors.openai.asked == 1
