"""Whose turn it is: a product sees no more than it allows, callers wait a little, and nobody is passed over.

Time is made here: nothing waits for the wall clock, and what is due happens in order.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field

import pytest

from linkspan.errors import RateLimited
from linkspan.net.limits import RateLimit, retry_after
from linkspan.net.pacing import Paces

WALL = 1_795_000_000.0


class Time:
    """A clock that goes on when everybody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until it is that late."""
        if seconds == math.inf:
            await asyncio.get_running_loop().create_future()
        waits = asyncio.get_running_loop().create_future()
        heapq.heappush(self._due, (self.now + seconds, next(self._number), waits))
        await waits

    async def run(self, work: Awaitable[object]) -> None:
        """Let the time go on until the work is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            for _each in range(30):
                await asyncio.sleep(0)
            if not task.done():
                assert self._due, "everybody waits, and for nothing"
                self.now, _, waits = heapq.heappop(self._due)
                if not waits.done():
                    waits.set_result(None)
        await task


@dataclass
class Product:
    """Allows `limit` requests in each window of `period` seconds, and says so in the ways there are."""

    time: Time
    limit: int = 10
    period: float = 10.0
    says: str = "all"
    took: float = 0.05
    asked: list[float] = field(default_factory=list)
    refused: int = 0
    by: Counter[str] = field(default_factory=Counter)
    _window: int = -1
    _used: int = 0

    async def __call__(self, who: str) -> tuple[int, dict[str, str]]:
        await self.time.sleep(self.took)
        now = self.time.now
        if self._window != int(now / self.period):
            self._window, self._used = int(now / self.period), 0
        self._used += 1
        self.asked.append(now)
        left = self.limit - self._used
        reset = (self._window + 1) * self.period - now
        headers = {}
        if self.says in ("all", "remaining"):
            headers = {
                "x-ratelimit-limit": str(self.limit),
                "x-ratelimit-remaining": str(max(0, left)),
                "x-ratelimit-reset": str(WALL + now + reset),
            }
        await self.time.sleep(self.took)
        if left >= 0:
            self.by[who] += 1
            return 200, headers
        self.refused += 1
        return 429, {**headers, **({"retry-after": str(reset)} if self.says != "nothing" else {})}


@dataclass
class Callers:
    """Ask a product, each for as many things as it wants, all at once."""

    time: Time
    product: Product
    patience: float = 1000.0
    done: dict[str, list[float]] = field(default_factory=dict)
    told: list[RateLimited] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paces = Paces(clock=self.time, sleep=self.time.sleep)

    async def ask(self, who: str, path: str = "/tickets/1") -> None:
        """Ask once, and again where that is refused."""
        pace = self.paces.of("acme", path, who, "Tracker")
        for attempt in range(5):
            try:
                turn = await pace.enter(self.patience, again=attempt > 0)
            except RateLimited as told:
                self.told.append(told)
                return
            try:
                status, headers = await self.product(who)
                turn.answered(status, headers, WALL + self.time.now)
                if status == 200:
                    self.done.setdefault(who, []).append(self.time.now)
                    return
                turn.refused(retry_after(headers, WALL + self.time.now))
            finally:
                turn.end()

    async def storm(self, **wanted: int) -> None:
        """Everybody wants everything at once."""
        await self.time.run(
            asyncio.gather(*(self.ask(who) for who, count in wanted.items() for _ in range(count)))
        )


def callers(patience: float = 1000.0, **how: object) -> Callers:
    """Callers before a product."""
    time = Time()
    return Callers(time, Product(time, **how), patience)  # type: ignore[arg-type]


async def test_a_storm_stays_within_what_the_product_allows() -> None:
    """Not one request too many, none lost, and who wants little is not behind who wants much."""
    them = callers()
    await them.storm(agent=150, backend=10, run=5)
    assert them.product.refused == 0
    assert them.product.by == {"agent": 150, "backend": 10, "run": 5}
    assert len(them.product.asked) == 165
    # 165 requests at 10 a window; those of the small ones are through after a few windows of sharing.
    assert max(them.done["run"]) < 20
    assert max(them.done["backend"]) < 40
    assert max(them.done["agent"]) < 175


