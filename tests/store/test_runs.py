"""Runs in the store, on both engines."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from linkspan.store import (
    approvals,
    artifacts,
    recipes,
    run_events,
    run_terms,
    run_turns,
    runs,
    starts,
    tenants,
    tokens,
    usage,
    workers,
)
from linkspan.store.approvals import Approval
from linkspan.store.artifacts import Artifact
from linkspan.store.database import Database
from linkspan.store.recipes import RecipeSettings
from linkspan.store.runs import Run
from tests.store.rows import run, token


@pytest.fixture
async def acme(db: Database) -> Database:
    """A database with two tenants."""
    await tenants.add(db, "acme", 1.0)
    await tenants.add(db, "bolt", 1.0)
    return db


async def begun(db: Database, **changes: Any) -> Run:
    """Answer a run that a worker has taken."""
    await starts.add(db, run("acme", **changes))
    taken = await runs.take(db, "acme", changes.get("id", "run_1"), worker="w1", now=2.0)
    assert taken is not None
    return taken


async def test_a_run_is_stored_as_it_is(acme: Database) -> None:
    """All columns come back, and there is no run without its tenant."""
    one = run("acme", pull_request={"number": 7}, versions={"codex": "0.169.0"}, cost=0.5, summary="Done.")
    assert await starts.add(acme, one) == (one, True)
    assert await runs.find(acme, "acme", "run_1") == one
    assert await runs.find(acme, "bolt", "run_1") is None
    assert await starts.add(acme, run("ghost")) is None


async def test_a_run_is_stored_once(acme: Database) -> None:
    """Whoever comes later under its id is answered the first one, untouched."""
    first = run("acme")
    await starts.add(acme, first)
    assert await starts.add(acme, replace(first, entity_id="HC-999", created=9.0)) == (first, False)


async def test_two_that_start_one_run_at_once(acme: Database, other: Database) -> None:
    """One of them made it."""
    made = await asyncio.gather(*(starts.add(db, run("acme")) for db in (acme, other) for _ in range(4)))
    assert [each is not None and each[1] for each in made].count(True) == 1


async def test_two_runs_for_one_thing_at_once(acme: Database, other: Database) -> None:
    """One is begun, and the others are answered it; another recipe, and the next one when it ended, may."""
    stores = [(db, f"run_{number}") for number, db in enumerate((acme, other) * 3)]
    made = await asyncio.gather(*(starts.add(db, run("acme", id=name)) for db, name in stores))
    assert [each is not None and each[1] for each in made].count(True) == 1
    (first,) = {each[0].id for each in made if each is not None and each != "full"}
    assert await starts.add(acme, run("acme", id="run_9", recipe="review")) is not None
    await runs.ask_to_stop(acme, "acme", first, who="person:bo", now=2.0)
    after = await starts.add(acme, run("acme", id="run_10"))
    assert after is not None
    assert after[1]


async def test_who_took_a_run_last_has_it(acme: Database) -> None:
    """What an earlier worker writes is not written: no column, no event, no artifact."""
    zombie = await begun(acme)
    owner = await runs.take(acme, "acme", "run_1", worker="w2", now=3.0)
    assert owner is not None
    assert (zombie.epoch, owner.epoch, owner.worker, owner.started) == (1, 2, "w2", 2.0)
    assert await runs.change(acme, "acme", "run_1", zombie.epoch, 4.0, state="publishing") is None
    assert not await runs.holds(acme, "acme", "run_1", zombie.epoch)
    assert await run_events.append(acme, "acme", "run_1", [(4.0, "state", {})], epoch=zombie.epoch) is None
    assert not await artifacts.put(acme, artifact(), epoch=zombie.epoch)
    changed = await runs.change(acme, "acme", "run_1", owner.epoch, 5.0, state="running", thread_id="t")
    assert changed == replace(owner, state="running", thread_id="t", updated=5.0)
    assert await artifacts.find(acme, "acme", "run_1", "diff") is None


async def test_who_lost_a_run_neither_asks_nor_withdraws_nor_mints(acme: Database) -> None:
    """Questions and tokens are those of who has it now, and stay as they are."""
    zombie = await begun(acme)
    owner = await runs.take(acme, "acme", "run_1", worker="w2", now=3.0)
    assert owner is not None
    assert await approvals.ask(acme, approval(), epoch=zombie.epoch) is None
    asked = await approvals.ask(acme, approval(), epoch=owner.epoch)
    assert await approvals.withdraw(acme, "acme", "run_1", 4.0, epoch=zombie.epoch, everything=True) is None
    assert await approvals.find(acme, "acme", "apr_1") == asked
    mine, theirs = (
        token("acme", id=name, kind="run", principal_kind="run", subject="run_1")
        for name in ("minemineminf", "theirstheirs")
    )
    assert await tokens.change_run(acme, "acme", "run_1", [mine], 4.0, epoch=owner.epoch)
    for given in ([theirs], []):
        assert not await tokens.change_run(acme, "acme", "run_1", given, 5.0, epoch=zombie.epoch)
    kept = await tokens.find_run(acme, mine.id)
    assert kept is not None
    assert kept.revoked is None
    assert await tokens.find_run(acme, theirs.id) is None
    assert await tokens.change_run(acme, "acme", "run_1", [], 6.0, epoch=owner.epoch)
    assert await approvals.withdraw(acme, "acme", "run_1", 6.0, epoch=owner.epoch, everything=True) == 1
    ended = await tokens.find_run(acme, mine.id)
    assert ended is not None
    assert ended.revoked == 6.0


async def test_so_many_of_a_tenant_wait(acme: Database, other: Database) -> None:
    """Of several asked for at once no more than may; what is worked does not count, nor what others have."""
    stores = [(db, number) for number, db in enumerate((acme, other) * 3)]
    made = await asyncio.gather(
        *(starts.add(db, run("acme", id=f"run_{n}", entity_id=f"HC-{n}"), most_waiting=2) for db, n in stores)
    )
    assert made.count("full") == 4
    (first, *_) = [each[0].id for each in made if each is not None and each != "full"]
    assert await starts.add(acme, run("bolt", id="run_8"), most_waiting=2) != "full"
    taken = await runs.take(acme, "acme", first, worker="w1", now=2.0)
    assert taken is not None
    await runs.change(acme, "acme", first, taken.epoch, 2.0, state="preparing")
    assert await starts.add(acme, run("acme", id="run_9", entity_id="HC-9"), most_waiting=2) != "full"


async def test_workers_are_answered_what_is_to_be_seen_to(acme: Database) -> None:
    """What was asked lately, and what was taken by who is gone; not what waits for a person or is over."""
    await starts.add(acme, run("acme", id="run_1", entity_id="HC-1", created=1.0))
    await starts.add(acme, run("acme", id="run_2", entity_id="HC-2", created=5.0))
    for number, state in enumerate(("queued", "running", "waiting_approval", "publishing"), start=3):
        taken = await begun(acme, id=f"run_{number}", entity_id=f"HC-{number}", created=float(number))
        worker = None if state == "waiting_approval" else "w1"
        await runs.change(acme, "acme", taken.id, taken.epoch, 9.0, state=state, worker=worker)
    assert await run_turns.asked_since(acme, 0.0) == [("acme", "run_1"), ("acme", "run_2")]
    assert await run_turns.asked_since(acme, 2.0) == [("acme", "run_2")]

    async def alone(*living: str, also_queued: bool = True) -> list[str]:
        return [each.id for each in await run_turns.left_alone(acme, living, also_queued=also_queued)]

    assert await alone("w1", "w2") == []
    assert await alone("w2") == ["run_3", "run_4", "run_6"]
    assert await alone("w2", also_queued=False) == ["run_4", "run_6"]
    assert await alone() == await alone("w2")
    assert [each.id for each in await run_turns.with_ids(acme, {"run_2", "run_9"})] == ["run_2"]
    assert await run_turns.with_ids(acme, set()) == []


async def test_a_run_that_ended_stays_so(acme: Database) -> None:
    """Nobody takes it again, and its own worker writes nothing more."""
    taken = await begun(acme)
    ended = await runs.change(acme, "acme", "run_1", taken.epoch, 3.0, state="succeeded", finished=3.0)
    assert ended is not None
    assert ended.is_finished
    assert await runs.take(acme, "acme", "run_1", worker="w2", now=4.0) is None
    assert await runs.change(acme, "acme", "run_1", taken.epoch, 4.0, state="failed") is None
    assert await runs.ask_to_stop(acme, "acme", "run_1", who="person:bo", now=4.0) is None
    assert await run_turns.going_on(acme) == []


async def test_a_column_that_is_not_there_is_a_mistake(acme: Database) -> None:
    """And neither its beginning nor the count of its events is changed so."""
    taken = await begun(acme)
    for column in ("stat", "events", "created"):
        with pytest.raises(ValueError, match=column):
            await runs.change(acme, "acme", "run_1", taken.epoch, 3.0, **{column: "x"})


async def test_a_run_that_nobody_took_ends_at_once(acme: Database) -> None:
    """One that was taken is told; the first who asked is remembered."""
    await starts.add(acme, run("acme"))
    ended = await runs.ask_to_stop(acme, "acme", "run_1", who="person:bo", now=2.0)
    assert ended is not None
    assert (ended.state, ended.finished, ended.stopped_by) == ("cancelled", 2.0, "person:bo")
    await begun(acme, id="run_2")
    for who in ("person:bo", "person:al"):
        told = await runs.ask_to_stop(acme, "acme", "run_2", who=who, now=3.0)
        assert told is not None
        assert (told.state, told.stop, told.stopped_by) == ("queued", "cancel", "person:bo")


async def test_lists_find_what_is_asked(acme: Database) -> None:
    """By state, recipe, thing and person; last changed first, or in order for whoever follows."""
    await starts.add(acme, run("acme", id="run_1", updated=1.0, entity_id="HC-1"))
    await starts.add(acme, run("acme", id="run_2", updated=2.0, person="al"))
    await starts.add(
        acme, run("acme", id="run_3", updated=3.0, recipe="review", state="succeeded", finished=3.0)
    )
    await starts.add(acme, run("bolt", id="run_4", updated=4.0))

    async def ids(**asked: Any) -> list[str]:
        return [each.id for each in await runs.listed(acme, "acme", **asked)]

    assert await ids() == ["run_3", "run_2", "run_1"]
    assert await ids(limit=1) == ["run_3"]
    assert await ids(before=(3.0, "run_3"), limit=1) == ["run_2"]
    assert await ids(updated_after=1.0) == ["run_2", "run_3"]
    assert await ids(after=(2.0, "run_2")) == ["run_3"]
    assert await ids(states=("queued", "running")) == ["run_2", "run_1"]
    assert await ids(recipe="review") == ["run_3"]
    assert await ids(entity="ticket", entity_id="HC-1") == ["run_1"]
    assert await ids(asker="al") == ["run_2"]
    assert await run_turns.going_on(acme) == [("acme", "run_1"), ("acme", "run_2"), ("bolt", "run_4")]


async def test_events_are_numbered_without_gaps(acme: Database, other: Database) -> None:
    """Whoever writes, at once or not; counts are kept on the run."""
    taken = await begun(acme)
    batches = [
        run_events.append(
            db, "acme", "run_1", [(3.0, "message_delta", {"text": f"{n}"})] * 3, epoch=taken.epoch, items=1
        )
        for n, db in enumerate([acme, other] * 5)
    ]
    await asyncio.gather(*batches)
    found = await run_events.after(acme, "acme", "run_1", 0)
    assert [event.seq for event in found] == list(range(1, 31))
    later = await run_events.after(acme, "acme", "run_1", 28)
    assert [event.seq for event in later] == [29, 30]
    assert later[0].data["text"] == later[1].data["text"]
    kept = await runs.find(acme, "acme", "run_1")
    assert kept is not None
    assert (kept.events, kept.items) == (30, 10)
    assert await run_events.append(acme, "acme", "run_9", [(3.0, "state", {})], epoch=None) is None
    assert await run_events.after(acme, "bolt", "run_1", 0) == []
    assert await run_events.news(acme, "acme", "run_1", 28) == (30, False, later)
    assert await run_events.news(acme, "acme", "run_1", 30) == (30, False, [])
    assert await run_events.news(acme, "acme", "run_1", None) == (30, False, [])
    assert await run_events.news(acme, "acme", "run_1", 0, limit=2) == (30, False, found[:2])
    assert await run_events.news(acme, "bolt", "run_1", 0) is None
    told = [(3.0, "message_delta", {"text": later[0].data["text"]})] * 2
    assert run_events.as_read(told, 30) == later
    await runs.change(acme, "acme", "run_1", taken.epoch, 4.0, state="failed", finished=4.0)
    assert await run_events.news(acme, "acme", "run_1", 30) == (30, True, [])


async def test_words_are_heard_once(acme: Database) -> None:
    """In order, by whoever listens."""
    await begun(acme)
    for words in ("first", "second"):
        await run_events.say(acme, "acme", "run_1", kind="steer", words=words, who="person:bo", now=3.0)
    assert await run_events.hear(acme, "acme", "run_1", epoch=0, now=4.0) == []
    heard = await run_events.hear(acme, "acme", "run_1", epoch=1, now=4.0)
    assert [(word.words, word.who) for word in heard] == [("first", "person:bo"), ("second", "person:bo")]
    assert await run_events.hear(acme, "acme", "run_1", epoch=1, now=4.0) == []


async def test_the_first_decision_counts(acme: Database, other: Database) -> None:
    """Of many at once, one; asked again, the question is answered with it."""
    await begun(acme)
    asked = await approvals.ask(acme, approval(), epoch=1)
    assert asked is not None
    assert asked.is_open(3.0)

    async def decide(db: Database, decision: Any) -> Approval | None:
        return await approvals.decide(
            db, "acme", "apr_1", decision, kind="person", who="bo", person="bo", note=None, now=4.0
        )

    answers = await asyncio.gather(decide(acme, "approve"), decide(other, "decline"))
    (first,) = [answer for answer in answers if answer is not None]
    assert await approvals.ask(acme, replace(approval(), deadline=99.0), epoch=1) == first
    assert await approvals.of_run(acme, "acme", "run_1") == [first]


async def test_nobody_decides_after_the_deadline(acme: Database) -> None:
    """It is declined then, by nobody."""
    await begun(acme, state="waiting_approval")
    await approvals.ask(acme, approval(), epoch=1)
    assert await approvals.settle(acme, 9.0) == []
    assert await approvals.expire(acme, "acme", "apr_1", 9.0) is None
    assert await approvals.settle(acme, 10.0) == [("acme", "run_1")]
    late = await approvals.decide(
        acme, "acme", "apr_1", "approve", kind="person", who="bo", person="bo", note=None, now=10.0
    )
    assert late is None
    expired = await approvals.expire(acme, "acme", "apr_1", 10.0)
    assert expired is not None
    assert (expired.decision, expired.decided_by) == ("decline", "nobody")


async def test_an_artifact_takes_the_place_of_the_one_before(acme: Database) -> None:
    """Lists hold no bytes."""
    taken = await begun(acme)
    assert await artifacts.put(acme, artifact(), epoch=taken.epoch)
    assert await artifacts.put(acme, artifact(sealed=b"newer", size=5, updated=9.0), epoch=taken.epoch)
    found = await artifacts.find(acme, "acme", "run_1", "diff")
    assert found is not None
    assert (found.sealed, found.created, found.updated) == (b"newer", 3.0, 9.0)
    assert await artifacts.of_run(acme, "acme", "run_1") == [replace(found, sealed=b"")]
    assert await artifacts.find(acme, "bolt", "run_1", "diff") is None


async def test_what_a_tenant_says_about_a_recipe(acme: Database) -> None:
    """The last word counts, and there is none for a tenant that is not there."""
    on = RecipeSettings("acme", "fix_ticket", True, {"repository": "acme/cafe"}, "person", "bo", 1.0)
    assert await recipes.keep(acme, on)
    assert await recipes.find(acme, "acme", "fix_ticket") == on
    off = replace(on, enabled=False, changed=2.0)
    assert await recipes.keep(acme, off)
    assert await recipes.of_tenant(acme, "acme") == {"fix_ticket": off}
    assert await recipes.of_tenant(acme, "bolt") == {}
    assert not await recipes.keep(acme, replace(on, tenant="ghost"))


async def test_usage_is_summed_and_stays(acme: Database) -> None:
    """By run, by recipe and model, by time; it outlives the run's history."""
    taken = await begun(acme)
    used = {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 10, "total_tokens": 110}
    for model, cost in (("gpt-5.5", 0.25), ("gpt-5.5", 0.25), ("other", None)):
        kept = await usage.spend(acme, "acme", "run_1", model=model, tokens=used, cost=cost, now=3.0)
    assert kept is not None
    assert (kept.total_tokens, kept.cached_input_tokens, kept.cost) == (330, 180, 0.5)
    ended: dict[str, Any] = {"state": "succeeded", "finished": 4.0, "spent_seconds": 30.0}
    await runs.change(acme, "acme", "run_1", taken.epoch, 4.0, **ended)
    parts = await usage.by_recipe_and_model(acme, "acme", 0.0)
    assert [(part.model, part.seconds) for part in parts] == [("gpt-5.5", 30.0), ("other", 30.0)]
    await run_events.append(acme, "acme", "run_1", [(4.0, "state", {})], epoch=None)
    assert await runs.sweep(acme, finished_before=4.0) == 0
    assert await runs.sweep(acme, finished_before=5.0) == 1
    assert await run_events.after(acme, "acme", "run_1", 0) == []
    total = await usage.since(acme, "acme", 0.0)
    assert (total.runs, total.calls, total.total_tokens, total.cost) == (1, 3, 330, 0.5)
    parts = await usage.by_recipe_and_model(acme, "acme", 0.0)
    assert [(part.model, part.calls, part.cost) for part in parts] == [
        ("gpt-5.5", 2, 0.5),
        ("other", 1, None),
    ]
    assert (await usage.since(acme, "acme", 3.5)).total_tokens == 0
    assert (await usage.since(acme, "acme", 0.0, 3.0)).total_tokens == 0
    assert await usage.spend(acme, "acme", "run_9", model="m", tokens=used, cost=None, now=3.0) is None


