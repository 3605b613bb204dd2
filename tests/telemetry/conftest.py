"""Linkspan with everything that listens switched on, in front of the small tracker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import spec
from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import Settings, read_settings
from linkspan.telemetry import Telemetry
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker

FILE = Path(__file__).parents[1] / "fakes/tracker.yaml"


@dataclass
class House:
    """One open application, its product, and its HTTP face."""

    app: App
    serving: Serving
    tracker: Tracker
    transport: AsgiTransport
    http: httpx2.AsyncClient
    tokens: dict[str, str]

    async def tool(self, name: str, *, tenant: str = "acme", headers: Any = None, **arguments: Any) -> Any:
        """Call a tool over MCP and answer its result."""
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": arguments},
        }
        told = {"Accept": "application/json", "Authorization": f"Bearer {self.tokens[tenant]}"}
        answer = await self.http.post(f"/t/{tenant}/mcp", json=body, headers={**told, **(headers or {})})
        return answer.json()["result"]


Open = Callable[[Telemetry], AbstractAsyncContextManager[House]]


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
def opening(tmp_path: Path) -> Open:
    """Open a house that tells what happens."""

    @asynccontextmanager
    async def opened(telemetry: Telemetry) -> AsyncIterator[House]:
        tracker = Tracker()
        transport = AsgiTransport(tracker.app())
        app = await build(
            settings_of(tmp_path / "home"),
            catalog=spec.load([FILE], {}),
            transport=transport,
            telemetry=telemetry,
        )
        tokens = {}
        for name in ("acme", "globex"):
            tenant: Tenant = await app.tenants.add(name)
            connector = app.catalog.connectors["tracker"]
            secrets = {"token": f"canary-{name}"}
            await app.accounts.link(tenant, connector, secrets=secrets, verify=app.verifier)
            tokens[name] = (await app.tokens.create(tenant, subject="codex")).text.reveal()
        serving = Serving(app)
        http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=Watched(serving.asgi)), base_url="http://127.0.0.1:8640"
        )
        async with http:
            yield House(app, serving, tracker, transport, http, tokens)
        await app.aclose()

    return opened


def settings_of(home: Path) -> Settings:
    """Answer the settings of a house, with limits that a test can reach."""
    return read_settings({"LINKSPAN_HOME": str(home), "LINKSPAN_CALL_LIMITS": "tool=20"})
