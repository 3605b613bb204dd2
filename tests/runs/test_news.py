"""What webhooks are told of runs: each thing once, written in the transaction in which it happens."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan.accounts.webhooks import NewWebhook
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine, ask, edit, fail
from tests.fakes.places import FakeForge, FakePlaces
from tests.fakes.receiver import verify
from tests.runs.conftest import ACME, BO, House
from tests.runs.working import Works, parts_of, working
from tests.servers.node import ROOT

HOOK = "https://hooks.example/runs"


@pytest.fixture
async def hook(house: House) -> NewWebhook:
    """A webhook that hears of the runs of acme."""
    return await house.app.webhooks.add(HOOK, tenant="acme", events=RUNS)


@pytest.fixture
async def works(house: House, hook: NewWebhook) -> AsyncIterator[Works]:
    """A worker at work, with recipes turned on."""
    for recipe in ("mend", "patch", "careful"):
        await house.enable(recipe)
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)):
        yield made


RUNS = [
    f"run:{name}"
    for name in ("queued", "started", "waiting_approval", "succeeded", "failed", "cancelled", "timed_out")
]


async def told(house: House, hook: NewWebhook) -> list[tuple[str, dict[str, Any]]]:
    """Deliver what waits, and answer what the receiver was told, as it was written; all of it genuine."""
    await house.app.outbox.deliver_due()
    messages = [
        verify(hook.secret.reveal(), headers, body, now=house.now[0])
        for headers, body in house.hooks.messages
    ]
    messages.sort(key=lambda message: int(message["id"].split("_")[1]))
    return [(each["event"].removeprefix("run:"), each["payload"]) for each in messages]


class Listener:
    """Follows a run over HTTP, as a browser or a backend does."""

    def __init__(self, http: httpx2.AsyncClient, run: str) -> None:
        self._http, self._run = http, run
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._more = asyncio.Event()

    async def follow(self) -> None:
        """Take what is told until the run has ended."""
        accept = {"Accept": "text/event-stream"}
        async with self._http.stream("GET", f"/runs/{self._run}/events", headers=accept) as answer:
            name = ""
            async for line in answer.aiter_lines():
                word, _, rest = line.partition(": ")
                if word == "event":
                    name = rest
                elif word == "data":
                    told = json.loads(rest)
                    self.heard.append((name, told.get("data", told)))
                    self._more.set()

    async def until(self, kind: str) -> dict[str, Any]:
        """Answer what the first event of a kind says, once it came."""
        async with asyncio.timeout(60):
            while not (found := [data for name, data in self.heard if name == kind]):
                await self._more.wait()
                self._more.clear()
        return found[0]


async def printed(home: Path, *words: str) -> str:
    """Answer what a command prints, as a process of its own with the same home."""
    env = {**os.environ, "LINKSPAN_HOME": str(home), "LINKSPAN_CONFIG": str(ROOT / "tools.yaml")}
    command = [sys.executable, "-m", "linkspan", *words]
    made = await asyncio.create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=STDOUT)
    async with asyncio.timeout(60):
        output, _ = await made.communicate()
    assert made.returncode == 0, output.decode()
    return output.decode()


async def test_from_a_ticket_to_a_pull_request(works: Works, hook: NewWebhook) -> None:
    """Asked for, begun, asking, and done: with the run as GET /runs/ID shows it."""
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    asked = await works.house.app.runs.open_approval(BO, run.id)
    await works.house.app.runs.decide(BO, run.id, asked.id, "approve")
    await works.until(run.id)
    heard = dict(await told(works.house, hook))
    assert list(heard) == ["queued", "started", "waiting_approval", "succeeded"]
    assert {each["id"] for each in heard.values()} == {run.id}
    assert [each["state"] for each in heard.values()] == [
        "queued", "preparing", "waiting_approval", "succeeded"
    ]  # fmt: skip
    assert heard["succeeded"]["pull_request"]["number"] == 7
    question = heard["waiting_approval"]["approval"]
    assert (question["id"], question["kind"], question["decided"]) == (asked.id, "publish", None)
    assert question["data"]["branch"] == f"codex/{run.id}"
    assert question["deadline"].endswith("Z")


async def test_each_question_is_told_with_what_answers_it(works: Works, hook: NewWebhook) -> None:
    """A command that Codex asks for reaches whoever hears of runs, and the id that was told answers it."""
    works.engine.acts = [ask("make deploy")]
    run = await works.start("careful")
    await works.until(run.id, "waiting_approval")
    event, payload = (await told(works.house, hook))[-1]
    assert (event, payload["state"]) == ("waiting_approval", "waiting_approval")
    question = payload["approval"]
    assert (question["kind"], question["data"]["command"]) == ("command", "make deploy")
    await works.house.app.runs.decide(BO, payload["id"], question["id"], "approve")
    await works.until(run.id)


@pytest.mark.parametrize(
    ("kind", "recipe", "about"),
    [
        ("command", "careful", {"command": "make deploy"}),
        ("file_change", "careful", {"changes": [{"path": "/srv/till.txt", "kind": {"type": "add"}}]}),
        ("publish", "mend", {}),
    ],
)
async def test_a_question_reaches_everybody_and_its_id_answers_it(
    works: Works, hook: NewWebhook, kind: Any, recipe: str, about: dict[str, Any]
) -> None:
    """Its stream, its list, the command line and the webhook name one question; who answered is streamed."""
    if kind != "publish":
        works.engine.acts = [edit("calc.py", "total = 3\n"), ask(kind=kind, **about)]
    app = works.house.app
    service = await app.tokens.create(ACME, subject="shop", scopes=("read", "write", "run.approve"))
    headers = {"Authorization": f"Bearer {service.text.reveal()}"}
    run = (await works.start(recipe)).id
    async with (
        served(app) as url,
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http,
        asyncio.TaskGroup() as group,
    ):
        listener = Listener(http, run)
        following = group.create_task(listener.follow())
        asked = await listener.until("asked")
        await works.until(run, "waiting_approval")
        question = asked["approval"]
        assert asked["what"] == kind
        (listed,) = (await http.get(f"/runs/{run}/approvals")).raise_for_status().json()["result"]
        assert (listed["id"], listed["kind"], listed["decided"]) == (question, kind, None)
        assert about.items() <= listed["data"].items()
        shown = await printed(app.settings.home, "run", "show", run, "--tenant", "acme")
        assert f"{kind} ({question})" in shown
        assert f"linkspan run approve {run} {question}, or decline" in shown
        async with asyncio.timeout(60):
            while "waiting_approval" not in (heard := dict(await told(works.house, hook))):
                await app.runs.bell.wait(0.05)
        assert heard["waiting_approval"]["approval"] == listed
        path = f"/runs/{run}/approvals/{question}/approve"
        answered = await http.post(path, json={"person": "bo", "note": "good"})
        by = {"kind": "service", "subject": "shop", "person": "bo"}
        assert answered.raise_for_status().json()["result"]["decided"]["by"] == by
        decided = await listener.until("decided")
        assert decided == {"approval": question, "decision": "approve", "by": "service:shop for bo"}
        assert (await works.until(run)).state == "succeeded"
        async with asyncio.timeout(60):
            await following
        assert [name for name, _data in listener.heard].count("asked") == 1
        assert listener.heard[-1][0] == "end"


@pytest.mark.parametrize(
    ("acts", "event", "code"),
    [([fail("rate_limited", "The model has no time.")], "failed", "rate_limited"),
     ([fail("upstream_timeout", "")], "timed_out", "timed_out")],
)  # fmt: skip
async def test_a_bad_end_says_why(
    works: Works, hook: NewWebhook, acts: list[Any], event: str, code: str
) -> None:
    """With the code and the sentence that people read."""
    works.engine.acts = acts
    run = await works.start()
    done = await works.until(run.id)
    heard = await told(works.house, hook)
    assert [each[0] for each in heard] == ["queued", "started", event]
    assert heard[-1][1]["error"] == {"code": code, "message": done.error_message}


async def test_one_that_nobody_has_begun(house: House, hook: NewWebhook) -> None:
    """Cancelled before its turn it is told as queued and cancelled, each once, whoever asks again."""
    await house.enable("mend")
    for _ in range(2):
        run = await house.app.runs.start(BO, "mend", source="api", key="k", entity_id="HC-103")
    for _ in range(2):
        await house.app.runs.cancel(BO, run.id)
    assert [each[0] for each in await told(house, hook)] == ["queued", "cancelled"]


async def test_other_tenants_and_other_events_are_not_told(house: House) -> None:
    """A webhook of globex, or one for accounts alone, hears of no run of acme; a dead one can be replayed."""
    await house.enable("mend")
    await house.app.webhooks.add(HOOK, tenant="globex")
    await house.app.webhooks.add(HOOK, events=["integrated_account:active"])
    every = await house.app.webhooks.add(HOOK)
    await house.app.runs.start(BO, "mend", source="api", key="k", entity_id="HC-103")
    (delivery,) = await house.app.outbox.list()
    assert (delivery.webhook, delivery.event, delivery.tenant) == (every.webhook.id, "run:queued", "acme")
    await house.app.outbox.deliver_due()
    await house.app.outbox.replay(delivery.public_id)
    await house.app.outbox.deliver_due()
    assert house.hooks.ids == [delivery.public_id] * 2
