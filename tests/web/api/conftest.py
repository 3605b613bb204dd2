"""The management API of a Linkspan with two tenants, in process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import spec
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker
from tests.store.engines import Engine, Postgres

FILE = Path(__file__).parents[2] / "fakes/tracker.yaml"
SHAPE = {
    *("error", "statusCode", "code", "message", "request_id", "is_remote_error", "truto_is_remote_error"),
}
BASE = "http://127.0.0.1:8640"


def opened(told: Any) -> Any:
    """A list as it is, or what is in the envelope of a single thing; there is nothing else."""
    if "next_cursor" in told:
        return told
    assert set(told) == {"result"}, told
    return told["result"]


@dataclass
class Api:
    """Calls with an admin key, or with what a test gives instead."""

    app: App
    http: httpx2.AsyncClient
    key: str
    tracker: Tracker

    async def __call__(self, method: str, path: str, *, key: str | None = "", **more: Any) -> httpx2.Response:
        """Send one request; `key` None sends none."""
        headers = {**more.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.key}"
        return await self.http.request(method, path, headers=headers, **more)

    async def data(self, method: str, path: str, **more: Any) -> Any:
        """Send one request that succeeds; answer its list, or the thing in its envelope."""
        answer = await self(method, path, **more)
        assert answer.is_success, answer.text
        return opened(answer.json())

    async def link(self, tenant: str, **more: Any) -> Any:
        """Link the tenant's account."""
        body = {
            "tenant_id": tenant,
            "integration": "tracker",
            "secrets": {"token": f"canary-{tenant}"},
            **more,
        }
        return await self.data("POST", "/integrated-account", json=body)

    async def failure(self, status: int, method: str, path: str, **more: Any) -> Any:
        """Send one request that fails with this status, in the one shape; answer the error."""
        answer = await self(method, path, **more)
        assert answer.status_code == status, answer.text
        told = answer.json()
        assert set(told) - {"retry_after", "raw_response", "insight"} == SHAPE
        assert told["statusCode"] == status
        assert told["error"]["message"].startswith("Error: ")
        assert told["error"]["request_id"] == answer.headers["x-request-id"]
        return told["error"]


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
async def api(tmp_path: Path, engine: Engine) -> AsyncIterator[Api]:
    """Linkspan with tenants acme and globex in front of the tracker, on each engine."""
    tracker = Tracker()
    home = tmp_path / "home"
    app = await build(
        Settings(home=home, database=str(engine.place) if isinstance(engine, Postgres) else None),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(tracker.app()),
        random=os.urandom,
    )
    for name in ("acme", "globex"):
        await app.tenants.add(name)
    key = (await app.admins.create("anna")).text.reveal()
    transport = httpx2.ASGITransport(app=Watched(Serving(app).asgi))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Api(app, http, key, tracker)
    await app.aclose()
