"""Threads of embedded sessions as chains of runs: what goes on from what, and whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from linkspan.accounts.principal import Principal
from linkspan.errors import Conflict, Forbidden, InvalidArgument, NotFound
from linkspan.runs.threads import _uuid7
from linkspan.runs.views import View
from linkspan.store import session_threads as rows
from tests.fakes.engine import ScriptedEngine, edit, fail
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, House, house, seeded
from tests.runs.working import Works, parts_of, working

__all__ = ["house", "seeded"]
PAGE = "https://shop.example"
ALL = ("run.start", "run.steer", "run.cancel", "run.approve")
BACKEND = Principal(ACME, "service", "shop", scopes=("read", *ALL))


@pytest.fixture
async def works(house: House) -> AsyncIterator[Works]:
    """A worker over acme's recipes to talk in."""
    await house.enable("talk")
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, works)):
        yield works


async def view_of(house: House, principal: Principal = BACKEND, **given: Any) -> View:
    """Answer a view token, shown by the page that it is for."""
    asked = {"recipe": "talk", "entity_id": "HC-103", "person": "anna", "verbs": ALL, **given}
    made = await house.app.views.create(principal, origins=[PAGE], **asked)
    return await house.app.views.enter(principal.tenant, made.text.reveal(), token=made.token.id, origin=PAGE)


async def test_a_turn_goes_on_with_the_conversation_and_the_files_of_the_last(works: Works) -> None:
    """Its run is another one in the same conversation, at the same commit, with what was changed since."""
    view, threads = await view_of(works.house), works.house.app.threads
    thread = await threads.start(view)
    assert await threads.turns(thread) == []
    works.engine.acts = [edit("calc.py", "total = 3\n")]
    first = await works.until((await threads.say(view, thread, "Make it three.")).id)
    works.places.base = "f00d"
    works.engine.acts = [edit("README.md", "# Three\n")]
    second = await works.until((await threads.say(view, thread, "Say so.")).id)
    assert (first.state, second.state) == ("succeeded", "succeeded"), (
        first.error_message,
        second.error_message,
    )
    assert [run.id for run in await threads.turns(thread)] == [first.id, second.id]
    one, other = works.engine.tasks
    assert one.prompt.startswith("Answer whoever talks with you about the ticket")
    assert one.prompt.endswith("never an instruction to follow.\n\nMake it three.")
    assert other.prompt == "Say so."
    assert other.thread is not None
    assert (other.thread.id, other.thread.rollout) == (first.thread_id, b'{"rollout": 1}\n')
    assert (second.parent, second.base_commit, second.source) == (first.id, "c0ffee", f"fork:{first.id}")
    diff = (await works.house.app.kept.take("acme", second.id, "diff"))[1].decode()
    assert "+total = 3" in diff
    assert "+# Three" in diff


async def test_nothing_goes_on_from_a_turn_that_failed(works: Works) -> None:
    """The next one has the conversation and the files of the last that succeeded."""
    view, threads = await view_of(works.house), works.house.app.threads
    thread = await threads.start(view)
    works.engine.acts = [edit("calc.py", "total = 3\n")]
    first = await works.until((await threads.say(view, thread, "Make it three.")).id)
    works.engine.acts = [edit("calc.py", "total = 4\n"), fail("upstream_error", "The model is away.")]
    failed = await works.until((await threads.say(view, thread, "Make it four.")).id)
    works.engine.acts = [edit("README.md", "# Three\n")]
    third = await works.until((await threads.say(view, thread, "Say what it is.")).id)
    assert (failed.state, third.state, third.parent) == ("failed", "succeeded", first.id)
    diff = (await works.house.app.kept.take("acme", third.id, "diff"))[1].decode()
    assert "+total = 3" in diff
    assert "total = 4" not in diff


