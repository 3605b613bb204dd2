"""Limits of our own on calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import spec
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import CallLimits, Settings
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker
from tests.gateway.conftest import FILE
from tests.test_serving import BASE


@dataclass
class Office:
    """A tenant's two programs and another tenant's one, at the MCP endpoint; the clock is set by hand."""

    app: App
    http: httpx2.AsyncClient
    tokens: dict[str, str]
    now: list[float]
    transport: AsgiTransport

    async def call(self, who: str, tool: str = "list_tickets", **arguments: Any) -> Any:
        """Call a tool; answers its result."""
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        headers = {
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self.tokens[who]}",
        }
        tenant = who.partition("/")[0]
        answer = await self.http.post(f"/t/{tenant}/mcp", json=body, headers=headers)
        assert answer.status_code == 200
        return answer.json()["result"]

    async def calls_until_refused(self, who: str, tool: str = "list_tickets", **arguments: Any) -> int:
        """Answer how many calls go well before one does not."""
        for count in range(20):
            if (await self.call(who, tool, **arguments)).get("isError"):
                return count
        return 20


@pytest.fixture
async def office(tmp_path: Path, limits: CallLimits) -> AsyncIterator[Office]:
    """Tenants acme and globex in front of the tracker, with the limits of the test."""
    transport = AsgiTransport(Tracker().app())
    now = [1_800_000_000.0]
    app = await build(
        Settings(home=tmp_path / "home", call_limits=limits),
        catalog=spec.load([FILE], {}),
        transport=transport,
        clock=lambda: now[0],
    )
    tokens = {}
    for name, subjects in {"acme": ("codex", "other"), "globex": ("codex",)}.items():
        tenant = await app.tenants.add(name)
        connector = app.catalog.connectors["tracker"]
        await app.accounts.link(tenant, connector, secrets={"token": f"canary-{name}"}, verify=app.verifier)
        for subject in subjects:
            made = await app.tokens.create(tenant, subject=subject)
            tokens[f"{name}/{subject}"] = made.text.reveal()
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=Serving(app).asgi), base_url=BASE
    ) as http:
        yield Office(app, http, tokens, now, transport)
    await app.aclose()


@pytest.mark.parametrize("limits", [CallLimits(tool=3)])
async def test_a_program_in_a_circle_is_told_when_to_come_back(office: Office) -> None:
    """A tool error with the code, the seconds and the next step; nothing is sent; later it works again."""
    assert await office.calls_until_refused("acme/codex") == 3
    sent = len(office.transport.sent)
    told = await office.call("acme/codex")
    error = told["structuredContent"]["error"]
    assert (told["isError"], error["code"], error["status"]) == (True, "rate_limited", 429)
    assert error["retry_after"] == pytest.approx(20.0)
    text = told["content"][0]["text"]
    assert text.startswith(
        "Error: too many calls: there may be 3 calls of this tool by one principal a minute"
    )
    assert text.endswith("Call list_tickets again in 20 seconds.")
    assert len(office.transport.sent) == sent
    assert not (await office.call("acme/codex", "get_ticket", id="1")).get("isError")
    office.now[0] += error["retry_after"]
    assert await office.calls_until_refused("acme/codex") == 1


@pytest.mark.parametrize("limits", [CallLimits(principal=4)])
async def test_one_program_takes_nothing_from_another(office: Office) -> None:
    """Over all its tools together."""
    assert await office.calls_until_refused("acme/codex") == 4
    assert (await office.call("acme/codex", "get_ticket", id="1"))["isError"]
    assert await office.calls_until_refused("acme/other") == 4


@pytest.mark.parametrize("limits", [CallLimits(tenant=5, tool=3)])
async def test_one_tenant_takes_nothing_from_another(office: Office) -> None:
    """Over all its programs; and what a narrower limit refuses does not count against the wider one."""
    assert await office.calls_until_refused("acme/codex") == 3
    for _again in range(10):
        assert (await office.call("acme/codex"))["isError"]
    assert await office.calls_until_refused("acme/other") == 2
    assert await office.calls_until_refused("globex/codex") == 3


@pytest.mark.parametrize("limits", [CallLimits(tool=1)])
async def test_a_refused_call_leaves_its_row(office: Office) -> None:
    """The operator sees who was held back."""
    tool = office.app.catalog.tool("list_tickets")
    assert tool is not None
    await office.call("acme/codex")
    await office.call("acme/codex")
    await office.app.audit.flush()
    rows = await office.app.database.query("SELECT outcome, tool FROM audit ORDER BY id")
    assert [tuple(row.values()) for row in rows][-1] == ("rate_limited", "list_tickets")


@pytest.mark.parametrize("limits", [CallLimits()])
async def test_without_limits_nothing_is_counted(office: Office) -> None:
    """The default: the products' own limits are heeded in any case."""
    assert await office.calls_until_refused("acme/codex") == 20


@pytest.mark.parametrize("limits", [CallLimits(listens=2)])
async def test_the_operator_says_how_many_subscriptions_a_tenant_has(office: Office) -> None:
    """One tenant cannot take every connection."""
    serving = Serving(office.app)
    for _each in range(2):
        serving.hub.listen("acme", lambda event: None)
    with pytest.raises(Exception, match="Too many subscriptions"):
        serving.hub.listen("acme", lambda event: None)
    serving.hub.listen("globex", lambda event: None)
