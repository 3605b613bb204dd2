"""What events do to recipes: wait for quiet, overtake, queue, end runs, and stop when they go in circles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from linkspan.errors import Forbidden, InvalidArgument
from linkspan.runs.arrivals import AGAIN, KEEP, ROOM, WAITS
from linkspan.runs.hooks import OWN_WORDS
from linkspan.runs.recipes import check_settings, chosen_repository
from linkspan.spec.recipe import read
from linkspan.store import deliveries
from linkspan.store.deliveries import OVERTAKEN
from linkspan.store.runs import Run
from tests.runs.conftest import ACME, BO, House
from tests.runs.test_hooks import Door, door, event

__all__ = ["door"]
COMMENTED = {"type": "ticket.commented", "comment": {"body_markdown": "It is at noon that it fails."}}


async def on(house: House, **words: Any) -> None:
    """Turn on a recipe that every assignment and comment starts, with these words besides."""
    plain = {
        "title": "Look again",
        "entity": "ticket",
        "on": ["desk.ticket.assigned", "desk.ticket.commented"],
        "prompt": "Look.",
        **words,
    }
    recipes = {"again": read("again", plain)}
    house.app.gateway.replace_catalog(replace(house.app.catalog, recipes=recipes))
    await house.app.recipes.enable(BO, "again", {})


async def going_on(house: House) -> list[Run]:
    """Answer the runs of acme that have not ended, the oldest first."""
    return sorted((r for r in await house.app.runs.list(BO) if not r.is_finished), key=lambda r: r.created)


async def outcomes(door: Door) -> dict[str, tuple[str, str | None]]:
    """Work what is due; what became of every event, by when it came."""
    await door.house.app.arrivals.work_due()
    arrived = sorted(await door.house.app.arrivals.list(ACME), key=lambda each: (each.received, each.id))
    return {f"{each.received:.0f}": (each.state, each.outcome) for each in arrived}


async def test_any_of_several_events_starts_it(door: Door) -> None:
    """Each as its own."""
    await on(door.house)
    await door.post({**event("d1"), **COMMENTED})
    await door.post(event("d2", ticket="HC-101"))
    await door.house.app.arrivals.work_due()
    assert {run.entity_id for run in await going_on(door.house)} == {"HC-103", "HC-101"}


async def test_twenty_pushes_in_ten_seconds_count_once(door: Door) -> None:
    """Each puts the start off, and the last one stands for all; another thing waits for its own quiet."""
    await on(door.house, debounce="30s", concurrency="supersede")
    now = door.house.now
    began = now[0]
    await door.post(event("other", ticket="HC-101"))
    for push in range(20):
        await door.post(event(f"push{push}"))
        now[0] += 0.5
    assert await door.house.app.arrivals.work_due() == 0
    now[0] = began + 31
    await door.house.app.arrivals.work_due()
    assert [run.entity_id for run in await going_on(door.house)] == ["HC-101"]
    now[0] = began + 40
    await door.house.app.arrivals.work_due()
    assert [run.entity_id for run in await going_on(door.house)] == ["HC-101", "HC-103"]
    arrived = [each for each in await door.house.app.arrivals.list(ACME) if each.entity_id == "HC-103"]
    assert [each.outcome for each in arrived].count(OVERTAKEN) == 19


async def test_one_that_never_keeps_quiet_is_heard_all_the_same(door: Door) -> None:
    """After ten times as long."""
    await on(door.house, debounce="10s", concurrency="supersede")
    now = door.house.now
    began = now[0]
    while now[0] < began + 99:
        await door.post(event(f"push{now[0]}"))
        assert await door.house.app.arrivals.work_due() == 0
        now[0] += 5
    now[0] = began + 100
    await door.house.app.arrivals.work_due()
    assert len(await going_on(door.house)) == 1


async def test_what_goes_on_keeps_others_out(door: Door) -> None:
    """A recipe that says nothing works on a thing once at a time."""
    await on(door.house)
    await door.post(event("d1"))
    await door.house.app.arrivals.work_due()
    door.house.now[0] += 1
    await door.post(event("d2"))
    ((_, first), (state, told)) = (await outcomes(door)).values()
    (run,) = await going_on(door.house)
    assert first == f"again: {run.id}."
    assert (state, (told or "").startswith(f"again: {run.id} works on ticket HC-103 already")) == (
        "ignored",
        True,
    )


async def test_an_event_that_finds_no_room_is_kept_until_there_is(door: Door) -> None:
    """However often it is looked at: it is no failure, and nothing is read for it meanwhile."""
    await on(door.house)
    app = door.house.app
    app.gateway.replace_catalog(
        replace(app.gateway.catalog, runs=replace(app.gateway.catalog.runs, waiting=1))
    )
    await door.post(event("d1"))
    await app.arrivals.work_due()
    (first,) = await going_on(door.house)
    door.house.now[0] += 1
    await door.post(event("d2", ticket="HC-101"))
    for _ in range(len(WAITS) + 2):
        door.house.now[0] += ROOM
        (*_, (state, told)) = (await outcomes(door)).values()
        assert (state, (told or "").startswith("again waits: as many runs wait")) == ("pending", True)
    await app.runs.cancel(BO, first.id)
    door.house.now[0] += ROOM
    await app.arrivals.work_due()
    assert [run.entity_id for run in await going_on(door.house)] == ["HC-101"]


async def test_a_newer_event_ends_the_older_run(door: Door) -> None:
    """It says what ended it, and the newer one is worked in its place."""
    await on(door.house, concurrency="supersede")
    await door.post(event("d1"))
    await door.house.app.arrivals.work_due()
    (older,) = await going_on(door.house)
    door.house.now[0] += 1
    await door.post(event("d2"))
    await door.house.app.arrivals.work_due()
    (newer,) = await going_on(door.house)
    ended = await door.house.app.runs.find(ACME, older.id)
    assert newer.id != older.id
    assert (ended.state, ended.error_code) == ("cancelled", "superseded")
    assert ended.error_message == "It was ended by what happened: desk.ticket.assigned."


async def test_a_run_at_work_is_waited_for(door: Door) -> None:
    """It is asked to end; the newer one begins when it has, and of two that wait only the last."""
    await on(door.house, concurrency="supersede")
    app, now = door.house.app, door.house.now
    await door.post(event("d1"))
    await app.arrivals.work_due()
    (older,) = await going_on(door.house)
    taken = await app.database.execute("UPDATE runs SET epoch = 1, state = 'running'")
    assert taken == 1
    now[0] += 1
    await door.post(event("d2"))
    assert list((await outcomes(door)).values())[-1] == ("pending", f"again waits for {older.id} to end.")
    assert (await app.runs.find(ACME, older.id)).stopped_by == "event:desk.ticket.assigned"
    now[0] += 1
    await door.post(event("d3"))
    await app.arrivals.work_due()
    assert [run.id for run in await going_on(door.house)] == [older.id]
    await app.database.execute("UPDATE runs SET state = 'cancelled', finished = 1")
    now[0] += AGAIN
    states = await outcomes(door)
    (newer,) = await going_on(door.house)
    assert list(states.values())[1:] == [("ignored", OVERTAKEN), ("done", f"again: {newer.id}.")]


async def test_what_is_queued_begins_afterwards(door: Door) -> None:
    """The run that goes on is left alone."""
    await on(door.house, concurrency="queue")
    app, now = door.house.app, door.house.now
    await door.post(event("d1"))
    await app.arrivals.work_due()
    (older,) = await going_on(door.house)
    now[0] += 1
    await door.post(event("d2"))
    assert list((await outcomes(door)).values())[-1] == ("pending", f"again waits for {older.id} to end.")
    assert (await app.runs.find(ACME, older.id)).stop is None
    now[0] += 3600
    assert await app.arrivals.work_due() == 0  # nothing is read while it waits, and it may be for days
    await app.database.execute("UPDATE runs SET state = 'succeeded', finished = 1")
    now[0] += AGAIN
    assert list((await outcomes(door)).values())[-1][0] == "done"


async def test_what_is_over_ends_what_was_not_published(door: Door) -> None:
    """A run that goes on, and an event that still waits for quiet; what comes afterwards is begun."""
    await on(door.house, debounce="1m", stop="desk.ticket.commented", on="desk.ticket.assigned")
    now = door.house.now
    await door.post(event("d1"))
    now[0] += 61
    await door.house.app.arrivals.work_due()
    (run,) = await going_on(door.house)
    await door.post(event("d2"))
    now[0] += 1
    await door.post({**event("d3"), **COMMENTED})
    states = list((await outcomes(door)).values())
    assert states[1] == ("ignored", "again: desk.ticket.commented came before it started.")
    assert states[2] == ("done", f"again: {run.id} ends.")
    assert (await door.house.app.runs.find(ACME, run.id)).error_code == "superseded"
    now[0] += 1
    await door.post(event("d4"))
    now[0] += 61
    assert list((await outcomes(door)).values())[3][0] == "done"
    await door.post({**event("d5", ticket="HC-101"), **COMMENTED})
    assert list((await outcomes(door)).values())[4] == ("ignored", "again: nothing goes on for it.")


async def test_what_lasts_has_one_run_until_it_is_over(door: Door) -> None:
    """However the first one went; told anew as another event, it starts nothing before it was over."""
    stop = {"on": "desk.ticket.commented", "once": True}
    await on(door.house, stop=stop, on="desk.ticket.assigned")
    now, app = door.house.now, door.house.app
    await door.post(event("d1"))
    await app.arrivals.work_due()
    (run,) = await going_on(door.house)
    await app.runs.cancel(BO, run.id)
    now[0] += 100_000
    await door.post(event("d2"))
    told = list((await outcomes(door)).values())[1]
    assert told == ("ignored", f"again: {run.id} was started on it, which is not over since.")
    now[0] += 1
    await door.post({**event("d3"), **COMMENTED})
    await app.arrivals.work_due()
    now[0] += KEEP + 1  # what came before is forgotten, but for that it was over
    assert await deliveries.sweep(app.database, finished_before=now[0] - KEEP) == 2
    await door.post(event("d4"))
    assert list((await outcomes(door)).values())[1][0] == "done"
    (second,) = await going_on(door.house)
    assert second.id != run.id


async def test_what_is_being_published_is_not_ended(door: Door) -> None:
    """It goes its way, and the event says so; `when` of `stop` is judged on the thing itself."""
    stop = {"on": "desk.ticket.commented", "when": "status == 'todo'"}
    await on(door.house, stop=stop, on="desk.ticket.assigned")
    await door.post(event("d1"))
    await door.house.app.arrivals.work_due()
    (run,) = await going_on(door.house)
    await door.house.app.database.execute("UPDATE runs SET epoch = 1, state = 'publishing'")
    door.house.now[0] += 1
    await door.post({**event("d2"), **COMMENTED})
    told = list((await outcomes(door)).values())[1]
    assert told == ("ignored", f"again: {run.id} is being published already.")
    door.house.desk.store.execute("update tickets set state = 'done' where key = 'HC-103'")
    door.house.now[0] += 1
    await door.post({**event("d3"), **COMMENTED})
    assert list((await outcomes(door)).values())[2] == ("ignored", "again: `when` of `stop` is not so.")


async def test_events_that_go_in_circles_end(door: Door) -> None:
    """After so many runs on one thing; another thing, and another hour, are none of it."""
    await on(door.house, limit={"runs": 2, "within": "1h"})
    now = door.house.now
    for round_ in range(3):
        await door.post(event(f"d{round_}"))
        await door.house.app.arrivals.work_due()
        await door.house.app.database.execute("UPDATE runs SET state = 'succeeded', finished = 1")
        now[0] += 1
    assert len(await door.house.app.runs.list(BO)) == 2
    (state, told) = list((await outcomes(door)).values())[2]
    assert (state, "may be a loop" in (told or "")) == ("ignored", True)
    await door.post(event("d3", ticket="HC-101"))
    now[0] += 3601
    await door.post(event("d4"))
    await door.house.app.arrivals.work_due()
    assert len(await door.house.app.runs.list(BO)) == 4


@pytest.mark.parametrize(
    "words",
    [
        "Codex run run_abcdefghijklmnopqrstuvwxyz started, asked for by bo.",
        r"Done.\n\nCodex run run\_abcdefghijklmnopqrstuvwxyz ended.",
        "Codex run [run_abcdefghijklmnopqrstuvwxyz](https://linkspan.example/t/acme/runs/x) for bo.",
        "<p>Codex run <b>run_abcdefghijklmnopqrstuvwxyz</b> wrote this.</p>",
        "Changes look right.\n<!-- linkspan:run_abcdefghijklmnopqrstuvwxyz -->",
        "Fix it\n\nLinkspan-Run: run_abcdefghijklmnopqrstuvwxyz",
    ],
)
async def test_what_a_run_wrote_starts_nothing(door: Door, words: str) -> None:
    """Whoever's run it was: another installation at the same tracker signs in the same way."""
    await on(door.house)
    await door.post({**event("d1"), "type": "ticket.commented", "comment": {"body_markdown": words}})
    assert list((await outcomes(door)).values()) == [("ignored", OWN_WORDS)]
    await door.post({**event("d2"), **COMMENTED})
    await door.house.app.arrivals.work_due()
    assert len(await going_on(door.house)) == 1


