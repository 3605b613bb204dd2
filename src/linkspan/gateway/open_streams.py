"""How many streams each tenant has open: one that holds many to their end leaves the others theirs.

What a tenant's runs have open is counted apart, so that they get to their model however much its backend and
its people hold. Who comes when all are taken waits a little for one to end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.principal import Principal
from linkspan.errors import RateLimited

_AGAIN: Final = 1.0
"""Seconds after which it may be tried again: nobody knows when a stream ends."""


@dataclass(slots=True)
class _Place:
    free: asyncio.Semaphore
    users: int = 0
    """Those who have one, and those who wait."""


class OpenStreams:
    """Counts them in this process. `most` is for a tenant, and once more for its runs."""

    def __init__(self, most: int, *, refused: Callable[[], object] = lambda: None) -> None:
        """`refused` is told of each one that waited in vain."""
        self._most = most
        self._refused = refused
        self._places: dict[Hashable, _Place] = {}

    @contextlib.asynccontextmanager
    async def one(self, principal: Principal, patience: float) -> AsyncIterator[None]:
        """Have one open for the length of the block. Raises `RateLimited` when none ends in so many seconds.

        Whoever is cancelled, waiting or with one open, leaves nothing behind.
        """
        is_run = principal.kind == "run"
        key = principal.tenant, is_run
        place = self._places.setdefault(key, _Place(asyncio.Semaphore(self._most)))
        place.users += 1
        try:
            try:
                async with asyncio.timeout(patience):
                    await place.free.acquire()
            except TimeoutError:
                self._refused()
                who = "runs" if is_run else "backend and people"
                raise RateLimited(
                    f"the {who} of tenant {principal.tenant} have {self._most} requests open already",
                    hint="Let one of them end first.",
                    retry_after=_AGAIN,
                ) from None
            try:
                yield
            finally:
                place.free.release()
        finally:
            place.users -= 1
            if not place.users:
                del self._places[key]
