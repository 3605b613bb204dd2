"""Writes that are done once."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkspan.errors import NotFound
from linkspan.store import calls, tenants
from linkspan.store.calls import Different, Done, First, Running, Unknown
from linkspan.store.database import Database
from tests.store.engines import Engine, on_sqlite
from tests.store.processes import run_together
from tests.store.rows import call


@pytest.fixture(autouse=True)
async def acme(db: Database) -> None:
    """The tenant of these tests."""
    await tenants.add(db, "acme", 1.0)


async def begin(db: Database, wanted: calls.Call, now: float = 10.0, owner: str = "o") -> calls.Begun:
    return await calls.begin(db, wanted, owner=owner, now=now, lease=60.0)


async def test_a_repetition_gets_the_first_answer(db: Database) -> None:
    """The second call does nothing and is answered like the first."""
    first = await begin(db, call("acme"))
    assert first == First("o")
    assert await calls.finish(db, call("acme"), first, b"sealed answer")
    assert await begin(db, call("acme"), owner="p") == Done(b"sealed answer")


async def test_a_repetition_meanwhile_is_told_to_wait(db: Database, other: Database) -> None:
    """Somebody is at it, here or in another process, and until when is said."""
    await begin(db, call("acme"))
    assert await begin(other, call("acme"), now=69.9, owner="p") == Running(70.0)


async def test_a_call_that_was_never_finished_is_unknown(db: Database) -> None:
    """After its lease nobody does it again, however often it is asked, until the row is forgotten."""
    await begin(db, call("acme"))
    for now in (70.0, 71.0, 10.0 + calls.KEPT - 0.1):
        assert await begin(db, call("acme"), now=now, owner="p") == Unknown()


async def test_a_late_answer_is_kept(db: Database) -> None:
    """Whoever outlives its lease may still say what came of it."""
    first = await begin(db, call("acme"))
    assert isinstance(first, First)
    assert await begin(db, call("acme"), now=100.0) == Unknown()
    assert await calls.finish(db, call("acme"), first, b"late")
    assert await begin(db, call("acme"), now=101.0) == Done(b"late")


@pytest.mark.parametrize("change", [{"digest": "other"}, {"tool": "update_ticket"}])
async def test_an_id_that_is_used_for_something_else_is_told(db: Database, change: dict[str, str]) -> None:
    """Other arguments or another tool under the same id are never answered with what they did not ask."""
    first = await begin(db, call("acme"))
    assert isinstance(first, First)
    assert await begin(db, call("acme", **change)) == Different()
    await calls.finish(db, call("acme"), first, b"answer")
    assert await begin(db, call("acme", **change)) == Different()


async def test_callers_and_tenants_do_not_share_ids(db: Database) -> None:
    """The same id of another person or another tenant is another call."""
    await tenants.add(db, "bolt", 1.0)
    first = await begin(db, call("acme"))
    assert isinstance(first, First)
    await calls.finish(db, call("acme"), first, b"secret of acme")
    assert await begin(db, call("bolt")) == First("o")
    assert await begin(db, call("acme", caller="person:eve")) == First("o")


async def test_what_surely_did_not_happen_may_be_tried_again(db: Database) -> None:
    """A call that was forgotten is a first one again; one that was finished cannot be forgotten."""
    first = await begin(db, call("acme"))
    assert isinstance(first, First)
    assert await calls.forget(db, call("acme"), first)
    again = await begin(db, call("acme"), owner="p")
    assert again == First("p")
    assert not await calls.finish(db, call("acme"), first, b"from the one that gave up")
    assert not await calls.forget(db, call("acme"), first)
    assert await calls.finish(db, call("acme"), again, b"answer")
    assert not await calls.forget(db, call("acme"), again)


async def test_rows_go_after_a_day(db: Database) -> None:
    """Then the id is free, and the rows of the tenant's other old calls are gone too."""
    await begin(db, call("acme"))
    await begin(db, call("acme", id="call_2"))
    assert await begin(db, call("acme"), now=10.0 + calls.KEPT, owner="p") == First("p")
    assert [row["call"] for row in await db.query("SELECT call FROM calls")] == ["call_1"]


async def test_a_call_needs_its_tenant(db: Database) -> None:
    """Nothing is begun for a tenant that is not there."""
    with pytest.raises(NotFound):
        await begin(db, call("nobody"))


@on_sqlite
async def test_calls_throw_no_cache_away(db: Database) -> None:
    """Nobody caches them."""
    before = db.change_mark()
    first = await begin(db, call("acme"))
    assert isinstance(first, First)
    await calls.finish(db, call("acme"), first, b"answer")
    assert db.change_mark() == before


async def test_of_many_processes_one_is_first(db: Database, engine: Engine) -> None:
    """Four processes begin the same twenty calls at once: each call is first in exactly one of them."""
    code = """
from linkspan.store import calls

async def main(place, number):
    db = open_database(place)
    won = []
    for wanted in range(20):
        call = calls.Call("acme", "person:bo", f"call_{wanted}", "create_ticket", "digest")
        begun = await calls.begin(db, call, owner=str(number), now=1.0, lease=60.0)
        if isinstance(begun, calls.First):
            won.append(wanted)
    await db.aclose()
    return won
"""
    won = Counter(
        wanted for answer in run_together(code, engine.place, count=4) for wanted in json.loads(answer)
    )
    assert won == dict.fromkeys(range(20), 1)


STEPS = st.lists(st.sampled_from(["begin", "finish", "forget", "wait"]), max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_nothing_is_ever_done_twice(db: Database, steps: list[str]) -> None:
    """In any order of beginning, finishing, giving up and dying, one call at most is made and kept."""
    await db.execute("DELETE FROM calls")
    now, open_call, done = 10.0, None, None
    let_go = 0
    for number, step in enumerate(steps):
        if step == "begin":
            begun = await begin(db, call("acme"), now=now, owner=str(number))
            if isinstance(begun, First):
                let_go += 1
                open_call = begun
            if done is not None:
                assert begun == Done(done)
        elif step == "wait":
            now += 100.0
        elif open_call is not None and step == "finish":
            if await calls.finish(db, call("acme"), open_call, str(number).encode()):
                done = str(number).encode()
        elif open_call is not None and await calls.forget(db, call("acme"), open_call):
            let_go -= 1
        assert let_go <= 1
