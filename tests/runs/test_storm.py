"""A storm of deliveries with duplicates, and a process that is killed in the middle: each event counts once.

The product delivers as products do: again until it is answered 2xx. What was read is counted at the product,
what was started in the runs. LINKSPAN_STORM says how many deliveries; what was measured is printed.
"""

from __future__ import annotations

import asyncio
import collections
import hmac
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linkspan.app import App
from tests.runs.conftest import ACME, BO
from tests.runs.dying import opened
from tests.servers.node import ROOT
from tests.servers.serving import accepts, free_port, running, serving
from tests.store.engines import Engine, Postgres

pytestmark = pytest.mark.e2e
COUNT = int(os.environ.get("LINKSPAN_STORM") or 1000)
AT_ONCE = 16
PATIENCE = 60.0 + COUNT / 10
TOOLS = """
linkspan: 1
name: storm
runs: {waiting: 100000}
instructions: Tickets of a tracker. Start with get_ticket.
connectors:
  tracker:
    base_url: URL
    auth: [{type: bearer}]
    webhooks:
      verify: {hmac: sha256, header: X-Signature, prefix: "sha256="}
      id: {body: delivery}
      events: {ticket.changed: {id: body.id}}
entities:
  ticket:
    model: ticket
    sources:
      tracker:
        fields: {id: id, title: title}
        operations: {get: {request: "GET /tickets/{id}"}}
recipes:
  look: {title: Look, entity: ticket, on: tracker.ticket.changed, when: "title != ''", prompt: Look.}
"""


class Tracker:
    """A product that counts how often each of its tickets is read."""

    def __init__(self) -> None:
        self.reads: collections.Counter[str] = collections.Counter()

    def app(self) -> Starlette:
        """Answer its API."""

        async def ticket(request: Request) -> JSONResponse:
            identified = request.path_params["id"]
            self.reads[identified] += 1
            return JSONResponse({"id": identified, "title": f"Ticket {identified}"})

        return Starlette(routes=[Route("/tickets/{id}", ticket)])


@dataclass
class Sender:
    """Delivers, again and again until it is answered."""

    client: httpx2.AsyncClient
    urls: list[str]
    secret: str
    seconds: list[float] = field(default_factory=list)
    """Of each answer."""
    accepted: int = 0
    refused: int = 0
    """Attempts that nobody answered."""

    async def deliver(self, number: int) -> None:
        """Deliver what happened to a ticket."""
        raw = json.dumps({"delivery": f"d{number}", "id": f"T-{number}"}).encode()
        signature = hmac.digest(self.secret.encode(), raw, "sha256").hex()
        headers = {"X-Signature": f"sha256={signature}"}
        for url in self._round():
            began = time.monotonic()
            try:
                answer = await self.client.post(url, content=raw, headers=headers)
            except httpx2.HTTPError:
                self.refused += 1
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code == 200, answer.text
            self.seconds.append(time.monotonic() - began)
            self.accepted += answer.json()["accepted"]
            return

    def _round(self) -> Iterator[str]:
        while True:
            yield random.choice(self.urls)


@contextmanager
def replica(command: list[str], port: int, log: Path) -> Iterator[Any]:
    """Run a process that serves on a port."""
    words = [word if word != "PORT" else str(port) for word in command]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "src", ROOT / "examples")))
    env = {**os.environ, "PYTHONPATH": path}
    with running(words, log=log, ready=lambda: accepts(port), env=env, cwd=ROOT, seconds=60) as process:
        yield process


async def until_worked(app: App, count: int) -> None:
    """Wait until every event is worked."""
    sql = "SELECT state, count(*) AS n FROM arrivals GROUP BY state"
    async with asyncio.timeout(PATIENCE):
        while True:
            there = {row["state"]: row["n"] for row in await app.database.query(sql)}
            if there == {"done": count}:
                return
            assert set(there) <= {"done", "pending"}, there
            await app.runs.bell.wait(0.2)


async def test_none_is_lost_and_none_is_worked_twice(engine: Engine, tmp_path: Path) -> None:
    """However often it is delivered, and though one of those who take them is killed among them."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    database = str(engine.place) if isinstance(engine, Postgres) else None
    tracker, tools = Tracker(), tmp_path / "storm.yaml"
    unique = COUNT * 9 // 10
    chance = random.Random(COUNT)
    order = [*range(unique), *chance.sample(range(unique), COUNT - unique)]
    chance.shuffle(order)
    with ExitStack() as stack:
        tools.write_text(TOOLS.replace("URL", stack.enter_context(serving(tracker.app()))))
        app = await opened(home, database, [tools])
        tenant = await app.tenants.add("acme")
        connector = app.catalog.connectors["tracker"]
        account = await app.accounts.link(tenant, connector, secrets={"token": "canary-token"})
        secret = (await app.hook_secrets.of_account(ACME, account.id)).reveal()
        await app.recipes.enable(BO, "look", {})
        ports = [free_port() for _ in range(2 if database else 1)]
        command = [
            sys.executable,
            "-m",
            "tests.runs.storming",
            str(home),
            database or "-",
            "PORT",
            str(tools),
        ]
        log = tmp_path / "storm.log"
        first = stack.enter_context(replica(command, ports[0], log))
        for port in ports[1:]:
            stack.enter_context(replica(command, port, log))
        urls = [f"http://127.0.0.1:{port}/hooks/account/{account.id}" for port in ports]
        began = time.monotonic()
        async with httpx2.AsyncClient(timeout=30.0) as sending:
            sender = Sender(sending, urls, secret)
            waiting = asyncio.Queue[int]()
            for number in order:
                waiting.put_nowait(number)

            async def send() -> None:
                while not waiting.empty():
                    await sender.deliver(waiting.get_nowait())

            senders = [asyncio.create_task(send()) for _ in range(AT_ONCE)]
            while waiting.qsize() > COUNT // 2:  # noqa: ASYNC110 - a queue tells of no length
                await asyncio.sleep(0.01)
            os.killpg(first.pid, signal.SIGKILL)
            await asyncio.to_thread(first.wait)
            again = replica(command, ports[0], log)
            await asyncio.to_thread(again.__enter__)
            stack.push(again.__exit__)
            await asyncio.gather(*senders)
            delivered = time.monotonic() - began
        await until_worked(app, unique)
        worked = time.monotonic() - began
        runs = await app.database.query("SELECT id, entity_id, events FROM runs")
        await app.aclose()
    assert sorted(row["entity_id"] for row in runs) == sorted(f"T-{number}" for number in range(unique))
    assert {row["events"] for row in runs} == {1}
    assert set(tracker.reads) == {f"T-{number}" for number in range(unique)}
    assert sum(tracker.reads.values()) - unique <= 8, "only what was under way at the kill is read again"
    took = sorted(sender.seconds)
    half, most = took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000
    print(  # noqa: T201 - it is to be written down
        f"\n{COUNT} deliveries, {COUNT - unique} of them a second time, on {type(engine).__name__}:"
        f" half answered in {half:.0f} ms, 99% in {most:.0f} ms; delivered at {COUNT / delivered:.0f} a"
        f" second and worked at {unique / worked:.0f} a second, with a kill in the middle"
        f" ({sender.refused} attempts unanswered)"
    )
    assert half <= most < 1000
