"""The sample desk through the REST API: entities, the proxy, and how its bad days are told."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from linkspan import errors, spec
from linkspan.app import build
from linkspan.client import AsyncLinkspan
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.examples.conftest import Counter
from tests.fakes.asgi import AsgiTransport

FILE = Path(__file__).parents[2] / "tools.yaml"


async def test_the_desk_over_rest(counter: Counter, tmp_path: Path) -> None:
    """What is listed over MCP is listed here; a refusal for its rate, a fault and a page in HTML are told."""
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(counter.app),
        random=os.urandom,
    )
    try:
        tenant = await app.tenants.add("acme")
        secret = counter.tokens["acme"]["codex"]
        await app.accounts.link(tenant, app.catalog.connectors["desk"], secrets={"token": secret})
        token = (await app.tokens.create(tenant, subject="backend")).text.reveal()
        transport = httpx2.ASGITransport(app=Serving(app).asgi)
        async with AsyncLinkspan("http://127.0.0.1:8640", token, transport=transport) as api:
            tickets = [each async for each in api.list("ticketing/tickets", limit=10)]
            first = await api.get("ticketing/tickets", tickets[0]["id"])
            assert first["id"] == tickets[0]["id"]
            raw = (await api.proxy("desk", "GET", "/me")).json()
            assert raw["user"]["login"] == "codex"
            found = await api.batch(
                {"resource": "incidents/alerts", "persist": False},
                {
                    "resource": "incidents/alerts",
                    "name": "whole",
                    "method": "get",
                    "loop_on": "incidents/alerts",
                    "id": "{{resources.incidents.alerts.id}}",
                },
            )
            assert found.result["whole"]
            assert not found.errors
            await counter.switch("500", times=1)
            with pytest.raises(errors.UpstreamError) as fault:
                await api.proxy("desk", "POST", "/tickets/HC-103/comments", body={"body_markdown": "x"})
            assert fault.value.upstream_status == 500
            await counter.switch("429", times=1, retry_after="60")
            for _door in range(2):
                with pytest.raises(errors.RateLimited) as told:
                    await api.proxy("desk", "GET", "/tickets/HC-103")
                assert 55 < (told.value.retry_after or 0) <= 60.1
            with pytest.raises(errors.RateLimited) as told:
                await api.get("ticketing/tickets", tickets[0]["id"])
            assert 55 < (told.value.retry_after or 0) <= 60.1
    finally:
        await app.aclose()
