"""Whose call begins next."""

from __future__ import annotations

import asyncio
from itertools import count

from linkspan.gateway.admission import Admission


async def in_order(admission: Admission, *who: str) -> list[str]:
    """Answer in which order they were let in who asked at once."""
    entered: list[str] = []

    async def enter(name: str) -> None:
        await admission.enter(name)
        entered.append(name)

    await asyncio.gather(*map(enter, who))
    return entered


async def test_tenants_take_turns() -> None:
    """Who asks for little is not behind who asks for much, and each tenant's own calls keep their order."""
    entered = await in_order(Admission(), *["loud"] * 20, "quiet", "quiet", "third")
    assert entered[:6].count("quiet") == 2
    assert "third" in entered[:6]
    assert entered.count("loud") == 20


async def test_nobody_waits_where_nobody_else_is() -> None:
    """The call is begun in the same turn of the event loop; and so is one that comes after the others."""
    admission = Admission()
    for _each in range(3):
        entering = admission.enter("acme")
        try:
            entering.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it had to wait")
        for _round in range(3):
            await asyncio.sleep(0)


async def test_what_has_begun_comes_before_what_has_not() -> None:
    """A round of the event loop that had much to do lets nobody in; but after some rounds somebody goes."""
    seconds = count(step=0.01)
    admission = Admission(timer=lambda: next(seconds))
    first, waiting = (asyncio.ensure_future(admission.enter(name)) for name in ("first", "second"))
    await first
    rounds = 0
    while not waiting.done():
        rounds += 1
        await asyncio.sleep(0)
        assert rounds < 30
    assert rounds > 5


async def test_who_hangs_up_is_passed_over() -> None:
    """Its place goes to the next one, and nothing is left of it."""
    admission = Admission()
    first, gone, later = (asyncio.ensure_future(admission.enter(name)) for name in ("a", "loud", "quiet"))
    await first
    gone.cancel()
    await asyncio.wait_for(later, 30)
    assert gone.cancelled()
