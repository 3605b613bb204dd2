"""Events of all runs of a process are stored together, each run's under its epoch, and then told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from linkspan.runs import feed
from linkspan.runs.feed import Feed
from linkspan.runs.lease import Lease, LostError
from linkspan.runs.writing import EventWriter
from linkspan.store import run_events
from linkspan.store import runs as rows
from linkspan.store.database import Database, StoreFault, Transaction
from tests.runs.conftest import ACME, OPERATOR, House


class Watched:
    """The store, with its transactions counted, and failing on demand."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.writes: list[bool] = []
        """Whether each was durable."""
        self.fails_with: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def transaction(self, work: Callable[[Transaction], Any], **how: Any) -> Any:
        self.writes.append(how.get("durable", True))
        if self.fails_with is not None:
            raise self.fails_with
        return await self._db.transaction(work, **how)


async def leases(house: House, writer: EventWriter, runs: int) -> list[Lease]:
    """Take some new runs, all told to one writer."""
    await house.enable("look")
    taken = []
    for number in range(runs):
        run = await house.app.runs.start(OPERATOR, "look", source="api", key=str(number))
        found = await rows.take(house.app.database, "acme", run.id, worker="w", now=house.now[0])
        assert found is not None
        bell = house.app.runs.bell.of(run.id)
        taken.append(
            Lease(house.app.database, found, clock=lambda: 1.0, mask=str, bell=bell, writer=writer),
        )
    return taken


async def texts(house: House, lease: Lease) -> list[str]:
    """Answer what is stored of what a run's engine said."""
    told = await run_events.after(house.app.database, "acme", lease.run.id, 0)
    return [event.data["text"] for event in told if event.kind == "message_delta"]


async def test_what_several_runs_tell_is_one_write(house: House) -> None:
    """Thirty events of three runs that are told in one moment are one write, each run's in their order."""
    db = Watched(house.app.database)
    three = await leases(house, EventWriter(db), 3)
    for number in range(10):
        for lease in three:
            await lease.tell("message_delta", {"text": f"{lease.run.id} {number}"})
    await three[0].flush()
    assert db.writes == [False]
    for lease in three:
        assert await texts(house, lease) == [f"{lease.run.id} {number}" for number in range(10)]


async def test_what_is_noted_is_durable_and_after_what_was_told(house: House) -> None:
    """A note of ours waits for the disk, also while an engine's events are under way."""
    db = Watched(house.app.database)
    one, other = await leases(house, EventWriter(db), 2)
    await one.tell("message_delta", {"text": "first"})
    await asyncio.sleep(0)
    await one.tell("message_delta", {"text": "second"})
    await asyncio.gather(one.note("warning", message="mind"), other.note("warning", message="mind"))
    assert db.writes[-1]
    told = await run_events.after(house.app.database, "acme", one.run.id, 0)
    assert [event.kind for event in told][-3:] == ["message_delta", "message_delta", "warning"]


async def test_a_run_that_was_lost_stores_nothing_beside_others(house: House) -> None:
    """One write holds events of a run that another worker took, and of one that is held: these are kept."""
    writer = EventWriter(house.app.database)
    lost, held = await leases(house, writer, 2)
    await rows.take(house.app.database, "acme", lost.run.id, worker="other", now=2.0)
    await lost.tell("message_delta", {"text": "a zombie's"})
    await held.tell("message_delta", {"text": "kept"})
    await held.flush()
    assert await texts(house, held) == ["kept"]
    assert await texts(house, lost) == []
    for told in (lost.tell("message_delta", {"text": "more"}), lost.note("warning"), lost.flush()):
        with pytest.raises(LostError):
            await told
    assert await texts(house, lost) == []


async def test_the_fault_of_one_run_is_not_that_of_another(house: House) -> None:
    """An event that cannot be written fails the run that told it."""
    broken, well = await leases(house, EventWriter(house.app.database), 2)
    broken._line.tell((1.0, "message_delta", {("no", "name"): 1}))  # type: ignore[dict-item]
    await well.tell("message_delta", {"text": "kept"})
    await well.flush()
    assert await texts(house, well) == ["kept"]
    with pytest.raises(TypeError):
        await broken.tell("message_delta", {"text": "next"})


async def test_a_disk_that_is_full_is_told_and_ends(house: House) -> None:
    """Whoever waits hears of it, whoever told without waiting with the next event; later ones are written."""
    db = Watched(house.app.database)
    (lease,) = await leases(house, EventWriter(db), 1)
    db.fails_with = StoreFault("the disk is full")
    with pytest.raises(StoreFault):
        await lease.note("warning", message="lost")
    await lease.tell("message_delta", {"text": "lost"})
    with pytest.raises(StoreFault):
        await lease.flush()
    db.fails_with = None
    await lease.note("warning", message="kept")
    with pytest.raises(StoreFault):
        await lease.tell("message_delta", {"text": "of an engine that is to end"})
    assert await texts(house, lease) == []


async def test_who_watches_is_told_without_a_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events reach who watches from who stored them; others' are looked for, and none comes twice."""
    monkeypatch.setattr(feed, "LOOK_EVERY", 3_600.0)
    monkeypatch.setattr(feed, "_LOOK_BESIDE", 3_600.0)
    looks = []

    async def counting(*given: Any, **more: Any) -> Any:
        looks.append(given)
        return await found(*given, **more)

    found = run_events.news
    monkeypatch.setattr(run_events, "news", counting)
    (lease,) = await leases(house, EventWriter(house.app.database), 1)
    run = lease.run.id
    follower = Feed(house.app.database, house.app.runs.bell).follow(ACME, run)
    numbers: list[int] = []

    async def until(most: int) -> None:
        async with asyncio.timeout(60):
            while not numbers or numbers[-1] < most:
                numbers.extend(event.seq for event in await anext(follower))

    await until(1)
    for number in range(2, 7):
        await lease.tell("message_delta", {"text": str(number)})
        await until(number)
    assert len(looks) == 1
    said: list[tuple[float, str, dict[str, Any]]] = [(1.0, "decided", {})]
    assert await run_events.append(house.app.database, "acme", run, said, epoch=None) == 7
    await lease.tell("message_delta", {"text": "8"})
    await until(8)
    assert numbers == list(range(1, 9))
    assert len(looks) == 2
    await lease.enter("failed")
    async with asyncio.timeout(60):
        assert [[event.kind for event in batch] async for batch in follower] == [["state"]]
