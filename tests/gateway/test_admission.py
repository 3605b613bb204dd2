"""Whose call begins next."""

from __future__ import annotations

import asyncio
from itertools import count

from linkspan.gateway.admission import Admission


async def in_order(admission: Admission, *who: str) -> list[str]:
    """Answer in which order they were let in who asked at once."""
    entered: list[str] = []

    async def enter(name: str) -> None:
        await admission.enter(name, "backend")
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
        entering = admission.enter("acme", "backend")
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
    first, waiting = (asyncio.ensure_future(admission.enter(name, "backend")) for name in ("first", "second"))
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
    first, gone, later = (
        asyncio.ensure_future(admission.enter(name, "backend")) for name in ("a", "loud", "quiet")
    )
    await first
    gone.cancel()
    await asyncio.wait_for(later, 30)
    assert gone.cancelled()


async def test_a_call_that_was_answered_goes_before_those_that_are_not_begun() -> None:
    """Of its own tenant; another tenant's turn is as it was."""
    admission = Admission()
    entered: list[str] = []

    async def enter(who: str, name: str, goes_on: bool = False) -> None:
        await admission.enter(who, "backend", goes_on=goes_on)
        entered.append(name)

    begun = [enter("loud", f"begun {number}") for number in range(4)]
    await asyncio.gather(*begun, enter("quiet", "quiet"), enter("loud", "answered", goes_on=True))
    assert entered == ["begun 0", "answered", "quiet", "begun 1", "begun 2", "begun 3"]


async def test_a_tenant_that_is_alone_does_not_take_turns() -> None:
    """It would cost and help nobody; as soon as another one is there it does."""
    now = [0.0]
    admission = Admission(timer=lambda: now[0])
    assert await in_order(admission, "loud", "loud") == ["loud", "loud"]
    now[0] = 2.5
    order: list[str] = []

    async def enter(who: str) -> None:
        await admission.enter(who, "backend")
        order.append(who)

    await asyncio.gather(*map(enter, ["loud"] * 5))
    assert order == ["loud"] * 5
    now[0] = 5.0
    entered = await in_order(admission, "loud", "quiet", *["loud"] * 10, "quiet")
    assert entered[:4].count("quiet") == 2


async def test_callers_of_a_tenant_take_turns_too() -> None:
    """An agent that wants many things does not hold up the backend of the same tenant."""
    admission = Admission()
    entered: list[str] = []

    async def enter(caller: str) -> None:
        await admission.enter("acme", caller)
        entered.append(caller)

    await asyncio.gather(*map(enter, [*["agent"] * 10, "backend"]))
    assert entered.index("backend") < 3
