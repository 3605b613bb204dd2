"""Lets those of one process know that something is to be looked at, sooner than they would look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

from linkspan.store.run_events import RunEvent

Ear = Callable[[Sequence[RunEvent]], bool]
"""Takes events that were just stored; False: it does not know what came before them."""


class Bell:
    """Rung by who changes a run; whoever waits looks at once instead of at its next turn."""

    def __init__(self) -> None:
        self.rung = 0
        """How often it rang."""
        self._waiting: set[asyncio.Future[None]] = set()
        self._ears: set[Ear] = set()
        self._of: WeakValueDictionary[str, Bell] = WeakValueDictionary()

    def of(self, name: str) -> Bell:
        """Answer the bell of one thing, for those who wait for nothing else; one while anybody holds it."""
        bell = self._of.get(name)
        if bell is None:
            bell = self._of[name] = Bell()
        return bell

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.rung += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens to what is told."""
        return bool(self._ears)

    def listen(self, ear: Ear) -> None:
        """Hear what is told from now on."""
        self._ears.add(ear)

    def leave(self, ear: Ear) -> None:
        """Listen no longer."""
        self._ears.discard(ear)

    def tell(self, events: Sequence[RunEvent]) -> None:
        """Tell events that were just stored; it rings if anybody could not take them, and has to look."""
        taken = [ear(events) for ear in self._ears]
        if not all(taken):
            self.ring()

    async def wait(self, seconds: float, *, since: int | None = None) -> None:
        """Wait until it rings, at most so long; not at all if it rang after `since` times."""
        if since is not None and since != self.rung:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=seconds)
        finally:
            self._waiting.discard(waiter)
