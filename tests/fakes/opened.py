"""A tools.yaml of a test, with its product in the same process, and one tenant linked to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.settings import Settings
from linkspan.store import audit
from linkspan.store.audit import AuditFilter, AuditRow
from tests.fakes.asgi import AsgiTransport

TENANT = "acme"


@dataclass
class Opened:
    """An open application and short ways to use it."""

    app: App
    transport: AsgiTransport

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool as the tenant's service."""
        found = self.app.catalog.tool(tool)
        assert found is not None
        principal = Principal(Tenant(TENANT), "service", "codex")
        return await self.app.gateway.call(principal, found, arguments, info=CallInfo("req-1"))

    def sent(self) -> list[str]:
        """Answer `METHOD path?query` of every request, oldest first."""
        return [f"{request.method} {request.url.partition('.example')[2]}" for request in self.transport.sent]

    async def audit(self) -> list[AuditRow]:
        """Answer the tenant's audit rows, oldest first."""
        await self.app.audit.flush()
        found = await audit.find(self.app.database, TENANT, AuditFilter())
        return [entry.row for entry in reversed(found)]


@asynccontextmanager
async def opened(folder: Path, file: str, product: Any, **linked: Any) -> AsyncIterator[Opened]:
    """Open an application over a file whose first connector is linked; `linked` goes to `link`."""
    (folder / "tools.yaml").write_text(file, encoding="utf-8")
    catalog = spec.load(folder / "tools.yaml", {})
    transport = AsgiTransport(product)
    app = await build(
        Settings(home=folder / "home"), catalog=catalog, transport=transport, clock=lambda: 1_800_000_000.0
    )
    tenant = await app.tenants.add(TENANT)
    connector = next(iter(catalog.connectors.values()))
    linked.setdefault("secrets", {"token": "canary-acme"})
    await app.accounts.link(tenant, connector, verify=app.verifier, **linked)
    transport.sent.clear()
    yield Opened(app, transport)
    await app.aclose()