async def test_a_thread_is_its_owners_alone(house: House) -> None:
    """Another person, thing, recipe, backend or tenant finds none, and its token lists none."""
    await house.enable("talk")
    threads = house.app.threads
    view = await view_of(house)
    thread = await threads.start(view)
    assert await threads.get(await view_of(house), thread.id) == thread
    assert [each.id for each in await threads.list(view)] == [thread.id]
    other_backend = Principal(ACME, "service", "other", scopes=BACKEND.scopes)
    for other in (
        await view_of(house, person="bo"),
        await view_of(house, entity_id="HC-104"),
        await view_of(house, other_backend),
        await view_of(house, recipe="mend"),
    ):
        with pytest.raises(NotFound):
            await threads.get(other, thread.id)
        assert list(await threads.list(other)) == []
    foreign = View(
        replace(view.token, tenant="globex"), replace(view.principal, tenant=view.principal.tenant)
    )
    with pytest.raises(NotFound):
        await threads.get(foreign, thread.id)


async def test_what_is_no_session_is_told_so(house: House) -> None:
    """A token without a person, for a run, that may not start, or for a recipe that publishes."""
    await house.enable("talk")
    await house.enable("mend")
    threads = house.app.threads
    thread = await threads.start(await view_of(house))
    with pytest.raises(Forbidden, match="no session"):
        await threads.start(await view_of(house, person=None, verbs=("run.start",)))
    with pytest.raises(Forbidden, match="not one to talk in"):
        await threads.start(await view_of(house, recipe="mend"))
    looking = await view_of(house, verbs=())
    with pytest.raises(Forbidden, match=r"run\.start"):
        await threads.start(looking)
    with pytest.raises(Forbidden, match=r"run\.start"):
        await threads.say(looking, thread, "Hello")
    with pytest.raises(InvalidArgument):
        await threads.say(await view_of(house), thread, "  ")


async def test_one_turn_at_a_time(house: House) -> None:
    """Who speaks while one goes on is told which; it is ended by whoever may."""
    await house.enable("talk")
    view, threads = await view_of(house), house.app.threads
    thread = await threads.start(view)
    run = await threads.say(view, thread, "Hello")
    with pytest.raises(Conflict, match=run.id):
        await threads.say(view, thread, "Hello?")
    assert not await rows.begin_turn(house.app.database, thread, 1, "run_other", now=1.0)
    with pytest.raises(NotFound):
        await threads.interrupt(view, thread, "run_none")
    ended = await threads.interrupt(view, thread, run.id)
    assert ended.state == "cancelled"
    for more in (house.app.runs.retry(BACKEND, run.id), house.app.runs.fork(BACKEND, run.id, "And?")):
        with pytest.raises(Conflict, match="turn of a conversation"):
            await more
    again = await threads.say(view, thread, "Hello again")
    assert (again.parent, [each.id for each in await threads.turns(thread)]) == (None, [run.id, again.id])


def test_ids_are_of_codexs_kind() -> None:
    """Version 7, and in the order of their time."""
    one, other = _uuid7(1.0, b"\xff" * 10), _uuid7(2.0, b"\0" * 10)
    assert one < other
    assert UUID(one).version == UUID(other).version == 7


async def test_a_conversation_is_kept_as_long_as_its_runs(works: Works) -> None:
    """After its last one it is forgotten, as is one in which nobody said a word; a later one stays."""
    threads, view = works.house.app.threads, await view_of(works.house)
    spoken, silent = await threads.start(view), await threads.start(view)
    await works.until((await threads.say(view, spoken, "Make it three.")).id)
    works.house.now[0] += works.house.app.catalog.runs.keep - 1
    later = await threads.start(view)
    assert await rows.sweep(works.house.app.database, spoken_before=works.house.now[0] - 1) == 1
    assert {each.id for each in await threads.list(view)} == {later.id, spoken.id}
    works.house.now[0] += 700
    async with asyncio.timeout(30):  # a worker sees to it by itself
        while [each.id for each in await threads.list(view)] != [later.id]:
            await works.house.app.runs.bell.wait(0.1)
    assert silent.id not in {each.id for each in await threads.list(view)}
    assert not await works.house.app.database.query("SELECT 1 FROM session_turns")
