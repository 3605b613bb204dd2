"""Who looks at a list or listens to a stream: one process of many, with a lease."""

from __future__ import annotations

import asyncio

from linkspan.accounts.principal import Tenant
from linkspan.store import tenants, watches
from linkspan.store.database import Database
from tests.store.engines import Engine

LEASE = 120.0


async def test_of_many_processes_one_takes_each(db: Database, other: Database, engine: Engine) -> None:
    """However many ask at once and in whatever order; again when its lease is over, and never before."""
    await tenants.add(db, Tenant("acme"), now=0.0)
    keys = [("acme", f"acc_{number}", "watch:changes") for number in range(8)]
    for key in keys:
        assert await watches.add(db, key, now=0.0)
    third = engine.open()
    orders = [(db, keys), (other, keys[::-1]), (third, keys[4:] + keys[:4])]

    async def claimed(now: float) -> list[list[watches.Watched]]:
        asked = (watches.claim(each, order, now=now, lease=LEASE) for each, order in orders)
        return list(await asyncio.gather(*asked))

    taken = await claimed(0.0)
    assert sorted(each.key for some in taken for each in some) == keys
    assert await claimed(LEASE - 1) == [[], [], []]
    assert sorted(each.key for some in await claimed(LEASE + 1) for each in some) == keys
    slow = next(each for some in taken for each in some)
    assert await watches.note(db, slow, {}, (), quiet={}, lease=None, due=0.0) is None
    assert not await watches.renew(other, slow, until=1_000.0)
    await third.aclose()
