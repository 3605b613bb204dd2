"""Bodies beside the log, where several processes serve from one database."""

from __future__ import annotations

import os

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import build
from linkspan.gateway.calls import CallInfo
from linkspan.store import audit
from tests.fakes.asgi import AsgiTransport
from tests.web.api.conftest import FILE, Api


async def test_two_replicas_keep_and_show_them(api: Api) -> None:
    """Turned on at one, kept by the other within two seconds, and shown by both."""
    linked = await api.link("acme")
    now = [5_000_000_000.0]
    here, there = [
        await build(
            api.app.settings,
            catalog=spec.load([FILE], {}),
            transport=AsgiTransport(api.tracker.app()),
            random=os.urandom,
            clock=lambda: now[0],
        )
        for _ in range(2)
    ]
    principal, tool = Principal(Tenant("acme"), "service", "some"), there.catalog.tool("get_ticket")

    async def call() -> audit.AuditRow:
        assert tool is not None
        await there.gateway.call(principal, tool, {"id": "1"}, info=CallInfo("req-1"))
        await there.audit.flush()
        await there.log_bodies.flush()
        return (await audit.find(there.database, "acme", limit=1))[0].row

    try:
        assert (await call()).bodies is None
        await here.log_bodies.turn_on("acme", linked["id"], 60, "anna")
        now[0] += 2
        row = await call()
        for replica in (here, there):
            (seen,) = await replica.log_bodies.read("acme", row.bodies)
            assert seen.response is not None
            assert "acme ticket 1" in (seen.response.text or "")
            assert await replica.log_bodies.read("globex", row.bodies) == []
        assert await here.log_bodies.turn_off("acme", linked["id"])
        now[0] += 2
        assert (await call()).bodies is None
    finally:
        await here.aclose()
        await there.aclose()
