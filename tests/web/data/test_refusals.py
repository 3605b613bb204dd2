"""Refusals of more calls through the proxy, as products give them: one shape, whatever their status."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from linkspan import spec, wire
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.net.messages import Streamed
from linkspan.net.pacing import Paces
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.store.audit import AuditFilter, find
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forge import primary_limit, secondary_limit
from tests.gateway.test_quota import FILE

NOW = 1_800_000_000.0
LINEAR = {"errors": [{"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}}]}
RESETS = {"x-ratelimit-requests-reset": f"{(NOW + 90) * 1000:.0f}", "x-ratelimit-requests-limit": "1500"}
REFUSALS = {
    "github's primary": ("github", "/user", primary_limit(NOW + 600), 403, 600, "API rate limit exceeded"),
    "github's secondary": ("github", "/user", secondary_limit(), 403, 60, "secondary rate limit"),
    "linear's": ("linear", "/graphql", JSONResponse(LINEAR, 400, RESETS), 400, 90, "Rate limit exceeded"),
    "slack's": (
        "slack",
        "/auth.test",
        JSONResponse({"ok": False, "error": "ratelimited"}, 200, {"retry-after": "20"}),
        200,
        20,
        "ratelimited",
    ),
}


@dataclass
class Products:
    """All of them: each request gets the next answer, else that all is well."""

    faults: list[Response] = field(default_factory=list)
    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        self.asked += 1
        await (self.faults.pop(0) if self.faults else JSONResponse({"ok": True}))(scope, receive, send)


@dataclass
class Door:
    """The proxy with one account at each product."""

    app: App
    http: httpx2.AsyncClient
    products: Products


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """With a clock that stands."""
    file, products = tmp_path / "tools.yaml", Products()
    names = ("openai", "github", "linear", "slack")
    connectors = {name: {"use": name} for name in names}
    file.write_text(yaml.safe_dump({**FILE, "connectors": connectors}))
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=AsgiTransport(products),
        paces=Paces(clock=time.monotonic),
        random=os.urandom,
        clock=lambda: NOW,
    )
    tenant = await app.tenants.add("acme")
    for name in names:
        connector = app.catalog.connectors[name]
        method = next(way for way in connector.auth if way.oauth is None)
        secret = {"token": f"canary-{name}"} if method.type == "bearer" else {"key": f"canary-{name}"}
        await app.accounts.link(tenant, connector, method=method.type, secrets=secret)
    token = (await app.tokens.create(tenant, subject="backend")).text.reveal()
    served = httpx2.ASGITransport(app=Watched(Serving(app, clock=lambda: NOW).asgi))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        transport=served, base_url="http://127.0.0.1:8640", headers=headers
    ) as http:
        yield Door(app, http, products)
    await app.aclose()


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_of_more_calls_is_429_with_its_wait(door: Door, name: str) -> None:
    """It is heeded, the account is not taken for one that may not, and the log has the product's status."""
    connector, path, answer, theirs, wait, words = REFUSALS[name]
    door.products.faults.append(answer)
    refused = await door.http.post(f"/proxy/{connector}{path}", json={"query": "{ viewer { id } }"})
    told: dict[str, Any] = refused.json()
    assert (refused.status_code, told["statusCode"], told["code"]) == (429, 429, "rate_limited")
    assert refused.headers["retry-after"] == str(wait)
    assert (told["retry_after"], told["is_remote_error"]) == (wait, True)
    assert words in str(told["raw_response"])
    if connector != "slack" and name != "github's secondary":
        assert refused.headers["ratelimit-limit"] in ("5000", "1500")
    later = await door.http.post(f"/proxy/{connector}{path}", json={})
    assert (later.status_code, later.json()["is_remote_error"]) == (429, False)
    assert door.products.asked == 1
    (account,) = [one for one in await door.app.accounts.list(Tenant("acme")) if one.connector == connector]
    assert not account.last_error
    await door.app.audit.flush()
    rows = [one.row for one in await find(door.app.database, "acme", AuditFilter(tool="proxy_post"))]
    assert [(row.outcome, row.upstream_status) for row in rows] == [
        ("rate_limited", None),
        ("rate_limited", theirs),
    ]


async def test_what_is_no_limit_stays_as_it_came(door: Door) -> None:
    """A 403 that forbids, a 400 of GraphQL, and what Slack answers with 200, short and long."""
    door.products.faults += [JSONResponse({"message": "Resource not accessible"}, 403)]
    refused = await door.http.get("/proxy/github/user")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    (account,) = [one for one in await door.app.accounts.list(Tenant("acme")) if one.connector == "github"]
    assert account.last_error
    wrong = {"errors": [{"message": "No", "extensions": {"code": "INVALID_INPUT"}}]}
    door.products.faults.append(JSONResponse(wrong, 400))
    refused = await door.http.post("/proxy/linear/graphql", json={})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
    for body in ({"ok": False, "error": "channel_not_found"}, {"ok": True}, {"ok": True, "x": "y" * 9_000}):
        answer = JSONResponse(body)
        door.products.faults.append(answer)
        handed = await door.http.post("/proxy/slack/chat.postMessage", json={})
        assert (handed.status_code, handed.content) == (200, bytes(answer.body))
        assert handed.headers["content-length"] == str(len(answer.body))


async def test_a_stream_is_not_waited_for(door: Door) -> None:
    """Of an answer of unknown length only the first piece is looked at, and of what is no JSON nothing."""
    slack = door.app.catalog.connectors["slack"]
    principal = Principal(Tenant("acme"), "service", "backend", ())
    credential = await door.app.accounts.credential(principal, slack, None)
    read: list[bytes] = []

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"ok": ', b"true", b"}"):
            read.append(piece)
            yield piece

    for type_, looked in (("application/json", 1), ("text/event-stream", 0)):
        read.clear()
        coming = Streamed(200, {"content-type": type_}, pieces(), "https://slack.com/api/x")
        answer, failure = await wire.failure_of(coming, slack, credential)
        assert (len(read), failure) == (looked, None)
        assert [piece async for piece in answer.chunks] == [b'{"ok": ', b"true", b"}"]


async def test_paths_that_are_not_let_through(door: Door) -> None:
    """OpenAI's administration, until the operator turns it on, and what nobody knows: nothing is sent."""
    for path, words in (("/organization/users", "administration"), ("/nothing", "not passed on")):
        refused = await door.http.get(f"/proxy/openai{path}")
        told = refused.json()
        assert (refused.status_code, told["code"], told["is_remote_error"]) == (403, "forbidden", False)
        assert words in told["message"]
    for path in ("/files/..%2forganization/users", "/files/..;/organization/users"):
        refused = await door.http.get(f"/proxy/openai{path}")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_argument")
    assert door.products.asked == 0
    assert (await door.http.get("/proxy/openai/models")).status_code == 200
