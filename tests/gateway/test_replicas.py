"""How many processes serve from one database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

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
