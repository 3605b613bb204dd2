"""Recipes that start by themselves at a time: once, over replicas, kills and downtimes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from linkspan.runs.schedules import Schedules
from linkspan.spec.recipe import read
from linkspan.store import schedules as rows
from tests.runs.conftest import ACME, BO, House

WEEK = 7 * 86_400.0


async def weekly(house: House, every: str = "7d", **words: Any) -> Schedules:
    """Turn on a recipe for acme that starts each so often; what starts it."""
    recipe = read("tidy", {"title": "Tidy up", "prompt": "Tidy up.", "every": every, **words})
    house.app.gateway.replace_catalog(replace(house.app.catalog, recipes={"tidy": recipe}))
    await house.app.recipes.enable(BO, "tidy", {})
    return replica(house)


def replica(house: House) -> Schedules:
    """Answer what another process has."""
    app = house.app
    return Schedules(app.database, app.runs, catalog=lambda: app.catalog, clock=lambda: house.now[0])


async def test_it_starts_when_it_is_due_and_not_before(house: House) -> None:
    """A week after it was turned on, and each week after that; for nobody who has it off."""
    schedules = await weekly(house)
    for passed, count in [(0.0, 0), (WEEK - 1, 0), (WEEK, 1), (WEEK + 5, 1), (2 * WEEK, 2)]:
        house.now[0] = 1_800_000_000.0 + passed
        await schedules.work_due()
        found = await house.app.runs.list(BO)
        assert len(found) == count
        for run in found:
            await house.app.runs.cancel(BO, run.id)
    assert {(run.source, run.asker) for run in found} == {("schedule", "schedule")}
    assert await rows.find(house.app.database, "globex", "tidy") is None


async def test_once_over_replicas(house: House) -> None:
    """All of them see the moment come."""
    first = await weekly(house)
    others = [first, replica(house), replica(house)]
    await asyncio.gather(*(each.work_due() for each in others))
    house.now[0] += WEEK
    await asyncio.gather(*(each.work_due() for each in others))
    await asyncio.gather(*(each.work_due() for each in others))
    assert len(await house.app.runs.list(BO)) == 1


async def test_a_death_between_the_start_and_its_note_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process starts the same run."""
    schedules = await weekly(house)
    await schedules.work_due()
    house.now[0] += WEEK

    async def dies(*_: Any, **__: Any) -> bool:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(rows, "put", dies)
        await schedules.work_due()
    (begun,) = await house.app.runs.list(BO)
    await house.app.runs.cancel(BO, begun.id)
    house.now[0] += 60
    await replica(house).work_due()
    (run,) = await house.app.runs.list(BO)
    due = await schedules.find(ACME, "tidy")
    assert due is not None
    assert (due.last, due.outcome, due.due) == (
        1_800_000_000.0 + WEEK,
        f"{run.id}.",
        1_800_000_000.0 + 2 * WEEK,
    )


async def test_a_downtime_is_caught_up_once(house: House) -> None:
    """Whatever was missed, and then it is in step again."""
    schedules = await weekly(house)
    await schedules.work_due()
    house.now[0] += 5.5 * WEEK
    for _ in range(3):
        await schedules.work_due()
    assert len(await house.app.runs.list(BO)) == 1
    due = await schedules.find(ACME, "tidy")
    assert due is not None
    assert due.due == 1_800_000_000.0 + 6 * WEEK


async def test_what_goes_on_from_the_time_before_is_not_doubled(house: House) -> None:
    """It is said, and the next time counts again."""
    schedules = await weekly(house)
    await schedules.work_due()
    house.now[0] += WEEK
    await schedules.work_due()
    (run,) = await house.app.runs.list(BO)
    house.now[0] += WEEK
    await schedules.work_due()
    due = await schedules.find(ACME, "tidy")
    assert due is not None
    assert due.outcome == f"{run.id} went on from the time before."
    await house.app.runs.cancel(BO, run.id)
    house.now[0] += WEEK
    await schedules.work_due()
    assert len(await house.app.runs.list(BO)) == 2


async def test_turned_off_it_counts_no_more(house: House) -> None:
    """And turned on again it counts from then; another time in tools.yaml counts from when it is seen."""
    schedules = await weekly(house)
    await schedules.work_due()
    await house.app.recipes.disable(BO, "tidy")
    house.now[0] += WEEK
    await schedules.work_due()
    assert await schedules.find(ACME, "tidy") is None
    await house.app.recipes.enable(BO, "tidy", {})
    await schedules.work_due()
    assert await house.app.runs.list(BO) == []
    await weekly(house, "0 6 * * 1", zone="Europe/Berlin")
    await schedules.work_due()
    due = await schedules.find(ACME, "tidy")
    assert due is not None
    assert (due.every, due.zone, due.due % 86_400) == ("0 6 * * 1", "Europe/Berlin", 5 * 3600)


async def test_what_cannot_start_says_so_and_waits_for_its_next_time(house: House) -> None:
    """A budget that is used up is no reason to try each second; a tenant that is gone is forgotten."""
    schedules = await weekly(house)
    await schedules.work_due()
    broke = replace(house.app.catalog.runs, tenant_tokens=0)
    house.app.gateway.replace_catalog(replace(house.app.catalog, runs=broke))
    house.now[0] += WEEK
    await schedules.work_due()
    due = await schedules.find(ACME, "tidy")
    assert due is not None
    assert "has used up its budget" in (due.outcome or "")
    assert due.due == 1_800_000_000.0 + 2 * WEEK
    await house.app.offboarding.remove("acme", house.app.catalog.connectors)
    assert await schedules.work_due() == 0
