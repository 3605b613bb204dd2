"""How products register an address: Asana's secret that it brings itself, Figma's ping, through the door."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.spec.recipe import read
from linkspan.vault.secret import Secret
from tests.connectors.test_deliveries import KEPT, SIGNED
from tests.fakes.asgi import AsgiTransport

ACME: Final = Tenant("acme")
BO: Final = Principal(ACME, "person", "bo")
TOOLS: Final = """
linkspan: 1
name: two
instructions: Get tickets and designs.
connectors: {asana: {use: asana}, figma: {use: figma}}
"""
GIVEN: Final = "canary-secret-that-asana-made"
OTHER: Final = "canary-secret-of-somebody-else"


@dataclass
class Front:
    """Linkspan with an account of each, and its port."""

    app: App
    client: httpx2.AsyncClient
    accounts: dict[str, str]

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Deliver something."""
        return await self.client.post(path, content=json.dumps(body).encode(), headers=headers)


async def workspaces(_request: Request) -> JSONResponse:
    """Which there are, at Asana."""
    return JSONResponse({"data": [{"gid": "1", "name": "Acme"}]})


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """Both tell a recipe of comments."""
    (tmp_path / "tools.yaml").write_text(TOOLS)
    transport = AsgiTransport(Starlette(routes=[Route("/api/1.0/workspaces", workspaces)]))
    catalog = spec.load([tmp_path / "tools.yaml"], {})
    app = await build(Settings(home=tmp_path / "home"), catalog=catalog, transport=transport)
    plain = {"title": "Look", "entity": "ticket", "on": "asana.ticket.commented", "prompt": "x"}
    app.gateway.replace_catalog(replace(app.catalog, recipes={"look": read("look", plain)}))
    await app.tenants.add("acme")
    await app.recipes.enable(BO, "look", {})
    accounts = {}
    for name, given in (
        ("asana", {"secrets": {"token": "canary-1"}, "settings": {"workspace": "1"}}),
        ("figma", {"method": "header", "secrets": {"key": "canary-2"}}),
    ):
        linked = {"method": "bearer", **given}
        account = await app.accounts.link(ACME, app.catalog.connectors[name], **linked)  # type: ignore[arg-type]
        accounts[name] = account.id
    door = httpx2.ASGITransport(app=Serving(app).asgi)
    async with httpx2.AsyncClient(transport=door, base_url="http://127.0.0.1:8640") as client:
        yield Front(app, client, accounts)
    await app.aclose()


async def test_a_secret_that_the_product_brings_is_let_in_once(front: Front) -> None:
    """By the word at the end of the address; sent back, kept, and what comes later is signed with it."""
    account = front.accounts["asana"]
    word = (await front.app.hook_secrets.of_account(ACME, account)).reveal()
    path = f"/hooks/account/{account}"
    for wrong in (path, f"{path}/{word[:-1]}", f"{path}/{OTHER}"):
        assert (await front.post(wrong, {}, {"X-Hook-Secret": OTHER})).status_code == 401
    first = await front.post(f"{path}/{word}", {}, {"X-Hook-Secret": GIVEN})
    assert (first.status_code, first.headers["x-hook-secret"]) == (200, GIVEN)
    assert (await front.post(f"{path}/{word}", {}, {"X-Hook-Secret": OTHER})).status_code == 401
    told = KEPT["asana"][0]["body"]
    raw = json.dumps(told).encode()
    for secret in (word, OTHER):
        answer = await front.post(f"{path}/{word}", told, SIGNED["asana"](secret, raw, 0.0))
        assert answer.status_code == 401
    answer = await front.post(f"{path}/{word}", told, SIGNED["asana"](GIVEN, raw, 0.0))
    assert answer.json() == {"accepted": 1}
    (arrived,) = await front.app.arrivals.list(ACME)
    assert (arrived.event, arrived.entity_id) == ("ticket.commented", "56")


async def test_figmas_ping_is_answered(front: Front) -> None:
    """With its passcode in the body; a wrong one, none, and what is no JSON learn nothing."""
    account = front.accounts["figma"]
    await front.app.hook_secrets.of_account(ACME, account, Secret("canary-passcode-of-figma"))
    ping = {"event_type": "PING", "timestamp": "2026-11-20T10:00:00Z", "webhook_id": "22"}
    path = f"/hooks/account/{account}"
    answer = await front.post(path, {**ping, "passcode": "canary-passcode-of-figma"})
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0})
    refused = [
        await front.post(path, {**ping, "passcode": "canary-passcode-of-nobody"}),
        await front.post(path, ping),
    ]
    refused.append(await front.client.post(path, content=b'{"passcode": "canary-passcode-of-figma"'))
    assert [each.status_code for each in refused] == [401] * 3
    assert await front.app.arrivals.list(ACME) == []