async def test_workers_live_while_they_say_so(acme: Database) -> None:
    """One that was not seen since is dead, and one that left is forgotten."""
    await workers.beat(acme, "w1", version="1", now=1.0)
    await workers.beat(acme, "w2", version="1", now=1.0)
    await workers.beat(acme, "w2", version="1", now=5.0)
    assert await workers.living(acme, seen_after=2.0) == {"w2"}
    await workers.leave(acme, "w2")
    assert await workers.forget(acme, seen_before=2.0) == 1
    assert await workers.living(acme, seen_after=0.0) == set()


def approval() -> Approval:
    """Answer a question whether to publish, to be answered before 10."""
    return Approval("acme", "apr_1", "run_1", "publish", "Publish 2 files?", {"files": 2}, 3.0, 10.0)


def artifact(**changes: Any) -> Artifact:
    """Answer a sealed diff."""
    return replace(Artifact("acme", "run_1", "diff", "text/x-diff", 6, 3.0, 3.0, b"sealed"), **changes)


async def test_runs_are_found_by_their_words(acme: Database) -> None:
    """By the beginnings of words, each tenant its own, the one that changed last first; gone when removed."""
    for number, words in enumerate(("the till adds up", "the TILL is shut", "Zürich"), start=1):
        taken = await begun(acme, id=f"run_{number}", entity_id=f"HC-{number}", created=float(number))
        assert await run_terms.put(acme, "acme", taken.id, run_terms.terms_of([words]), epoch=taken.epoch)
        await runs.change(acme, "acme", taken.id, taken.epoch, 10.0 + number, state="running")

    async def found(*terms: str, tenant: str = "acme") -> list[str]:
        return [each.id for each in await runs.with_terms(acme, tenant, terms)]

    assert await found("till") == ["run_2", "run_1"]
    assert await found("ti", "add") == ["run_1"]
    assert await found("zuri") == ["run_3"]
    assert await found("urich") == []
    assert await found("till", tenant="bolt") == []
    assert [each.id for each in await runs.with_terms(acme, "acme", ["till"], before=(12.0, "run_2"))] == [
        "run_1"
    ]
    gone = await tenants.remove(acme, "acme")
    assert gone is not None
    assert gone["run_terms"] == 9
    assert await found("till") == []