@pytest.mark.parametrize("says", ["retry", "nothing"])
async def test_a_product_that_tells_no_limit_is_asked_gently_after_it_refused(says: str) -> None:
    """Few are refused of a storm, though nothing was known before."""
    them = callers(says=says, period=2.0)
    await them.storm(agent=60, backend=5)
    assert them.product.refused <= 0.5 * len(them.product.asked)
    assert not them.told
    assert len(them.done["backend"]) == 5


async def test_who_has_not_the_patience_is_told_at_once() -> None:
    """With the seconds, without asking the product; and later it goes again."""
    them = callers(patience=3.0, limit=4)
    await them.storm(agent=4)
    began = them.time.now
    await them.storm(agent=3)
    assert (them.time.now, len(them.product.asked)) == (began, 4)
    assert [round(told.retry_after or 0) for told in them.told] == [10, 10, 10]
    assert "Tracker allows no more calls for this account" in them.told[0].message
    await them.time.run(them.time.sleep(7.5))
    await them.storm(agent=3)
    assert len(them.done["agent"]) == 7
    assert them.product.refused == 0


async def test_a_short_wait_happens_inside() -> None:
    """Nobody is told of it."""
    them = callers(patience=20.0, limit=5, period=4.0)
    await them.storm(agent=12)
    assert not them.told
    assert len(them.done["agent"]) == 12
    assert them.product.refused == 0


async def test_the_last_part_of_a_window_is_kept_for_who_had_less() -> None:
    """An agent in a circle does not take what is left from its colleagues."""
    them = callers(patience=1.0, limit=100, period=100.0)
    for _each in range(2):
        await them.storm(backend=1)
    await them.storm(agent=120)
    assert them.told
    had = len(them.done["agent"])
    assert 85 <= had <= 95
    await them.storm(backend=3)
    assert len(them.done["backend"]) == 5
    assert them.product.refused == 0


async def test_parts_of_a_product_have_budgets_of_their_own() -> None:
    """Where its answers say so: what is spent for searches does not hold back anything else."""
    time = Time()
    paces = Paces(clock=time, sleep=time.sleep)

    async def once(path: str, remaining: int, resource: str, patience: float = 1.0) -> None:
        turn = await paces.of("acme", path, "agent", "Forge").enter(patience)
        headers = {
            "x-ratelimit-limit": "30",
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(WALL + 50),
            "x-ratelimit-resource": resource,
        }
        turn.answered(200, headers, WALL + time.now)

    await once("/search/issues", 0, "search")
    await once("/repos/a/b", 29, "core")
    with pytest.raises(RateLimited) as told:
        await once("/search/code", 0, "search")
    assert told.value.retry_after == pytest.approx(50, abs=0.1)
    await once("/repos/c/d", 28, "core")


async def test_what_a_request_costs_is_learned() -> None:
    """A query that takes fifty points of a hundred and twenty is not sent three times at once."""
    time = Time()
    paces = Paces(clock=time, sleep=time.sleep)
    pace = paces.of("acme", "/graphql", "agent", "Board")

    def left(points: int) -> dict[str, str]:
        return {
            "x-ratelimit-complexity-limit": "1000",
            "x-ratelimit-complexity-remaining": str(points),
            "x-ratelimit-complexity-reset": str(WALL + 60),
        }

    for points in range(950, 100, -50):
        (await pace.enter(1.0)).answered(200, left(points), WALL)
    first, second, third = [await pace.enter(1.0) for _each in range(3)]
    with pytest.raises(RateLimited):
        await pace.enter(1.0)
    for turn in (first, second, third):
        turn.end()


