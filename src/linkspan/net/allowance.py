"""What a product allows one account, learned from its answers: how long to wait before the next request.

Every limit that answers tell of is a window: so many requests are left until it begins anew. Between two
answers we count ourselves, always on the safe side: requests on their way are taken to be uncounted. Some
windows are for a part of the product, and what a request costs is seen from what is left after it.

Where several processes ask as one account, each has its share of what was left at its last answer on its way
at once: the next answers tell what the others used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from linkspan.net.limits import RateLimit

NOBODY_KNOWS: Final = math.inf
"""A wait until some answer says more."""
PROBING: Final = 1.0
"""Seconds that an answer which says what is allowed is waited for before more is tried."""
LONGEST_BLOCK: Final = 3_600.0
"""Seconds that a refusal is heeded: then a request is made to see whether it still holds."""
LATER: Final = 0.05
"""Seconds that are waited beyond what was told: clocks differ, and what is told is rounded."""
_MOST_WINDOWS: Final = 256
_FIRST: Final = 4
"""Requests that may be on their way while nothing is known."""
_MANY: Final = 64
_RESERVE: Final = 10
"""One part of so many is kept for who had less than others."""
_DOUBTS: Final = 3
"""Answers that went well though the product had said that nothing is left, until that is not believed."""
_ROUNDING: Final = 1.1
"""Seconds that the same end of a window may be told apart: most tell whole ones."""


@dataclass(slots=True)
class Window:
    """One limit. Times are of one clock that only goes on."""

    left: float | None
    """The least that was told since it began; None when it has begun anew and nothing was told."""
    limit: int | None
    resets_at: float | None
    told_at: float
    began: float
    first_reset: float | None = None
    cost: float = 1.0
    sent: int = 0
    """Requests since something was told."""
    refill: float | None = None
    """Seconds until there is one more, where requests come back one by one."""
    is_tight: bool = False
    """Whether nothing was left when it began anew."""
    doubts: int = 0
    used: dict[Hashable, int] = field(default_factory=dict)
    """By whom, and 0 for who used the one before."""

    def tell(self, told: RateLimit, reset_in: float | None, now: float) -> None:
        """Learn from an answer."""
        resets_at = None if reset_in is None else now + reset_in
        remaining = float(told.remaining or 0)
        refills = self._refills(remaining, resets_at)
        if self.left is not None and self._goes_on(resets_at):
            drop = self.left - remaining
            if drop > 0:
                self.cost = max(1.0, 0.7 * self.cost + 0.3 * drop / max(1, self.sent))
            self.left = min(self.left, remaining)
        elif refills:
            self.left = remaining
        else:
            self.left, self.began, self.first_reset = remaining, now, resets_at
        self.limit = told.limit if told.limit is not None else self.limit
        if refills and self.limit and self.limit > remaining and reset_in:
            self.refill = reset_in / (self.limit - remaining)
        self.resets_at, self.told_at, self.sent = resets_at, now, 0

    def _goes_on(self, resets_at: float | None) -> bool:
        """Tell whether an answer is of the same window, so that a higher number in it is an older one."""
        if resets_at is None or self.resets_at is None:
            return False
        return abs(resets_at - self.resets_at) <= _ROUNDING

    def _refills(self, remaining: float, resets_at: float | None) -> bool:
        """Tell whether its end moves away as it is used: then requests come back one by one."""
        if self.refill is not None:
            return True
        if resets_at is None or self.first_reset is None or self.left is None:
            return False
        return remaining < self.left and resets_at > self.first_reset + _ROUNDING

    def wait(self, busy: int, who: Hashable, now: float, among: int) -> float:
        """Answer the seconds until a request may be sent.

        `busy` are on their way of this process, which is one of so many `among` which it is shared.
        """
        if self.left is not None and self.resets_at is not None and now >= self.resets_at:
            self._begin_anew(busy, now)
        if self.left is None:
            if not busy or not self.is_tight:
                return 0.0
            if now < self.began + PROBING:
                return self.began + PROBING - now
            return 0.0 if busy < (self.limit or _FIRST) else NOBODY_KNOWS
        left = self.left - busy * self.cost
        if left > (self.cost / 2 if busy else 0):
            if busy and busy * self.cost >= self._share(among, now):
                return NOBODY_KNOWS
            return self._for_others(left, who, now)
        if self.refill is not None or self.resets_at is None:
            if busy:
                return NOBODY_KNOWS
            return max(0.0, self.told_at + (self.refill or PROBING) - now)
        return self.resets_at - now

    def _share(self, among: int, now: float) -> float:
        """Answer how much of what is left one process may have on its way; where that is old, one request."""
        if among == 1:
            return math.inf
        return (self.left or 0) / among if now - self.told_at < PROBING else self.cost

    def _begin_anew(self, busy: int, now: float) -> None:
        self.is_tight = (self.left or 0) - busy * self.cost <= 0
        self.left = None if self.is_tight or self.limit is None else float(self.limit)
        self.began, self.first_reset, self.resets_at = now, None, None
        self.used = {who: 0 for who, count in self.used.items() if count}

    def _for_others(self, left: float, who: Hashable, now: float) -> float:
        """Of what is left last, let those take first who had less; less and less with time."""
        if self.limit is None or self.resets_at is None or len(self.used) < 2:
            return 0.0
        there = max(0.0, self.resets_at - now) / max(0.001, self.resets_at - self.began)
        if left > int(self.limit / _RESERVE * there):
            return 0.0
        had = self.used.get(who, 0)
        return 0.0 if had * len(self.used) <= sum(self.used.values()) else self.resets_at - now


@dataclass(slots=True)
class Lane:
    """One part of a product: requests whose paths begin alike, which the same limits are for."""

    windows: tuple[str, ...] | None = None
    """None until an answer said."""
    busy: int = 0
    most: float | None = _FIRST
    """How many at once, where no limit is told: more as they go well, half when one is refused."""
    was_refused: bool = False
    """Without a refusal it is so for a moment only, until something is known."""
    blocked_until: float = 0.0
    opened: float | None = None


class Allowance:
    """What a product allows one account. Knows no queue and waits for nothing."""

    def __init__(self, among: Callable[[], int] = lambda: 1) -> None:
        """`among` answers how many processes ask as this account."""
        self._among = among
        self.windows: dict[str, Window] = {}
        self.lanes: dict[str, Lane] = {}

    def wait(self, lane: Lane, who: Hashable, now: float) -> float:
        """Answer the seconds until a request may be sent; `NOBODY_KNOWS` until an answer says more."""
        if lane.blocked_until > now:
            return lane.blocked_until - now
        if not lane.windows and lane.most is not None and lane.busy >= int(lane.most):
            if lane.was_refused or lane.opened is None:
                return NOBODY_KNOWS
            if now < lane.opened + PROBING:
                return lane.opened + PROBING - now
        names: tuple[str, ...] | list[str] = lane.windows or ()
        if lane.windows is None:
            names = [name for name in self.windows if name.startswith("|")]
        longest = 0.0
        for name in names:
            longest = max(longest, self.windows[name].wait(self._busy(name), who, now, self._among()))
        return longest

    def begin(self, lane: Lane, who: Hashable, now: float) -> None:
        """Note that a request is sent."""
        lane.busy += 1
        if lane.opened is None:
            lane.opened = now
        for name in lane.windows or ():
            window = self.windows[name]
            window.used[who] = window.used.get(who, 0) + 1
            window.sent += 1

    def end(self, lane: Lane, *, told: bool) -> None:
        """Note that a request is on its way no more; one that no answer told of was counted, perhaps."""
        lane.busy -= 1
        if not told:
            for name in lane.windows or ():
                window = self.windows[name]
                if window.left is not None:
                    window.left -= window.cost

    def tell(
        self,
        lane: Lane,
        limits: Mapping[str, RateLimit],
        scope: str,
        *,
        ok: bool,
        wall: float,
        now: float,
        beside: bool = False,
    ) -> bool:
        """Learn from an answer; tells whether it said anything.

        `wall` is the time of limits; what is told `beside` others leaves them.
        """
        known = {f"{scope}|{about}": limit for about, limit in limits.items() if limit.remaining is not None}
        for name, limit in known.items():
            reset_in = None if limit.reset_at is None else max(0.0, limit.reset_at - wall) + LATER
            window = self.windows.get(name)
            if window is None:
                at = None if reset_in is None else now + reset_in
                window = Window(float(limit.remaining or 0), limit.limit, at, now, now, at)
                self.windows[name] = window
            else:
                is_odd = ok and window.left == limit.remaining == 0 and window.refill is None
                window.doubts = window.doubts + 1 if is_odd else 0
                window.tell(limit, reset_in, now)
        believed = tuple(name for name in known if self.windows[name].doubts < _DOUBTS)
        if beside:
            lane.windows = tuple({*(lane.windows or ()), *believed})
        elif believed or known or lane.windows is None:
            lane.windows = believed
        if len(self.windows) > _MOST_WINDOWS:
            used = {name for each in self.lanes.values() for name in each.windows or ()}
            self.windows = {name: window for name, window in self.windows.items() if name in used}
        if ok and lane.most is not None:
            more = 1 / lane.most if lane.was_refused else 1.0
            lane.most = lane.most + more if lane.most < _MANY else None
        return bool(known)

    def refuse(self, lane: Lane, seconds: float | None, now: float) -> None:
        """Learn that a request was refused, and for how long, where that was told."""
        wait = PROBING if seconds is None else min(seconds, LONGEST_BLOCK) + LATER
        if lane.blocked_until <= now:
            lane.most, lane.was_refused = max(1.0, min(lane.most or _MANY, lane.busy + 1) / 2), True
        lane.blocked_until = max(lane.blocked_until, now + wait)
        for name in lane.windows or ():
            window = self.windows[name]
            if (window.left or 0) <= 0 and seconds is not None:
                window.resets_at = lane.blocked_until

    def _busy(self, name: str) -> int:
        return sum(lane.busy for lane in self.lanes.values() if lane.windows is None or name in lane.windows)
