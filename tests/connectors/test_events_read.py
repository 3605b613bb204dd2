"""Events of built-in connectors from the delivery to the thing that is read anew, at products that behave."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.cli.main import cli
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.connectors.test_deliveries import digest
from tests.connectors.test_deliveries import slack as signed_as_slack
from tests.fakes.asgi import AsgiTransport
from tests.runs.conftest import by_host

ACME = Tenant("acme")
BASE = "https://linkspan.example"
NOW = 1_800_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@dataclass
class Asana:
    """As developers.asana.com says: a webhook is made when its target sends `X-Hook-Secret` back."""

    target: httpx2.AsyncClient | None = None
    hooks: dict[str, str] = field(default_factory=dict)
    """By target: the secret that Asana made."""
    tasks: dict[str, str] = field(default_factory=lambda: {"56": "Mend the basket"})

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/api/1.0/webhooks", self._establish, methods=["POST"]),
                Route("/api/1.0/users/me", self._me),
                Route("/api/1.0/workspaces", self._workspaces),
                Route("/api/1.0/tasks/{gid}", self._task),
            ]
        )

    async def _establish(self, request: Request) -> Response:
        target = (await request.json())["data"]["target"]
        made = secrets.token_hex(32)
        assert self.target is not None
        answer = await self.target.post(target, headers={"X-Hook-Secret": made}, content=b"{}")
        if answer.status_code not in {200, 204} or answer.headers.get("x-hook-secret") != made:
            return JSONResponse({"errors": [{"message": "The remote server did not respond"}]}, 400)
        self.hooks[target] = made
        return JSONResponse({"data": {"gid": "1", "target": target, "active": True}}, 201)

    async def tell(self, *events: dict[str, Any]) -> list[httpx2.Response]:
        """Deliver to every target, signed with its own secret."""
        raw = json.dumps({"events": list(events)}).encode()
        assert self.target is not None
        return [
            await self.target.post(target, content=raw, headers={"X-Hook-Signature": digest(made, raw)})
            for target, made in self.hooks.items()
        ]

    async def _me(self, _request: Request) -> Response:
        return JSONResponse({"data": {"gid": "7", "email": "codex@acme.example"}})

    async def _workspaces(self, _request: Request) -> Response:
        return JSONResponse({"data": [{"gid": "12", "name": "Acme"}]})

    async def _task(self, request: Request) -> Response:
        gid = request.path_params["gid"]
        if gid not in self.tasks:
            return JSONResponse({"errors": [{"message": "Not a recognized ID"}]}, 404)
        return JSONResponse({"data": {"gid": gid, "name": self.tasks[gid], "completed": False}})


@dataclass
class Slack:
    """Two channels; a message is found by channel and time, also one that stands in a thread."""

    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/api/auth.test", self._test, methods=["POST"]),
                Route("/api/conversations.history", self._history, methods=["POST"]),
                Route("/api/conversations.replies", self._replies, methods=["POST"]),
            ]
        )

    async def _test(self, _request: Request) -> Response:
        return JSONResponse({"ok": True, "team_id": "T1", "user_id": "UCODEX", "team": "Acme"})

    async def _history(self, request: Request) -> Response:
        form = await request.form()
        found = self.messages.get(str(form["channel"]))
        if found is None:
            return JSONResponse({"ok": False, "error": "channel_not_found"})
        first = [one for one in found if one.get("thread_ts", one["ts"]) == one["ts"]]
        return JSONResponse({"ok": True, "messages": first, "has_more": False})

    async def _replies(self, request: Request) -> Response:
        form = await request.form()
        found = self.messages.get(str(form["channel"]))
        if found is None:
            return JSONResponse({"ok": False, "error": "channel_not_found"})
        known = [one for one in found if one["ts"] == form["ts"]]
        if not known:
            return JSONResponse({"ok": False, "error": "thread_not_found"})
        thread = known[0].get("thread_ts", known[0]["ts"])
        whole = [one for one in found if one.get("thread_ts", one["ts"]) == thread]
        oldest, latest = str(form.get("oldest", "0")), str(form.get("latest", "9"))
        picked = [one for one in whole if oldest <= one["ts"] <= latest or one["ts"] == thread]
        return JSONResponse({"ok": True, "messages": picked, "has_more": False})


@dataclass
class Door:
    """A Linkspan that serves, linked to one product, and a client that reaches it from outside."""

    app: App
    home: Path
    account: str
    client: httpx2.AsyncClient

    async def outcomes(self) -> list[tuple[str, str | None]]:
        """Work what came in: what became of each event, the newest first."""
        await self.app.arrivals.work_due()
        return [(each.state, each.outcome) for each in await self.app.arrivals.list(ACME)]


async def _serving(
    name: str, product: Starlette, host: str, tmp_path: Path, recipe: dict[str, Any]
) -> AsyncIterator[Door]:
    words = {"title": "Look", "prompt": "Look.", "approve": "never", "publish": "nothing"}
    recipe = {**words, "output": {"type": "object"}, **recipe}
    head = {"linkspan": 1, "name": "tests", "instructions": "Read tickets and messages, list channels."}
    whole = {**head, "connectors": {name: {"use": name}}, "recipes": {"look": recipe}}
    config = tmp_path / "tools.yaml"
    config.write_text(yaml.safe_dump(whole))
    home = tmp_path / "home"
    app = await build(
        Settings(home=home, config=config, public_url=BASE),
        catalog=spec.load([config], {}),
        transport=AsgiTransport(by_host({host: product})),
        clock=lambda: NOW,
    )
    try:
        tenant = await app.tenants.add("acme")
        account = await app.accounts.link(
            tenant, app.catalog.connectors[name], method="bearer",
            secrets={"token": "canary-token"}, verify=app.verifier,
        )  # fmt: skip
        await app.recipes.enable(Principal(tenant, "person", "bo"), "look", {})
        transport = httpx2.ASGITransport(app=Serving(app).asgi)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
            yield Door(app, home, account.id, client)
    finally:
        await app.aclose()


@pytest.fixture
async def asana(tmp_path: Path) -> AsyncIterator[tuple[Asana, Door]]:
    """A Linkspan that waits for changes of Asana's tasks, those about the basket."""
    product = Asana()
    recipe = {"entity": "ticket", "on": "asana.ticket.changed", "when": "title == 'Mend the basket'"}
    async for door in _serving("asana", product.app(), "app.asana.com", tmp_path, recipe):
        product.target = door.client
        yield product, door


