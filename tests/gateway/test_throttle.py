"""How often somebody may try."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from linkspan.errors import RateLimited
from linkspan.gateway.throttle import Throttle


@dataclass
class Clock:
    """A clock that stands until it is set."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_emptied_and_filled_again() -> None:
    """And the wait that is told is the wait that helps."""
    clock = Clock()
    throttle = Throttle(rate=0.5, burst=2, clock=clock)
    throttle.take("a")
    throttle.take("a")
    throttle.take("b")
    with pytest.raises(RateLimited) as told:
        throttle.take("a")
    assert told.value.retry_after == 2.0
    clock.now += 1
    with pytest.raises(RateLimited) as told:
        throttle.take("a")
    assert told.value.retry_after == 1.0
    clock.now += 1
    throttle.take("a")
    clock.now += 1_000
    throttle.take("a")
    throttle.take("a")
    with pytest.raises(RateLimited):
        throttle.take("a")


def test_a_clock_that_goes_back_fills_nothing_and_empties_nothing() -> None:
    """Machines do that."""
    clock = Clock()
    throttle = Throttle(rate=1.0, burst=2, clock=clock)
    throttle.take("a")
    clock.now -= 100
    throttle.take("a")
    with pytest.raises(RateLimited):
        throttle.take("a")


def test_it_remembers_a_bounded_number() -> None:
    """A flood from everywhere fills no memory."""
    throttle = Throttle(rate=1.0, burst=1, clock=Clock())
    for number in range(10_050):
        throttle.take(str(number))
    assert len(throttle._left) == 10_000
