"""What a recipe needs to run whole: a forge with real git, a scripted model, Linkspan that serves and works.

Real are Codex, git behind TLS, our server with its model proxy and MCP endpoint, and the journal. The model
is scripted, so that nothing here shows how well a real one would do the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.codex.agents_api import AgentsApi
from linkspan.codex.hosted import Hosted
from linkspan.codex.responses import Responses
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.settings import Settings, parse_egress
from linkspan.store.runs import Run
from linkspan.working import work_with
from tests.codex.conftest import served
from tests.fakes.forge import Forge
from tests.fakes.forge_reviews import Reviews
from tests.fakes.openai_api import HostedOpenAI
from tests.recipes.pages import tools_of
from tests.runs.shop import parts_at
from tests.servers.authority import Authority
from tests.servers.git import GitServer, git, git_server
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel
from tests.servers.serving import serving

ACME: Final = Tenant("acme")
BO: Final = Principal(ACME, "person", "bo")
TOKEN: Final = "canary-forge-token"
KEY: Final = "key-canary-of-acme"
PATIENCE: Final = 120.0


@dataclass
class Town:
    """Everything of it."""

    app: App
    forge: Forge
    git: GitServer
    model: ScriptedModel
    url: str
    accounts: dict[str, str] = field(default_factory=dict)
    """Connector to the id of its account."""

    async def until(self, run: str, *states: str) -> Run:
        """Answer the run in one of these states, or at its end."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.app.runs.find(ACME, run)
                if found.state in states or found.is_finished:
                    return found
                await self.app.runs.bell.wait(0.2)

    async def runs(self, count: int) -> list[Run]:
        """Answer the runs, the newest first, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(found := await self.app.runs.list(BO)) < count:
                await self.app.runs.bell.wait(0.2)
        return sorted(found, key=lambda run: run.created, reverse=True)

    async def approve(self, run: str) -> Run:
        """Approve what a run asks, and answer it at its end."""
        waiting = await self.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", (waiting.state, waiting.error_message)
        question = await self.app.runs.open_approval(BO, run)
        await self.app.runs.decide(BO, run, question.id, "approve")
        return await self.until(run)

    async def deliver(
        self, connector: str, body: Any, headers: Mapping[str, str] | None = None, *, signed: str = ""
    ) -> None:
        """Deliver an event as the product does; `signed` is the header of its signature, with a prefix."""
        raw = json.dumps(body).encode()
        account = self.accounts[connector]
        secret = await self.app.hook_secrets.of_account(ACME, account)
        name, _, prefix = signed.partition(": ")
        sent = dict(headers or {})
        if name:
            sent[name] = prefix + hmac.digest(secret.reveal().encode(), raw, "sha256").hex()
        async with httpx2.AsyncClient() as client:
            answer = await client.post(
                f"{self.url}/hooks/account/{account}",
                content=raw,
                headers={**sent, "Content-Type": "application/json"},
            )
        assert answer.status_code == 200, answer.text

    async def from_github(self, event: str, action: str, thing: Mapping[str, Any], **more: Any) -> None:
        """Deliver what GitHub tells of an issue or of a pull request."""
        kind = "issue" if event.startswith("issue") else "pull_request"
        body = {"action": action, "repository": {"full_name": "acme/shop"}, kind: dict(thing), **more}
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": uuid.uuid4().hex}
        await self.deliver("github", body, headers, signed="X-Hub-Signature-256: sha256=")


async def newest_approved(app: App, count: int) -> Run:
    """Approve the newest of so many runs when it asks, and answer it at its end."""
    is_decided = False
    async with asyncio.timeout(PATIENCE):
        while True:
            found = sorted(await app.runs.list(BO), key=lambda run: (run.created, run.id))
            run = found[-1] if len(found) == count else None
            if run is not None and run.state == "waiting_approval" and not is_decided:
                question = await app.runs.open_approval(BO, run.id)
                await app.runs.decide(BO, run.id, question.id, "approve")
                is_decided = True
            if run is not None and run.is_finished:
                assert run.state == "succeeded", run.error_message
                return run
            await app.runs.bell.wait(0.1)


@contextlib.asynccontextmanager
async def town(
    tmp_path: Path,
    page: str,
    files: Mapping[str, str],
    *,
    connectors: Mapping[str, Any] | None = None,
    links: Sequence[tuple[str, Mapping[str, str], Mapping[str, str]]] = (),
    recipes: Mapping[str, Any] | None = None,
    entities: Mapping[str, Any] | None = None,
    hosted: HostedOpenAI | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Town]:
    """Start it with the tools.yaml of a page and a repository acme/shop.

    `connectors` says where the products of the page are in this test, and `recipes` and `entities` what is
    otherwise in its recipes and entities; `links` are further accounts, as connector, settings and secrets.
    `hosted` is OpenAI in the scripted model's place, for runs that are worked there.
    """
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority, model = Authority(tmp_path / "tls"), ScriptedModel()
    forge = Forge(tokens={TOKEN: "acme"})
    home = ROOT / ".work" / f"town-{uuid.uuid4().hex[:12]}"  # Codex refuses a home below /tmp
    with (
        git_server(tmp_path / "repositories", authority) as server,
        serving(forge.app()) as forge_url,
        serving(model if hosted is None else hosted.app()) as model_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/shop", files)
        forge.url, forge.git_url, forge.branches = forge_url, server.url, server.branches
        forge.changes = Reviews(lambda name, *words: git(server.root / f"{name}.git", *words))
        forge.repository("acme/shop")
        places = tmp_path / "places.yaml"
        where = {
            "github": {"base_url": forge_url, "git": {"base_url": server.url}},
            "openai": {"base_url": f"{model_url}/v1"},
            **(connectors or {}),
        }
        words = {"connectors": where, "recipes": dict(recipes or {}), "entities": dict(entities or {})}
        places.write_text(yaml.safe_dump(words))
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        app = await build(settings, catalog=spec.load([tools_of(page, tmp_path), places], {}), clock=clock)
        await app.tenants.add("acme")
        made = {}
        for connector, given, secrets in (
            ("github", {}, {"token": TOKEN}),
            ("openai", {}, {"token": KEY}),
            *links,
        ):
            known = app.catalog.connectors[connector]
            account = await app.accounts.link(ACME, known, settings=given, secrets=secrets)
            made[connector] = account.id
        async with served(app) as url:
            proxy = EgressProxy(EgressGuard(settings.egress), random=os.urandom)
            parts = parts_at(app, url, authority, proxy, clock=clock)
            if hosted is not None:
                hosted.key, hosted.behind = KEY, url
                asks = Hosted(
                    app.relay, app.run_tokens, public_url=hosted.public, clock=time.time, random=os.urandom
                )
                there = (AgentsApi(asks, sleep=hosted.pace), Responses(asks, sleep=hosted.pace))
                engines = {engine.name: engine for engine in there}
                parts = replace(parts, engines={**parts.engines, **engines})
            working = asyncio.create_task(work_with(app, parts, worker="wrk_town"))
            try:
                yield Town(app, forge, server, model, url, made)
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                await proxy.aclose()
        await app.aclose()
    shutil.rmtree(home, ignore_errors=True)