async def establish(product: Asana, target: str) -> int:
    """Ask Asana for a webhook, as its documentation says."""
    transport = httpx2.ASGITransport(app=product.app())
    async with httpx2.AsyncClient(transport=transport, base_url="https://app.asana.com") as client:
        asked = {"data": {"resource": "12", "target": target}}
        return (await client.post("/api/1.0/webhooks", json=asked)).status_code


def changed(gid: str) -> dict[str, Any]:
    """What Asana tells of a task that somebody renamed."""
    resource = {"gid": gid, "resource_type": "task"}
    told = {"action": "changed", "user": {"gid": "8"}, "created_at": "2026-11-02T08:00:00Z"}
    return {**told, "resource": resource, "change": {"field": "name"}}


async def test_asana_brings_its_secret_once_and_signs_with_it(asana: tuple[Asana, Door]) -> None:
    """By the address that `hooks secret` prints; the task is read anew, and nobody brings another secret."""
    product, door = asana
    kept = await door.app.hook_secrets.of_account(ACME, door.account)
    plain = f"{BASE}/hooks/account/{door.account}"
    for target in (
        plain,
        f"{plain}/another-canary",
        f"{BASE}/hooks/account/acc_000000000000/{kept.reveal()}",
    ):
        assert await establish(product, target) == 400
    assert await establish(product, f"{plain}/{kept.reveal()}") == 201
    (answer,) = await product.tell()
    assert (answer.status_code, answer.json()) == (200, {"accepted": 0})
    (answer,) = await product.tell(changed("56"), changed("99"))
    assert answer.json() == {"accepted": 2}
    outcomes = sorted(await door.outcomes())
    assert [state for state, _ in outcomes] == ["done", "failed"]
    assert str(outcomes[0][1]).startswith("look: run_") and "Not a recognized ID" in str(outcomes[1][1])
    # The address has done its work: with it alone nobody else puts a secret in the place of Asana's.
    assert await establish(product, f"{plain}/{kept.reveal()}") == 400
    raw = json.dumps({"events": [changed("56")]}).encode()
    forged = hmac.digest(kept.reveal().encode(), raw, "sha256").hex()
    refused = await door.client.post(plain, content=raw, headers={"X-Hook-Signature": forged})
    assert refused.status_code == 401
    (answer,) = await product.tell(changed("56"))
    assert answer.json() == {"accepted": 0}


async def test_the_command_prints_the_address_to_register(asana: tuple[Asana, Door]) -> None:
    """And no secret beside it, which would be of no use."""
    product, door = asana
    words = ["--home", str(door.home), "--config", str(door.home.parent / "tools.yaml")]
    env = {"LINKSPAN_PUBLIC_URL": BASE}
    asked = partial(CliRunner().invoke, cli, [*words, "hooks", "secret", door.account, "--json"], env=env)
    told = await asyncio.to_thread(asked)
    assert told.exit_code == 0, told.output
    assert list(json.loads(told.stdout)) == ["url"]
    assert await establish(product, json.loads(told.stdout)["url"]) == 201


@pytest.fixture
async def slack(tmp_path: Path) -> AsyncIterator[tuple[Slack, Door]]:
    """A Linkspan that waits for words to the app."""
    product = Slack()
    recipe = {"entity": "message", "on": "slack.message.mentioned", "when": "contains(text, 'please')"}
    async for door in _serving("slack", product.app(), "slack.com", tmp_path, recipe):
        yield product, door


async def test_a_message_of_slack_is_read_anew_also_in_a_thread(slack: tuple[Slack, Door]) -> None:
    """An event names its channel: what the message says by now decides, not what was delivered."""
    product, door = slack
    first = {"ts": "1800000000.000100", "user": "U2", "text": "The cart is broken"}
    answer = {
        "ts": "1800000000.000200",
        "user": "U2",
        "thread_ts": first["ts"],
        "text": "<@UCODEX> please look",
    }
    product.messages["C1"] = [first, answer]
    kept = await door.app.hook_secrets.of_account(ACME, door.account)

    async def deliver(event_id: str, message: dict[str, Any], text: str) -> httpx2.Response:
        event = {**message, "type": "app_mention", "channel": "C1", "text": text}
        body = {"type": "event_callback", "team_id": "T1", "event_id": event_id, "event": event}
        raw = json.dumps(body).encode()
        headers = signed_as_slack(kept.reveal(), raw, NOW)
        return await door.client.post(f"/hooks/account/{door.account}", content=raw, headers=headers)

    assert (await deliver("Ev1", answer, "<@UCODEX> please look")).json() == {"accepted": 1}
    ((state, outcome),) = await door.outcomes()
    assert state == "done" and outcome is not None and outcome.startswith("look: run_"), outcome
    # Somebody signed another text than the channel has: it starts nothing.
    assert (await deliver("Ev2", first, "<@UCODEX> please delete it all")).json() == {"accepted": 1}
    assert ("ignored", "look: `when` is not so.") in await door.outcomes()
