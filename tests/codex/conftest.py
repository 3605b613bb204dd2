"""Linkspan with a run at work, its model proxy on a port, and a scripted model where OpenAI would be."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest
import yaml

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.process import listen, make_server
from linkspan.runs.tokens import Pair
from linkspan.serving import Serving
from linkspan.settings import Settings, parse_egress
from linkspan.store import runs as rows
from linkspan.store.accounts import Account
from linkspan.store.runs import Run
from tests.fakes.tracker import Tracker
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, Step
from tests.servers.serving import LOOPBACK, serving

ACME = Tenant("acme")
KEY = "key-canary-of-acme"
TRACKER = ROOT / "tests" / "fakes" / "tracker.yaml"
RECIPES = """
look:
  title: Look around
  budget: {minutes: 10, tokens: 1000}
  tools: [ticket.list, ticket.comment]
  prompt: Look around.
  output: {type: object, properties: {verdict: {type: string}}, required: [verdict]}
exact:
  title: Look around with one model
  model: gpt-test
  prompt: Look around.
dear:
  title: Look around for so much
  budget: {money: 1}
  prompt: Look around.
"""
PRICES = {"gpt-test": {"input": 10, "output": 100}}


@dataclass
class Bridge:
    """One Linkspan that serves, and the model behind it."""

    app: App
    url: str
    model: ScriptedModel
    tracker: Tracker
    run: Run
    pair: Pair
    http: httpx2.AsyncClient = field(repr=False)

    @property
    def token(self) -> str:
        """The run's token for its model."""
        return self.pair.model.reveal()

    def script(self, *steps: Step) -> None:
        """Give the model what it will say."""
        self.model.prepare(steps)

    def ask(
        self, *, token: str | None = None, **said: object
    ) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        """Ask the model as Codex does."""
        return self.http.stream(
            "POST",
            f"{self.url}/codex/v1/responses",
            json={"model": "gpt-test", "input": [], "stream": True, **said},
            headers={
                "Authorization": f"Bearer {self.token if token is None else token}",
                "x-codex-turn-metadata": '{"request_kind": "turn"}',
                "cookie": "a=b",
                "x-forwarded-for": "10.1.2.3",
                "openai-organization": "org-of-somebody-else",
            },
        )

    async def answer(self, *, token: str | None = None, **said: object) -> httpx2.Response:
        """Ask, and answer the whole of it."""
        async with self.ask(token=token, **said) as response:
            await response.aread()
            return response

    async def account(self) -> Account:
        """The tenant's account at OpenAI."""
        (found,) = await self.app.accounts.list(ACME, "openai")
        return found

    async def now(self) -> Run:
        """The run as it is now."""
        found = await rows.find(self.app.database, ACME, self.run.id)
        assert found is not None
        return found


async def begin(app: App, key: str = "k", recipe: str = "look") -> tuple[Run, Pair]:
    """Begin a run, as a worker does."""
    principal = Principal(ACME, "person", "bo")
    await app.recipes.enable(principal, recipe, {})
    run = await app.runs.start(principal, recipe, source="api", entity_id=None, key=key)
    taken = await rows.take(app.database, ACME, run.id, worker="w1", now=0.0)
    assert taken is not None
    changed = await rows.change(app.database, ACME, run.id, taken.epoch, 0.0, state="running")
    assert changed is not None
    return changed, await app.run_tokens.issue(changed, expires=4_000_000_000.0)


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    """Everything but Codex."""
    home = ROOT / ".work" / f"bridge-{uuid.uuid4().hex[:12]}"
    home.mkdir(parents=True)
    model, tracker = ScriptedModel(), Tracker()
    with serving(model) as upstream, serving(tracker.app()) as site:
        path = home / "tools.yaml"
        said = yaml.safe_load(TRACKER.read_text())
        said["connectors"]["openai"] = {"use": "openai", "base_url": f"{upstream}/v1"}
        path.write_text(
            yaml.safe_dump(
                {**said, "recipes": yaml.safe_load(RECIPES), "runs": {"prices": PRICES}}, sort_keys=False
            )
        )
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        app = await build(settings, catalog=spec.load([path], {}))
        await app.tenants.add("acme")
        connector = app.catalog.connectors["openai"]
        await app.accounts.link(ACME, connector, secrets={"token": KEY}, settings={"project": "proj_1"})
        desk = app.catalog.connectors["tracker"]
        secrets = {"token": "canary-acme"}
        await app.accounts.link(ACME, desk, secrets=secrets, settings={"site": site}, verify=app.verifier)
        run, pair = await begin(app)
        async with served(app) as url, httpx2.AsyncClient(timeout=20) as http:
            yield Bridge(app, url, model, tracker, run, pair, http)
        await app.aclose()
    shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def served(app: App, serving: Serving | None = None) -> AsyncIterator[str]:
    """Serve it on a port of its own, on this loop."""
    listener = listen(LOOPBACK, 0)
    port = listener.getsockname()[1]
    server = make_server(serving or Serving(app), Settings(home=app.settings.home, port=port))
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.should_exit = True
        await running
        listener.close()
