"""Two installations that watch each other's comments at one tracker stop after one round."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan.app import App, build
from linkspan.runs.hooks import OWN, OWN_WORDS
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.spec.recipe import read
from linkspan.store.deliveries import Arrival
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, DESK, House, catalog
from tests.runs.test_hooks import person
from tests.runs.working import Works, parts_of, working

ANSWER = {
    "title": "Answer",
    "entity": "ticket",
    "on": "desk.ticket.commented",
    "prompt": "Answer.",
    "write_back": {"started": "I look at it.", "finished": "{{ run.summary }}"},
}


@dataclass
class Two:
    """Two installations at acme's desk, each with an account of its own and the same recipe."""

    house: House
    apps: dict[str, App]
    """By where the desk delivers."""
    doors: dict[str, httpx2.AsyncClient]

    async def deliver(self) -> int:
        """Let the desk deliver what happened, and both work it; answers how many deliveries that were."""
        sent = 0

        async def post(url: str, headers: Any, body: bytes) -> int:
            nonlocal sent
            sent += 1
            host = url.split("/")[2]
            answer = await self.doors[host].post(url, content=body, headers=dict(headers))
            return answer.status_code

        await self.house.desk.outbox.deliver_due(post)
        for app in self.apps.values():
            while await app.arrivals.work_due():
                pass
        return sent

    async def work(self, host: str) -> None:
        """Work the runs of one of them to their ends, which comment."""
        app = self.apps[host]
        house = replace(self.house, app=app)
        works = Works(house, ScriptedEngine(), FakePlaces(app.settings.home / "work"), FakeForge())
        async with working(app, parts_of(app, works)):
            for run in await app.runs.list(BO):
                assert (await works.until(run.id)).state == "succeeded"

    async def arrived(self, host: str) -> list[Arrival]:
        """Answer what came to one of them."""
        return list(await self.apps[host].arrivals.list(ACME))


@pytest.fixture
async def two(house: House, seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[Two]:
    """Codex's account is linked here, and mara's at somebody else's Linkspan."""
    other = await build(
        Settings(home=tmp_path / "other"),
        catalog=catalog(),
        transport=house.transport,
        clock=lambda: house.now[0],
    )
    await other.tenants.add("acme")
    await other.accounts.link(
        ACME,
        other.catalog.connectors["desk"],
        settings={"site": DESK},
        secrets={"token": seeded[1]["tokens"]["acme"]["mara"]},
        verify=other.verifier,
    )
    apps = {"127.0.0.1:8701": house.app, "127.0.0.1:8702": other}
    doors = {}
    async with AsyncExitStack() as stack:
        for host, app in apps.items():
            app.gateway.replace_catalog(replace(app.catalog, recipes={"answer": read("answer", ANSWER)}))
            await app.recipes.enable(BO, "answer", {})
            (account,) = await app.accounts.list(ACME, "desk")
            secret = await app.hook_secrets.of_account(ACME, account.id)
            house.desk.store.insert(
                "webhooks",
                {
                    "id": f"whk_{host}",
                    "org": "acme",
                    "url": f"http://{host}/hooks/account/{account.id}",
                    "secret": secret.reveal(),
                    "events": json.dumps(["ticket.commented"]),
                    "created": 1.0,
                },
            )
            transport = httpx2.ASGITransport(app=Serving(app).asgi)
            doors[host] = await stack.enter_async_context(httpx2.AsyncClient(transport=transport))
        yield Two(house, apps, doors)
        await other.aclose()


async def test_two_that_watch_each_other_stop_after_one_round(two: Two) -> None:
    """A person's comment is answered by both; what they wrote is answered by neither."""
    priya = person(two.house)
    two.house.desk.tickets.comment(priya, "HC-103", {"body_markdown": "It fails at noon."})
    assert await two.deliver() == 2
    for host in two.apps:
        await two.work(host)
    rounds = 0
    while await two.deliver():
        rounds += 1
        assert rounds < 5
    for host, app in two.apps.items():
        assert len(await app.runs.list(BO)) == 1
        told = [each.outcome for each in await two.arrived(host) if each.state == "ignored"]
        assert sorted(map(str, told)) == [OWN_WORDS] * 2 + [OWN] * 2
    assert rounds == 1


async def test_a_persons_next_comment_is_answered_again(two: Two) -> None:
    """Who wrote is told apart, not the thing."""
    priya = person(two.house)
    for words in ("It fails at noon.", "And at midnight."):
        two.house.now[0] += 1
        two.house.desk.tickets.comment(priya, "HC-103", {"body_markdown": words})
        await two.deliver()
        await two.work("127.0.0.1:8701")
    assert len(await two.apps["127.0.0.1:8701"].runs.list(BO)) == 2
