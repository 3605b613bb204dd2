"""Whose turn it is to ask a product: no more than it allows, a little waiting, and nobody is passed over.

One budget for each account in this process, which knows how many share it. Who has to wait does so in a
queue of its own, and the queues take turns: a caller that wants a hundred things at once waits behind itself.
Who would wait for longer than it has patience is told at once for how long, or when that turns out.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from linkspan.errors import RateLimited
from linkspan.net.allowance import Allowance, Lane
from linkspan.net.limits import RateLimit, in_words, read_rate_limits, scope_of_limits

_MOST_KEPT: Final = 10_000
_MOST_LANES: Final = 64
_MOST_WAITING: Final = 1_000
"""Requests that wait for one account: more would not get their turn in time."""


class Turn:
    """One request that may be sent now; it is over when it was answered, or by `end`."""

    __slots__ = ("_budget", "_has_ended", "_lane", "_told")

    def __init__(self, budget: Budget, lane: Lane) -> None:
        self._budget = budget
        self._lane = lane
        self._told = False
        self._has_ended = False

    def answered(self, status: int, headers: Mapping[str, str], wall: float) -> Mapping[str, RateLimit]:
        """Learn from the head of an answer, which ends the turn; answers the limits that it tells of.

        `wall` is the time, in epoch seconds.
        """
        limits = read_rate_limits(headers, wall)
        self._told = self._budget.tell(self._lane, limits, headers, ok=status < 400, wall=wall)
        self.end()
        return limits

    def refused(self, seconds: float | None) -> None:
        """Let nobody ask for so long: the product said that these were too many."""
        self._budget.refuse(self._lane, seconds)

    def dropped(self) -> None:
        """End it without a request: the product has counted nothing."""
        self._told = True
        self.end()

    def end(self) -> None:
        """Make room for the next one."""
        if not self._has_ended:
            self._has_ended = True
            self._budget.end(self._lane, told=self._told)


@dataclass(slots=True)
class _Waiting:
    turn: asyncio.Future[Turn]
    deadline: float


class Budget:
    """Of one account: what it is allowed, and who waits."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        among: Callable[[], int] = lambda: 1,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._allowance = Allowance(among)
        self._queues: OrderedDict[str, OrderedDict[Hashable, deque[_Waiting]]] = OrderedDict()
        self._count = 0
        self._timer: asyncio.Task[None] | None = None
        self._wakes_at = math.inf

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing is on its way."""
        return not self._count and not any(lane.busy for lane in self._allowance.lanes.values())

    async def enter(self, where: str, who: Hashable, name: str, patience: float, *, again: bool) -> Turn:
        """Wait for a turn, for at most so many seconds; `again` comes before others of the same caller.

        Raises `RateLimited`.
        """
        lanes = self._allowance.lanes
        lane = lanes.get(where)
        if lane is None:
            where = where if len(lanes) < _MOST_LANES else ""
            lane = lanes.setdefault(where, Lane())
        now = self._clock()
        wait = self._allowance.wait(lane, who, now)
        if wait <= 0 and not self._count:
            return self._begin(lane, who, now)
        if patience < wait < math.inf or self._count >= _MOST_WAITING:
            raise _too_long(name, wait)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), now + patience)
        queue = self._queues.setdefault(where, OrderedDict()).setdefault(who, deque())
        queue.appendleft(waiting) if again else queue.append(waiting)
        self._count += 1
        self._release()
        try:
            return await waiting.turn
        except RateLimited:
            raise _too_long(name, self._allowance.wait(lane, who, self._clock())) from None
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled() and not waiting.turn.exception():
                waiting.turn.result().end()
            else:
                self._release()
            raise

    def tell(
        self,
        lane: Lane,
        limits: Mapping[str, RateLimit],
        headers: Mapping[str, str],
        *,
        ok: bool,
        wall: float,
    ) -> bool:
        """Learn from an answer."""
        scope = scope_of_limits(headers) if limits else ""
        return self._allowance.tell(lane, limits, scope, ok=ok, wall=wall, now=self._clock())

    def learn(self, where: str, about: str, limit: RateLimit, wall: float) -> None:
        """Learn of a limit that is told in the body of an answer."""
        lane = self._allowance.lanes.get(where)
        if lane is not None:
            now = self._clock()
            self._allowance.tell(lane, {about: limit}, "", ok=True, wall=wall, now=now, beside=True)

    def refuse(self, lane: Lane, seconds: float | None) -> None:
        """Learn from a refusal."""
        self._allowance.refuse(lane, seconds, self._clock())
        if self._count:
            self._arm()

    def end(self, lane: Lane, *, told: bool) -> None:
        """Take a request as done."""
        self._allowance.end(lane, told=told)
        if self._count:
            self._release()

    def _begin(self, lane: Lane, who: Hashable, now: float) -> Turn:
        self._allowance.begin(lane, who, now)
        return Turn(self, lane)

    def _release(self) -> None:
        """Let go whose turn it is: one of each lane after the other, in each one caller after the other."""
        self._drop_late()
        went = True
        while went and self._count:
            went = False
            for where in list(self._queues):
                went |= where in self._queues and self._release_one(where)
        self._arm()

    def _release_one(self, where: str) -> bool:
        lane, queues, now = self._allowance.lanes[where], self._queues[where], self._clock()
        for who in list(queues):
            if self._allowance.wait(lane, who, now) > 0:
                continue
            waiting = queues[who].popleft()
            self._count -= 1
            queues.move_to_end(who)
            self._forget_empty(where, who)
            if not waiting.turn.done():
                waiting.turn.set_result(self._begin(lane, who, now))
            return True
        return False

    def _drop_late(self) -> None:
        """Take out who waits no more, and tell those whose patience is over, or will be before their turn.

        So of the first ones of each queue.
        """
        now = self._clock()
        for where, queues in list(self._queues.items()):
            for who, queue in list(queues.items()):
                wait = self._allowance.wait(self._allowance.lanes[where], who, now)
                soonest = now + (wait if wait < math.inf else 0.0)
                while queue and (queue[0].turn.done() or queue[0].deadline <= soonest):
                    waiting = queue.popleft()
                    self._count -= 1
                    if not waiting.turn.done():
                        waiting.turn.set_exception(RateLimited("too long"))
                self._forget_empty(where, who)

    def _forget_empty(self, where: str, who: Hashable) -> None:
        queues = self._queues[where]
        if not queues[who]:
            del queues[who]
        if not queues:
            del self._queues[where]

    def _arm(self) -> None:
        """See to it that somebody looks again when time alone changes something."""
        if not self._count:
            return
        now = self._clock()
        soonest = math.inf
        for where, queues in self._queues.items():
            lane = self._allowance.lanes[where]
            for who, queue in queues.items():
                wait = self._allowance.wait(lane, who, now)
                soonest = min(soonest, now + wait, queue[0].deadline)
        if self._timer is not None and not self._timer.done():
            if self._wakes_at <= soonest:
                return
            self._timer.cancel()
        self._wakes_at = soonest
        self._timer = asyncio.get_running_loop().create_task(self._look_later(max(0.001, soonest - now)))

    async def _look_later(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._timer = None
        self._release()


@dataclass(frozen=True, slots=True)
class Pace:
    """For one caller's requests to one part of a product, as one account."""

    budget: Budget
    where: str
    who: Hashable
    name: str
    """What people call the product."""

    async def enter(self, patience: float, *, again: bool = False) -> Turn:
        """Wait for a turn, for at most so many seconds. Raises `RateLimited`."""
        return await self.budget.enter(self.where, self.who, self.name, patience, again=again)

    def learn(self, about: str, limit: RateLimit, wall: float) -> None:
        """Learn of a limit that is told in the body of an answer. `wall` is the time, in epoch seconds."""
        self.budget.learn(self.where, about, limit, wall)


class Paces:
    """The budgets of all accounts in this process."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`clock` only goes on; what is told as a time is turned into a wait first."""
        self._clock = clock
        self._sleep = sleep
        self.among = 1
        """How many processes ask as the same accounts."""
        self._budgets: OrderedDict[Hashable, Budget] = OrderedDict()

    def of(self, account: Hashable, path: str, who: Hashable, name: str) -> Pace:
        """Answer the pace for a caller's requests below a path, as an account."""
        budget = self._budgets.get(account)
        if budget is None:
            budget = self._budgets[account] = Budget(self._clock, self._sleep, lambda: self.among)
            if len(self._budgets) > _MOST_KEPT:
                self._forget()
        return Pace(budget, path.partition("?")[0].strip("/").partition("/")[0], who, name)

    def _forget(self) -> None:
        for account, budget in list(self._budgets.items())[: _MOST_KEPT // 10]:
            if budget.is_idle:
                del self._budgets[account]


def _too_long(name: str, wait: float) -> RateLimited:
    seconds = wait if 0 < wait < math.inf else 1.0
    return RateLimited(
        f"{name} allows no more calls for this account for now",
        hint=f"Try again in {in_words(seconds)}.",
        retry_after=seconds,
    )