PLACED = {
    "title": "Fix",
    "entity": "ticket",
    "repository": "labels[0]",
    "settings": {"where": {"type": "repositories", "required": True}},
    "prompt": "Fix.",
}


def placed(allowed: str) -> tuple[Any, Run]:
    """Answer a recipe whose thing names the repository, and a run of it."""
    recipe = read("fix", PLACED)
    settings = check_settings(recipe, {"where": allowed})
    plan = {"recipe": recipe.plain, "settings": settings}
    run = Run("acme", "run_1", "api", "person", "bo", "bo", "fix", plan, "queued", 1.0, 1.0, "ticket", "HC-1")
    return recipe, run


def test_a_thing_names_one_of_the_tenants_repositories() -> None:
    """And no other: neither another owner's, nor a name that only begins so, nor no name."""
    recipe, run = placed("acme/shop, tools/*")
    for said in ("acme/shop", "tools/cli"):
        assert chosen_repository(run, recipe, {"labels": [said]}) == said
    others: list[Any] = [
        "acme/shop2",
        "acme/other",
        "tools/a/../c",
        "https://forge.example/acme/shop",
        5,
        None,
    ]
    for other in others:
        with pytest.raises(Forbidden):
            chosen_repository(run, recipe, {"labels": [other]})
    with pytest.raises(Forbidden, match="names no repository"):
        chosen_repository(run, recipe, {"labels": ["tools/a/b/../c/d/e"]})
    with pytest.raises(InvalidArgument, match=r"write OWNER/NAME, or OWNER/\*"):
        placed("*/*")
