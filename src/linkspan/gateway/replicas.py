"""How many processes serve or work from one database, so that each knows its share of what products allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from linkspan.accounts.identifiers import identifier
from linkspan.errors import LinkspanError
from linkspan.net.pacing import Paces
from linkspan.store import replicas
from linkspan.store.database import Database
from linkspan.vault.keys import Random

log = logging.getLogger("linkspan.gateway")
_EVERY: Final = 5.0
_ALIVE: Final = 20.0
"""Seconds after which a process that says nothing serves no more; clocks may differ by some of them."""


class Replicas:
    """Tells the others that this process is there, and its paces among how many."""

    def __init__(
        self,
        db: Database,
        paces: Paces,
        *,
        clock: Callable[[], float],
        random: Random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._db = db
        self._paces = paces
        self._random = random
        self._name = ""
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Say so every five seconds until cancelled; while the store does not answer the number stands."""
        try:
            while True:
                try:
                    await _whole(self.look())
                except LinkspanError as error:
                    log.warning("how many processes there are could not be read: %s", error.message)
                await self._sleep(_EVERY)
        finally:
            await replicas.leave(self._db, self._name)

    async def look(self) -> int:
        """Say so once; answer how many there are."""
        self._name = self._name or identifier(self._random)
        self._paces.among = await replicas.beat(self._db, self._name, now=self._clock(), alive=_ALIVE)
        return self._paces.among


async def _whole(look: Coroutine[None, None, int]) -> None:
    """Wait for a look, to its end when cancelled: in the store it goes on, and would come after `leave`."""
    looking = asyncio.ensure_future(look)
    try:
        await asyncio.shield(looking)
    except asyncio.CancelledError:
        await asyncio.gather(looking, return_exceptions=True)
        raise
