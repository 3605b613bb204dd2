"""The sample desk through the REST API: entities, the proxy, and how its bad days are told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from linkspan import errors, spec
from linkspan.accounts.principal import Principal
from linkspan.app import build
from linkspan.client import AsyncLinkspan
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.spec.language import CONNECTORS
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


def test_the_built_in_desk_says_what_the_tools_yaml_says() -> None:
    """One is to be read and copied, the other to be used; whoever changes one changes the other."""
    taught = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    ready = yaml.safe_load((CONNECTORS / "desk.yaml").read_text(encoding="utf-8"))
    assert ready.pop("entities") == taught["entities"]
    assert ready == taught["connectors"]["desk"]


async def test_every_operation_of_the_built_in_desk(counter: Counter, tmp_path: Path) -> None:
    """Each reaches the desk, lists to their last page; and what the desk refuses is told by its words."""
    file = tmp_path / "tools.yaml"
    file.write_text(
        "linkspan: 1\nname: ready\ninstructions: List tickets.\nconnectors: {desk: {use: desk}}\n"
    )
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=AsgiTransport(counter.app),
        random=os.urandom,
    )
    try:
        tenant = await app.tenants.add("acme")
        known = app.catalog.connectors["desk"]
        account = await app.accounts.link(
            tenant, known, secrets={"token": counter.tokens["acme"]["codex"]}, verify=app.verifier
        )
        assert (account.identity_id, account.identity_label) == ("acme/codex", "Codex, Acme")
        tried: set[str] = set()

        async def call(name: str, **arguments: Any) -> Any:
            tool = app.catalog.tool(name)
            assert tool is not None, name
            tried.add(name)
            found: list[Any] = []
            while True:
                answer = await app.gateway.call(
                    Principal(tenant, "service", "tests"), tool, arguments, info=CallInfo("req")
                )
                if isinstance(answer, Blocks):
                    return answer.blocks
                if not isinstance(answer, Page):
                    assert isinstance(answer, Item)
                    return answer.result
                found += answer.result
                if answer.next_cursor is None:
                    return found
                arguments["cursor"] = answer.next_cursor

        made = (await call("create_ticket", title="Made whole", description="It **is**.", priority="high"))[
            "id"
        ]
        assert made in {each["id"] for each in await call("list_tickets", limit=2)}
        changed = await call("update_ticket", id=made, status="in_progress", assignee="codex")
        assert (changed["status"], changed["assignee"]) == ("in_progress", "codex")
        assert [each["id"] for each in await call("search_tickets", query="made whole")] == [made]
        assert (await call("comment_on_ticket", id=made, body="Seen."))["body"] == "Seen."
        assert [each["author"]["id"] for each in await call("list_comments", ticket=made)] == ["codex"]
        assert (await call("get_ticket", id=made))["comments_count"] == 1
        alert = (await call("list_alerts", status="firing", limit=2))[0]["id"]
        assert (await call("acknowledge_alert", id=alert))["status"] == "acknowledged"
        assert (await call("comment_on_alert", id=alert, body="Mine."))["body"] == "Mine."
        assert (await call("resolve_alert", id=alert))["status"] == "resolved"
        assert (await call("get_alert", id=alert))["status"] == "resolved"
        design = (await call("list_designs", limit=1))[0]["id"]
        assert (await call("get_design", id=design))["nodes"]
        assert (await call("get_design_image", id=design))[0]["mimeType"] == "image/png"
        assert (await call("comment_on_design", id=design, body="Nice."))["body"] == "Nice."
        assert {each["id"] for each in await call("list_users", limit=2)} >= {"mara", "codex"}
        assert tried == {tool.name for tool in app.catalog.tools if "desk" in tool.operations}
        with pytest.raises(errors.NotFound, match="There is no ticket HC-999"):
            await call("get_ticket", id="HC-999")
        with pytest.raises(errors.InvalidArgument, match="subject: must not be empty"):
            await call("create_ticket", title="")
        await counter.switch("429", times=1, retry_after="60")
        with pytest.raises(errors.RateLimited):
            await call("get_ticket", id=made)
    finally:
        await app.aclose()
