"""docs/recipes/incident_response.md below "PagerDuty and Sentry": from a signed delivery to the merge."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from linkspan import spec
from linkspan.app import App, build
from linkspan.runs.following import Following
from linkspan.runs.publishing import GatewayForge
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.store.runs import Run
from tests.connectors.replayed import kept
from tests.connectors.test_deliveries import KEPT, SIGNED
from tests.fakes.asgi import AsgiTransport
from tests.fakes.engine import SUMMARY, ScriptedEngine
from tests.fakes.forge import Forge
from tests.fakes.places import FakePlaces
from tests.fakes.slack import TOKEN as SLACK_TOKEN
from tests.fakes.slack import Slack
from tests.recipes.pages import tools_of
from tests.runs.conftest import ACME, BO, FORGE_TOKEN, by_host
from tests.runs.working import parts_of, working

pytestmark = pytest.mark.slow
PATIENCE = 60.0
BASE = "http://127.0.0.1:8765"
SAID = ["Codex proposes a fix", SUMMARY.partition(".")[0], "Merged"]


@dataclass
class Vendor:
    """A product that has alerts, keeps what is written into them, and knows one credential."""

    name: str
    credential: str
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as its documentation says."""
        request = Request(scope, receive)
        body = await request.body()
        if request.headers.get("authorization") != self.credential:
            answer = JSONResponse({"detail": "No."}, 401)
        else:
            self.asked.append((request.method, request.url.path))
            answer = self.answer(request.method, request.url.path, json.loads(body) if body else {})
        await answer(scope, receive, send)

    def answer(self, method: str, path: str, body: Any) -> JSONResponse:
        """Answer one request that has its credential."""
        for exchange in kept(self.name)["link"]["exchanges"]:
            if exchange["request"] == f"{method} {path}":
                return JSONResponse(exchange["answer"])
        parts = path.removeprefix("/api/0/organizations/acme").strip("/").split("/")
        thing, rest = self.things[parts[1]], parts[2:]
        if rest == ["events", "latest"]:
            return JSONResponse(_exchanges("sentry", "an alert is read with its latest event")[1]["answer"])
        if rest == ["notes"]:
            notes = self.notes.setdefault(parts[1], [])
            if method == "POST":
                notes.append(body["note"]["content"])
                return JSONResponse({"note": _note(len(notes), notes[-1])}, 201)
            return JSONResponse({"notes": [_note(*each) for each in enumerate(notes, 1)]})
        assert not rest, (method, path)
        if method == "PUT":
            thing["status"] = body.get("incident", body)["status"]
        return JSONResponse({"incident": thing} if self.name == "pagerduty" else thing)


def _exchanges(name: str, case: str) -> Any:
    return kept(name)["cases"][case]["exchanges"]


def _note(number: int, text: str) -> dict[str, Any]:
    said = _exchanges("pagerduty", "an alert is commented")[0]["answer"]["note"]
    return {**said, "id": f"PW{number}", "content": text}


def pagerduty() -> Vendor:
    """The incident of the connector's examples."""
    made = Vendor("pagerduty", "Token token=canary-token")
    listed = _exchanges("pagerduty", "alerts are listed to the last page")[0]["answer"]["incidents"][0]
    for id_ in ("PGR0", "PGR1", "PGR2"):
        made.things[id_] = {**copy.deepcopy(listed), "id": id_}
        made.notes[id_] = ["Since shop@1.2, cart.py line 7."]
    return made


def sentry() -> Vendor:
    """The issue of the connector's examples."""
    made = Vendor("sentry", "Bearer canary-sntrys")
    listed = _exchanges("sentry", "alerts are listed to the last page")[0]["answer"][0]
    for id_ in ("1170820242", "1170820243", "1170820244"):
        made.things[id_] = {**copy.deepcopy(listed), "id": id_}
    return made


