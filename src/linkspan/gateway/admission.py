"""Whose call begins next, where there are more than this process can do at once: one of each tenant in turn.

One event loop does the work of all tenants, everything that is ready one after the other. Whoever asks
sixteen things at once would be worked sixteen times between two steps of somebody else's call. So calls wait
here before anything is done for them: what has begun is brought to its end first, then one is begun, of the
tenant that waits and was let in longest ago. Nobody is held back while there is nothing else to do.
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


class Admission:
    """Lets calls in. It lives on one event loop and holds nobody back for long: it sets no limit."""

    def __init__(self, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self._timer = timer
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_looking = False
        self._looked_at = 0.0
        self._rounds = 0

    async def enter(self, who: Hashable) -> None:
        """Wait until it is somebody's turn to have a call begun."""
        if not self._is_looking:
            self._look_next_round()
            return
        entered = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(entered)
        await entered

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
            who, queue = self._waiting.popitem(last=False)
            entered = queue.popleft()
            if queue:
                self._waiting[who] = queue
            if not entered.done():  # else who asked has hung up
                entered.set_result(None)
                return
