"""A worker in this process, over a house with a scripted engine and a forge that counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkspan.accounts.identifiers import identifier
from linkspan.app import App
from linkspan.runs.context import Reader
from linkspan.runs.journal import Journal
from linkspan.runs.outlet import Parts, Point
from linkspan.runs.work import Work
from linkspan.runs.worker import Worker
from linkspan.runs.write_back import WriteBack
from linkspan.spec.recipe import RunsPolicy
from linkspan.store.runs import Run
from linkspan.text.outgoing import Outgoing
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import BO, House

BASE = "https://linkspan.example"
PATIENCE = 30.0


@dataclass
class Works:
    """What a worker works with."""

    house: House
    engine: ScriptedEngine
    places: FakePlaces
    forge: FakeForge

    async def start(self, recipe: str = "mend", **given: Any) -> Run:
        """Ask for a run."""
        asked = {"source": "api", "key": "k", "entity_id": "HC-103", **given}
        if recipe == "look":
            asked["entity_id"] = None
        return await self.house.app.runs.start(given.pop("principal", BO), recipe, **asked)

    async def until(self, run: str, *states: str) -> Run:
        """Answer the run once it is in one of these states, or has ended."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.house.app.runs.find(BO.tenant, run)
                if found.state in states or (not states and found.is_finished):
                    return found
                assert not found.is_finished, (found.state, found.error_message)
                await self.house.app.runs.bell.wait(0.02)

    async def told(self, run: str, kind: str) -> list[Any]:
        """Answer what events of a kind say."""
        return [e.data for e in await self.house.app.runs.events(BO, run) if e.kind == kind]

    async def states(self, run: str) -> list[str]:
        """Answer the states that it went through."""
        return [data["state"] for data in await self.told(run, "state")]


def parts_of(
    app: App, works: Any, *, point: Point = lambda _name: None, work: Path | None = None, **changes: Any
) -> Parts:
    """Answer the parts of an application's worker."""
    reader = Reader(app.gateway, random=lambda count: b"r" * count, sleep=lambda _seconds: asyncio.sleep(0))
    filter_ = Outgoing(lambda text: text.replace("hush-hush", "***"))
    return Parts(
        db=app.database,
        kept=app.kept,
        tokens=app.run_tokens,
        reader=reader,
        write_back=WriteBack(
            reader,
            lambda: app.catalog,
            clean=lambda text: text.replace("@everyone", "everyone"),
            plain=filter_.plain,
            bare=filter_.bare,
            base=BASE,
        ),
        engines={"app_server": works.engine},
        places=works.places,
        forge=works.forge,
        bell=app.runs.bell,
        work=work or app.settings.home / "work",
        base_url=BASE,
        clock=app.runs._clock,
        mask=lambda text: text.replace("hush-hush", "***"),
        clean=lambda text: text.replace("@everyone", "everyone"),
        point=point,
        **changes,
    )


@asynccontextmanager
async def working(
    app: App, parts: Parts, *, name: str | None = None, policy: RunsPolicy | None = None, **pace: float
) -> AsyncIterator[Worker]:
    """Work runs in this process, as tools.yaml says if no other policy is given."""
    work = Work(parts, name or f"wrk_{identifier(os.urandom)}")
    policy = policy or app.catalog.runs
    journal = Journal(
        work,
        at_once=policy.at_once,
        per_tenant=policy.per_tenant,
        everywhere=policy.everywhere,
        database=app.settings.database or app.settings.database_path,
        polling=0.05,
    )
    worker = Worker(
        app.database,
        work,
        journal,
        app.runs.bell,
        policy=lambda: policy,
        clock=parts.clock,
        **{"beat": 0.2, "stale": 1.0, "look": 0.1, **pace},
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