@dataclass
class Office:
    """Linkspan with a worker whose engine is scripted, a forge, and the account of the vendor."""

    app: App
    client: httpx2.AsyncClient
    forge: Forge
    engine: ScriptedEngine
    places: FakePlaces
    slack: Slack
    accounts: dict[str, str] = field(default_factory=dict)

    async def deliver(
        self, connector: str, body: Any, headers: Mapping[str, str], *, secret: str | None = None
    ) -> int:
        """Deliver what a product tells, signed as it signs, and let it be worked; answers the status."""
        raw, account = json.dumps(body).encode(), self.accounts[connector]
        secret = secret or (await self.app.hook_secrets.of_account(ACME, account)).reveal()
        proof = SIGNED[connector](secret, raw, time.time())
        answer = await self.client.post(
            f"/hooks/account/{account}", content=raw, headers={**headers, **proof}
        )
        await self.app.arrivals.work_due()
        return answer.status_code

    async def tell(self, name: str, event: str, id_: str, **more: Any) -> int:
        """Deliver the example of an event, of this thing."""
        (kept_,) = [each for each in KEPT[name] if each["tells"][0]["event"] == event]
        told = kept_["tells"][0]["id"]
        body = json.loads(json.dumps(kept_["body"]).replace(f'"{told}"', f'"{id_}"'))
        if name == "pagerduty":
            body["event"]["id"] += id_
        return await self.deliver(name, body, kept_["headers"], **more)

    async def until(self, run: str, state: str) -> Run:
        """Answer the run in that state; another end is told."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.app.runs.find(ACME, run)
                if found.state == state:
                    return found
                assert not found.is_finished, (found.state, found.error_message)
                await self.app.runs.bell.wait(0.05)

    async def decide(self, run: str, verdict: str, person: str) -> int:
        """Let the product's backend say that somebody has approved or declined; answers the status."""
        made = await self.app.tokens.create(ACME, subject="desk", scopes=("read", "run.approve"))
        headers = {"Authorization": f"Bearer {made.text.reveal()}"}
        answer = await self.client.post(f"/runs/{run}/{verdict}", headers=headers, json={"person": person})
        return answer.status_code


@asynccontextmanager
async def office(folder: Path, vendor: Vendor, host: str) -> AsyncIterator[Office]:
    """Start it with the page's file; the products are in this process."""
    places, slack = FakePlaces(folder / "home" / "work"), Slack()
    forge = Forge(url="https://api.github.com", git_url="https://github.com", tokens={FORGE_TOKEN: "acme"})
    forge.repository("acme/shop")
    forge.branches = lambda _name: {"main": "a" * 40, **dict.fromkeys(places.pushed, "b" * 40)}
    app = await build(
        Settings(home=folder / "home"),
        catalog=spec.load([tools_of("incident_response", folder, below="## PagerDuty and Sentry")], {}),
        transport=AsgiTransport(
            by_host({host: vendor, "api.github.com": forge.app(), "slack.com": slack.app()})
        ),
    )
    try:
        await app.tenants.add("acme")
        transport = httpx2.ASGITransport(app=Serving(app).asgi)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
            made = Office(app, client, forge, ScriptedEngine(), places, slack)
            how = kept(vendor.name)["link"]
            given = {"method": "bearer", "secrets": how["secrets"], "settings": how["settings"]}
            links = {
                "github": {"secrets": {"token": FORGE_TOKEN}},
                "slack": {"secrets": {"token": SLACK_TOKEN}},
                vendor.name: given,
            }
            for name, link in links.items():
                known = app.catalog.connectors[name]
                account = await app.accounts.link(ACME, known, verify=app.verifier, **link)
                made.accounts[name] = account.id
            real = GatewayForge(app.gateway, app.accounts, base=BASE, mask=str, random=os.urandom)
            parts = replace(parts_of(app, made), forge=real)
            app.arrivals.following = Following(parts, app.runs)
            async with working(app, parts):
                yield made
    finally:
        await app.aclose()


