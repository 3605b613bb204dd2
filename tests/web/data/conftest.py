"""Linkspan with two tenants before products that are in this process."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import spec
from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.net.pacing import Paces
from linkspan.serving import Serving
from linkspan.settings import CallLimits, Settings
from linkspan.store.audit import AuditFilter, AuditRow, find
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.limited import Limited
from tests.fakes.tracker import Tracker, patient
from tests.web.api.conftest import SHAPE

BASE = "http://127.0.0.1:8640"


@dataclass
class Desk:
    """Calls with the token of a tenant, or with what a test gives instead."""

    app: App
    http: httpx2.AsyncClient
    tracker: Tracker
    limited: Limited
    transport: AsgiTransport
    tokens: dict[str, str]
    accounts: dict[str, str]
    admin: str
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])
    ahead: list[float] = field(default_factory=lambda: [0.0])
    """By how much the clock of the products and of their budgets is."""

    async def __call__(
        self, method: str, path: str, *, key: str | None = "acme", **more: Any
    ) -> httpx2.Response:
        """Send one request; `key` is a tenant's name, or the text of a token; None sends none."""
        headers = {**more.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"Bearer {self.tokens.get(key, key)}"
        return await self.http.request(method, path, headers=headers, **more)

    async def data(self, method: str, path: str, **more: Any) -> Any:
        """Send one request that succeeds, and answer its JSON."""
        answer = await self(method, path, **more)
        assert answer.is_success, answer.text
        assert answer.headers["x-request-id"]
        return answer.json()

    async def failure(self, status: int, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Send one request that fails with this status, in the one shape; answer all of it."""
        answer = await self(method, path, **more)
        assert answer.status_code == status, answer.text
        told: dict[str, Any] = answer.json()
        assert set(told) - {"retry_after", "raw_response", "insight"} == SHAPE
        assert told["statusCode"] == status
        assert told["request_id"] == answer.headers["x-request-id"]
        if status == 429:
            assert float(answer.headers["retry-after"]) >= 1
            assert told["retry_after"] > 0
        return told

    async def token(self, tenant: str = "acme", **more: Any) -> str:
        """Make a token."""
        made = await self.app.tokens.create(Tenant(tenant), **{"subject": "some", **more})
        return made.text.reveal()

    async def rows(self, tenant: str = "acme", **wanted: Any) -> list[AuditRow]:
        """The audit rows of a tenant, newest first."""
        await self.app.audit.flush()
        return [entry.row for entry in await find(self.app.database, tenant, AuditFilter(**wanted))]


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Linkspan with acme and globex in front of the tracker; a marker may give limits."""
    limits = getattr(request, "param", CallLimits())
    tracker, now, ahead = Tracker(), [1_800_000_000.0], [0.0]

    def ticking() -> float:
        return time.monotonic() + now[0] + ahead[0]

    limited = Limited(tracker.app(), clock=ticking)
    transport = AsgiTransport(limited)
    app = await build(
        Settings(home=tmp_path / "home", call_limits=limits),
        catalog=spec.load([patient(tmp_path)], {}),
        transport=transport,
        paces=Paces(clock=ticking),
        random=os.urandom,
        clock=lambda: now[0],
    )
    tokens, accounts = {}, {}
    for name in ("acme", "globex"):
        tenant = await app.tenants.add(name)
        tracked = app.catalog.connectors["tracker"]
        linked = await app.accounts.link(tenant, tracked, secrets={"token": f"canary-{name}"})
        accounts[name] = linked.id
        tokens[name] = (await app.tokens.create(tenant, subject="backend")).text.reveal()
    admin = (await app.admins.create("anna")).text.reveal()
    serving = Serving(app, clock=lambda: now[0])
    watched = httpx2.ASGITransport(app=Watched(serving.asgi))
    async with httpx2.AsyncClient(transport=watched, base_url=BASE) as http:
        yield Desk(app, http, tracker, limited, transport, tokens, accounts, admin, now, ahead)
    await app.aclose()
