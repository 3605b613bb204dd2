"""How often somebody may try."""

from __future__ import annotations

import pytest

from linkspan.errors import RateLimited
from linkspan.web.oauth.place import network_of
from linkspan.web.oauth.throttle import Throttle
from tests.web.oauth.conftest import Clock


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


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("somewhere", "somewhere"),
    ],
)
def test_an_ipv6_network_counts_as_one(address: str | None, counted: str) -> None:
    """Its owner has more addresses than anybody can count."""
    assert network_of(address) == counted