@pytest.mark.parametrize(
    ("product", "host", "starts", "given", "title"),
    [
        (
            pagerduty,
            "api.pagerduty.com",
            "alert.triggered",
            ["My Mail Service", "Since shop@1.2, cart.py line 7."],
            "The server is on fire. (#1234)",
        ),
        (
            sentry,
            "sentry.io",
            "alert.created",
            ["shop/cart.py", "return 1 / 0", "**Release**: 1.2", "b65bc521378269d3eaefdc964f8ef56621414943"],
            "ZeroDivisionError: division by zero (SHOP-1)",
        ),
    ],
    ids=["pagerduty", "sentry"],
)
async def test_an_alert_goes_its_whole_way(
    product: Callable[[], Vendor], host: str, starts: str, given: list[str], title: str, tmp_path: Path
) -> None:
    """Proved, read anew, worked, approved beside it, told and resolved; ended where it is over by itself."""
    vendor = product()
    name, (first, second, third) = vendor.name, vendor.things
    async with office(tmp_path, vendor, host) as made:
        app = made.app
        settings: dict[str, Any] = {"repository": "acme/shop", "on_call": ["ada"]}
        if name == "sentry":
            settings["channel"] = "C024BE91L"  # nothing can be written into its issues
        await app.recipes.enable(BO, f"fix_{name}", settings)
        vendor.asked.clear()
        assert await made.tell(name, starts, first, secret="canary-wrong") == 401
        assert (await app.runs.list(BO), await app.arrivals.list(ACME), vendor.asked) == ([], [], [])

        for _ in range(2):
            assert await made.tell(name, starts, first) == 200
        (run,) = await app.runs.list(BO)
        assert (run.source, run.entity_id) == (f"webhook:{name}", first)
        await made.until(run.id, "waiting_approval")
        assert any(method == "GET" and first in path for method, path in vendor.asked)
        materials = "\n".join(each.text for each in made.engine.tasks[0].materials)
        assert [each for each in given if each not in materials] == []
        assert "A little bump" not in materials
        assert made.places.pushed == []
        assert await made.decide(run.id, "approve", "somebody") == 403
        assert await made.decide(run.id, "approve", "ada") == 200
        await made.until(run.id, "succeeded")
        (pull,) = made.forge.repositories["acme/shop"].pulls
        assert (pull["title"], pull["draft"]) == (title, True)
        assert vendor.things[first]["status"] != "resolved"
        if name == "sentry":  # an alert rule that fires again, before anybody has merged it
            assert await made.tell(name, "alert.triggered", first) == 200
            assert await app.runs.list(BO) == [await app.runs.find(ACME, run.id)]

        pull |= {"state": "closed", "merged_at": "2026-11-20T09:00:00Z"}
        told = {"action": "closed", "repository": {"full_name": "acme/shop"}, "pull_request": pull}
        headers = {"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": uuid.uuid4().hex}
        ada = {"sender": {"id": 2, "login": "ada"}}
        assert await made.deliver("github", {**told, **ada}, headers) == 200
        assert vendor.things[first]["status"] == "resolved"
        said = [each.partition(".")[0].partition(":")[0] for each in vendor.notes.get(first, [])[1:]]
        assert said == (SAID if name == "pagerduty" else [])

        assert await made.tell(name, starts, second) == 200
        (other,) = [each for each in await app.runs.list(BO) if each.entity_id == second]
        await made.until(other.id, "waiting_approval")
        question = await app.runs.open_approval(BO, other.id)
        assert await made.tell(name, "alert.resolved", second) == 200
        ended = await made.until(other.id, "cancelled")
        assert f"{name}.alert.resolved" in str(ended.error_message)
        decided = {each.id: each.decision for each in await app.runs.approvals(BO, other.id)}
        assert decided[question.id] == "decline"

        assert await made.tell(name, starts, third) == 200
        (last,) = [each for each in await app.runs.list(BO) if each.entity_id == third]
        await made.until(last.id, "waiting_approval")
        assert await made.decide(last.id, "decline", "ada") == 200
        await made.until(last.id, "cancelled")
        assert len(made.forge.repositories["acme/shop"].pulls) == 1
        assert len(made.places.pushed) == 1
        said = [text.partition("\n")[0] for text in vendor.notes.get(third, [])[2:]]
        assert said == (["Codex has no fix. ada declined to publish it."] if name == "pagerduty" else [])
        title, summary = "ZeroDivisionError: division by zero", SUMMARY.partition(".")[0]
        asked = ("C024BE91L", f"Codex proposes a fix for {title}")
        heard = [(channel, text.partition(".")[0]) for channel, text in made.slack.said]
        wanted = [asked, ("C024BE91L", summary), asked, asked, ("C024BE91L", f"No fix for {title}")]
        assert heard == (wanted if name == "sentry" else [])
