"""How many processes serve from one database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkspan.gateway.replicas import Replicas
from linkspan.net.pacing import Paces
from linkspan.store.database import Database
from tests.store.engines import Engine


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    """A database on each engine."""
    database = await engine.migrated()
    yield database
    await database.aclose()


async def test_each_process_knows_how_many_there_are(db: Database) -> None:
    """Those that end are forgotten at once, those that died after a while."""
    now = [1000.0]
    paces = [Paces() for _ in range(3)]
    one, two, three = (Replicas(db, each, clock=lambda: now[0], random=os.urandom) for each in paces)
    assert [await each.look() for each in (one, two, three, one)] == [1, 2, 3, 3]
    now[0] += 15
    assert [await each.look() for each in (one, two)] == [3, 3]
    now[0] += 6
    assert [await each.look() for each in (one, two)] == [2, 2]
    assert [each.among for each in paces] == [2, 2, 3]
    rounds = 0

    async def sleep(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        assert seconds == 5
        if rounds == 3:
            raise asyncio.CancelledError

    serving = Replicas(db, paces[2], clock=lambda: now[0], random=os.urandom, sleep=sleep)
    running = asyncio.ensure_future(serving.run())
    await asyncio.wait([running])
    assert running.cancelled()
    assert paces[2].among == 3
    assert await one.look() == 2


async def test_who_ends_while_it_says_so_is_forgotten(db: Database) -> None:
    """What the store had begun is waited for, so that it does not come after the goodbye."""
    held, now = Held(db), [1000.0]
    ending = Replicas(held, Paces(), clock=lambda: now[0], random=os.urandom)
    running = asyncio.ensure_future(ending.run())
    await held.begun.wait()
    running.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    held.go_on.set()
    await asyncio.wait([running])
    assert running.cancelled()
    await held.writing
    assert await Replicas(db, Paces(), clock=lambda: now[0], random=os.urandom).look() == 1


class Held:
    """A database whose next transaction waits, and is made even if nobody waits for it any more."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.writing = asyncio.ensure_future(self.go_on.wait())

    async def transaction(self, *args: Any, **more: Any) -> Any:
        """Make it when it may go on."""
        self.writing = asyncio.ensure_future(self._later(*args, **more))
        self.begun.set()
        return await asyncio.shield(self.writing)

    async def _later(self, *args: Any, **more: Any) -> Any:
        await self.go_on.wait()
        return await self._db.transaction(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)
