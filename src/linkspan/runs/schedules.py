"""Recipes that start by themselves at a time, for each tenant that has them on.

A run's id follows from the recipe and the moment it was due, so that of several processes that see the moment
come, and of one that dies in between, it is started once. After a downtime it starts once, however many
moments have passed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.errors import LinkspanError
from linkspan.runs.looking import keep_looking
from linkspan.runs.runs import Runs
from linkspan.spec.catalog import Catalog
from linkspan.spec.schedules import Schedule
from linkspan.store import schedules as rows
from linkspan.store import starts
from linkspan.store.database import Database, StoreFault
from linkspan.store.schedules import Due

log = logging.getLogger("linkspan.runs")
SOURCE: Final = "schedule"
LOOK: Final = 5.0
"""Seconds between two looks."""


class Schedules:
    """Starts what is due."""

    def __init__(
        self, db: Database, runs: Runs, *, catalog: Callable[[], Catalog], clock: Callable[[], float]
    ) -> None:
        self._db = db
        self._runs = runs
        self._catalog = catalog
        self._clock = clock

    async def find(self, tenant: Tenant, recipe: str) -> Due | None:
        """Answer when a recipe starts next for a tenant; None while nobody has looked, or it is off."""
        return await rows.find(self._db, tenant, recipe)

    async def run(self) -> None:
        """Start what becomes due until cancelled."""
        await keep_looking("what is due", self.work_due, self._runs.bell, LOOK)

    async def work_due(self) -> int:
        """Start what is due, and answer how much that was."""
        catalog = self._catalog()
        schedules = {name: each.schedule for name, each in catalog.recipes.items() if each.schedule}
        there = {(each.tenant, each.recipe): each for each in await rows.every_one(self._db)}
        if not schedules and not there:
            return 0
        wanted = set(await rows.wanted(self._db, list(schedules)))
        for tenant, recipe in there.keys() - wanted:
            await rows.forget(self._db, tenant, recipe)
        started = 0
        for tenant, recipe in sorted(wanted):
            started += await self._look_at(tenant, recipe, schedules[recipe], there.get((tenant, recipe)))
        return started

    async def _look_at(self, tenant: str, recipe: str, schedule: Schedule, known: Due | None) -> bool:
        now = self._clock()
        if known is None or (known.every, known.zone) != (schedule.every, schedule.zone):
            due = schedule.after(now, since=now)
            fresh = Due(tenant, recipe, schedule.every, schedule.zone, now, due)
            await rows.put(self._db, fresh, before=known)
            return False
        if known.due > now:
            return False
        # Started first, and then written down: started again by somebody else meanwhile, it is the same run.
        told = await self._start(Tenant(tenant), recipe, known.due)
        due = schedule.after(now, since=known.since)
        return await rows.put(self._db, replace(known, due=due, last=known.due, outcome=told), before=known)

    async def _start(self, tenant: Tenant, recipe: str, due: float) -> str:
        active = await starts.active_on(self._db, tenant, recipe, None)
        if active is not None and active.source == SOURCE:
            return f"{active.id} went on from the time before."
        principal = Principal(tenant, "service", SOURCE, ("run.start",))
        try:
            run = await self._runs.start(principal, recipe, source=SOURCE, key=f"{recipe}:{due:.3f}")
        except StoreFault:
            raise
        except LinkspanError as error:
            log.warning("recipe %s of tenant %s was due and not started: %s", recipe, tenant, error.code)
            return error.message
        return f"{run.id}."
