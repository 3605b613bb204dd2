"""A gateway over real parts: a SQLite file, a vault, tools.yaml; only the product is in-process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.call import Result
from linkspan.gateway.calls import CallInfo
from linkspan.net.pacing import Paces
from linkspan.settings import Settings
from linkspan.store import audit
from linkspan.store.audit import AuditFilter, AuditRow
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker

FILE = Path(__file__).parents[1] / "fakes/tracker.yaml"


@dataclass
class Bench:
    """One open application with two tenants, and short ways to use it."""

    app: App
    tracker: Tracker
    transport: AsgiTransport
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])

    async def call(
        self, tool: str, *, tenant: str = "acme", call_id: str | None = None, **arguments: Any
    ) -> Result:
        """Call a tool as the service of a tenant."""
        return await self.call_as(Principal(Tenant(tenant), "service", "codex"), tool, call_id, arguments)

    async def call_as(
        self, principal: Principal, tool: str, call_id: str | None, arguments: dict[str, Any]
    ) -> Result:
        """Call a tool as a principal."""
        found = self.app.catalog.tool(tool)
        assert found is not None
        info = CallInfo("req-1", thread_id="thread-1", turn_id="turn-1", call_id=call_id)
        return await self.app.gateway.call(principal, found, arguments, info=info)

    async def account(self, tenant: str) -> Any:
        """Answer the tenant's only account."""
        (found,) = await self.app.accounts.list(Tenant(tenant))
        return found

    async def audit(self, tenant: str, **wanted: Any) -> list[AuditRow]:
        """Answer the tenant's audit rows, oldest first."""
        await self.app.audit.flush()
        found = await audit.find(self.app.database, tenant, AuditFilter(**wanted))
        return [entry.row for entry in reversed(found)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An application with tenants acme and globex, each linked with its own token."""
    tracker = Tracker()
    transport = AsgiTransport(tracker.app())
    now = [1_800_000_000.0]
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([FILE], {}),
        transport=transport,
        paces=Paces(clock=lambda: time.monotonic() + now[0]),
        clock=lambda: now[0],
    )
    for name in ("acme", "globex"):
        tenant = await app.tenants.add(name)
        await app.accounts.link(
            tenant,
            app.catalog.connectors["tracker"],
            secrets={"token": f"canary-{name}"},
            verify=app.verifier,
        )
    transport.sent.clear()
    transport.began.clear()
    yield Bench(app, tracker, transport, now)
    await app.aclose()
