"""How often somebody may try: a bucket for each, filled at a rate, in this process only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from linkspan.errors import RateLimited

_MOST_KEPT: Final = 10_000


class Throttle:
    """Buckets that hold `burst` attempts and get `rate` of them back a second."""

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, who: Hashable) -> float:
        """Count one attempt; answer 0, or the seconds until one may be made, and then it is not counted."""
        now = self._clock()
        left, since = self._left.pop(who, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - since) * self._rate)
        allowed = left >= 1.0
        self._left[who] = (left - 1.0 if allowed else left, now)
        if len(self._left) > _MOST_KEPT:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._rate

    def take(self, who: Hashable) -> None:
        """Count one attempt. Raises `RateLimited` with the seconds until the next one may be made.

        Secrets here have 256 bits, so nobody guesses one; this keeps the store and the person at the other
        end from being flooded.
        """
        wait = self.wait(who)
        if wait:
            raise RateLimited("Too many attempts", hint=f"Try again in {wait:.0f} seconds.", retry_after=wait)