async def test_a_window_that_refills_is_waited_for_one_by_one() -> None:
    """Its end moves away as it is used: a wait is for the next request, not for the whole window."""
    time = Time()
    paces = Paces(clock=time, sleep=time.sleep)
    pace = paces.of("acme", "/x", "agent", "Tracker")
    for used in range(1, 21):
        turn = await pace.enter(1.0)
        headers = {
            "x-ratelimit-limit": "20",
            "x-ratelimit-remaining": str(20 - used),
            "x-ratelimit-reset": str(used * 3),
        }
        turn.answered(200, headers, WALL)
    with pytest.raises(RateLimited) as told:
        await pace.enter(1.0)
    assert told.value.retry_after == pytest.approx(3.0, abs=0.1)


async def test_a_word_that_proves_wrong_is_not_believed_for_long() -> None:
    """A product that always says that nothing is left, and answers, is asked as usual."""
    time = Time()
    paces = Paces(clock=time, sleep=time.sleep)
    pace = paces.of("acme", "/x", "agent", "Odd")

    async def ask() -> None:
        turn = await pace.enter(5.0)
        turn.answered(200, {"x-ratelimit-remaining": "0"}, WALL + time.now)

    for _each in range(4):
        await time.run(ask())
    before = time.now
    for _each in range(20):
        await time.run(ask())
    assert time.now == before


async def test_who_hangs_up_leaves_the_queue() -> None:
    """The next one is not kept waiting by it."""
    them = callers(limit=1, period=10.0)
    await them.storm(agent=1)
    gone = asyncio.ensure_future(them.ask("agent"))
    after = asyncio.ensure_future(them.ask("agent"))
    await asyncio.sleep(0)
    gone.cancel()
    await them.time.run(asyncio.wait([gone, after]))
    assert gone.cancelled()
    assert len(them.done["agent"]) == 2
    assert len(them.product.asked) == 2


async def test_one_account_waits_for_nobody_else_s_limit() -> None:
    """Budgets are by account."""
    them = callers(patience=1.0, limit=2)
    await them.storm(agent=3)
    assert them.told
    turn = await them.paces.of("globex", "/tickets/1", "agent", "Tracker").enter(0.0)
    turn.end()


async def test_points_of_queries_are_heeded() -> None:
    """What is told in a body counts beside what headers tell."""
    time = Time()
    paces = Paces(clock=time, sleep=time.sleep)
    pace = paces.of("acme", "/graphql", "agent", "Shop")
    headers = {"x-ratelimit-remaining": "9", "x-ratelimit-reset": "60"}
    (await pace.enter(1.0)).answered(200, headers, WALL)
    pace.learn("points", RateLimit(1000, 0, WALL + 20), WALL)
    with pytest.raises(RateLimited) as told:
        await pace.enter(1.0)
    assert told.value.retry_after == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(("replicas", "limit", "most"), [(2, 10, 14), (2, 100, 130), (3, 15, 21)])
async def test_processes_that_share_an_account_do_not_each_spend_all_of_it(
    replicas: int, limit: int, most: int
) -> None:
    """Each has a share of what is left on its way; what is too many by then is refused, waited for and done.

    The same storm of processes that know nothing of each other spends nearly double.
    """

    async def asked(among: int) -> tuple[int, int]:
        time = Time()
        product = Product(time, limit=limit)
        each = [Callers(time, product) for _ in range(replicas)]
        for one in each:
            one.paces.among = among
        await time.run(asyncio.gather(*(one.ask("a") for one in each for _ in range(2 * limit))))
        assert product.by["a"] == replicas * 2 * limit
        windows = Counter(int(at / product.period) for at in product.asked)
        return max(windows.values()), product.refused

    together, refused = await asked(replicas)
    apart, refused_apart = await asked(1)
    assert together <= most < apart
    assert refused < refused_apart / 2


async def test_one_of_several_processes_may_use_all_of_an_account() -> None:
    """Where the others ask nothing it is one after the other, and nothing is left over."""
    them = callers(limit=20)
    them.paces.among = 4
    await them.storm(backend=40)
    assert them.product.refused == 0
    assert max(them.done["backend"]) < 20
