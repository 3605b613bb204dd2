"""Whose call begins next, where there are more than this process can do at once: one of each tenant in turn.

One event loop does the work of all tenants, everything that is ready one after the other. Whoever asks
sixteen things at once would be worked sixteen times between two steps of somebody else's call. So calls wait
here before anything is done for them, and again when the product has answered: what has begun is brought to
its end first, then one is begun, of the tenant that waits and was let in longest ago, and so among a tenant's
callers. Nobody is held back while there is nothing else to do, or where one tenant is alone: taking turns
costs a tenth of a call.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final

_SHORT: Final = 0.000_15
"""Seconds of a round of the event loop in which hardly anything was done: less than one step of a call."""
_MOST_ROUNDS: Final = 8
"""Rounds after which one is let in, however much there is to bring to its end."""
_ALONE: Final = 2.0
"""Seconds after which a tenant beside which no other came has all to itself."""


class Admission:
    """Lets calls in. It lives on one event loop and holds nobody back for long: it sets no limit."""

    def __init__(self, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer = timer
        self._waiting: OrderedDict[Hashable, OrderedDict[Hashable, deque[asyncio.Future[None]]]]
        self._waiting = OrderedDict()
        self._is_looking = False
        self._looked_at = 0.0
        self._rounds = 0
        self._last: Hashable = None
        self._changed_at = 0.0

    async def enter(self, tenant: Hashable, caller: Hashable, *, goes_on: bool = False) -> None:
        """Wait until it is a caller's turn to have a call begun, or gone on with, which goes before."""
        if self._is_alone(tenant):
            return
        if not self._is_looking:
            self._look_next_round()
            return
        entered = asyncio.get_running_loop().create_future()
        callers = self._waiting.setdefault(tenant, OrderedDict())
        queue = callers.setdefault(caller, deque())
        if goes_on:
            queue.appendleft(entered)
            callers.move_to_end(caller, last=False)
        else:
            queue.append(entered)
        await entered

    def _is_alone(self, tenant: Hashable) -> bool:
        """Tell whether no other tenant came for a while."""
        now = self._timer()
        if tenant != self._last:
            self._last, self._changed_at = tenant, now
        return now - self._changed_at > _ALONE and not self._waiting

    def _look_next_round(self) -> None:
        self._is_looking = True
        self._looked_at = self._timer()
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Let one in, unless this round had much to do that had begun before."""
        if not self._waiting:
            self._is_looking = False
            return
        took = self._timer() - self._looked_at
        if took < _SHORT or self._rounds >= _MOST_ROUNDS:
            self._rounds = 0
            self._let_in()
        else:
            self._rounds += 1
        self._look_next_round()

    def _let_in(self) -> None:
        while self._waiting:
            entered = self._next()
            if not entered.done():  # else who asked has hung up
                entered.set_result(None)
                return

    def _next(self) -> asyncio.Future[None]:
        tenant, callers = self._waiting.popitem(last=False)
        caller, queue = callers.popitem(last=False)
        entered = queue.popleft()
        if queue:
            callers[caller] = queue
        if callers:
            self._waiting[tenant] = callers
        return entered
