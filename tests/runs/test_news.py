"""What webhooks are told of runs: each thing once, written in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkspan.accounts.webhooks import NewWebhook
from tests.fakes.engine import ScriptedEngine, ask, fail
from tests.fakes.places import FakeForge, FakePlaces
from tests.fakes.receiver import verify
from tests.runs.conftest import BO, House
from tests.runs.working import Works, parts_of, working

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
