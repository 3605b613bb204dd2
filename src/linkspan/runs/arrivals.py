"""Events that came in, worked: the thing is read anew, the recipe's `when` is judged, and a run is started.

It happens in the processes that work runs. A run's id follows from the event's, so that an event which is
worked twice, after a worker died or by replay, starts one run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from linkspan.accounts.principal import AccountId, Principal, Tenant
from linkspan.errors import (
    Conflict,
    Internal,
    LinkspanError,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item
from linkspan.runs.runs import Runs
from linkspan.spec.expressions import compile_predicate
from linkspan.spec.recipe import Recipe
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, ArrivalState
from linkspan.store.runs import Run

log = logging.getLogger("linkspan.runs")
WAITS: Final = (10.0, 60.0, 300.0, 1800.0)
"""Seconds before the second and later attempts, when a product does not answer."""
LEASE: Final = 120.0
LOOK: Final = 2.0
KEEP: Final = 30 * 86_400.0
_AT_ONCE: Final = 8
_TIDY: Final = 600.0
_PASSING: Final = (RateLimited, UpstreamTimeout, Internal)


class Arrivals:
    """Lists, replays and works events that came in."""

    def __init__(
        self,
        db: Database,
        gateway: Gateway,
        runs: Runs,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._runs = runs
        self._clock = clock
        self._random = random

    async def list(
        self, tenant: Tenant, *, state: ArrivalState | None = None, limit: int = 50
    ) -> Sequence[Arrival]:
        """Answer a tenant's events, the newest first."""
        return await rows.listed(self._db, tenant, state=state, limit=limit)

    async def get(self, tenant: Tenant, identified: str) -> Arrival:
        """Answer one event. Raises `NotFound`."""
        return _there(await rows.find(self._db, tenant, identified), identified)

    async def replay(self, tenant: Tenant, identified: str) -> Arrival:
        """Have an event worked once more; what it started already is not started again. Raises `NotFound`."""
        found = _there(await rows.again(self._db, tenant, identified, now=self._clock()), identified)
        self._runs.bell.ring()
        return found

    async def run(self) -> None:
        """Work events until cancelled."""
        tidied = self._clock()
        is_failing = False
        while True:
            try:
                while await self.work_due():
                    pass
                if self._clock() - tidied >= _TIDY:
                    tidied = self._clock()
                    await rows.sweep(self._db, finished_before=tidied - KEEP)
                is_failing = False
            except LinkspanError as error:
                if not is_failing:
                    log.error("events cannot be looked for: %s", error.message)
                is_failing = True
            except Exception:
                if not is_failing:
                    log.exception("looking for events failed")
                is_failing = True
            await self._runs.bell.wait(LOOK)

    async def work_due(self) -> int:
        """Work what is due, and answer how many events that were."""
        taken = await rows.claim(self._db, now=self._clock(), lease=LEASE, limit=_AT_ONCE)
        await asyncio.gather(*(self._work(arrival) for arrival in taken))
        return len(taken)

    async def _work(self, arrival: Arrival) -> None:
        state: ArrivalState
        try:
            state, outcome = await self._outcome(arrival)
        except LinkspanError as error:
            attempt = arrival.attempts - 1
            if _passes(error) and attempt < len(WAITS):
                now = self._clock()
                due = now + max(WAITS[attempt], error.retry_after or 0.0)
                await rows.settle(self._db, arrival, "pending", error.message, now=now, due=due)
                return
            state, outcome = "failed", error.message
        except Exception:
            log.exception("event %s of tenant %s failed", arrival.id, arrival.tenant)
            state, outcome = "failed", "Something went wrong inside Linkspan; its log has more."
        await rows.settle(self._db, arrival, state, outcome, now=self._clock())

    async def _outcome(self, arrival: Arrival) -> tuple[ArrivalState, str]:
        tenant = Tenant(arrival.tenant)
        account = await account_rows.find(self._db, tenant, arrival.account)
        if account is None:
            return "ignored", "The account is not linked any more."
        outcomes = []
        meant = []
        for recipe in self._waiting(arrival):
            if (await self._runs.recipe(tenant, recipe.name)).enabled:
                meant.append(recipe)
            else:
                outcomes.append(f"The recipe {recipe.name} is off.")
        if not meant:
            return "ignored", " ".join(outcomes) or "No recipe waits for it."
        item = await self._read(arrival)
        started = False
        for recipe in meant:
            trigger = recipe.trigger
            condition = trigger.when if trigger is not None else None
            if condition is not None and not compile_predicate(condition)(item):
                outcomes.append(f"{recipe.name}: `when` is not so.")
                continue
            try:
                run = await self._start(arrival, recipe)
            except Conflict as error:
                outcomes.append(f"{recipe.name}: {error.message}.")
                continue
            started = True
            outcomes.append(f"{recipe.name}: {run.id}.")
        return ("done" if started else "ignored"), " ".join(outcomes)

    async def _start(self, arrival: Arrival, recipe: Recipe) -> Run:
        return await self._runs.start(
            self._principal(arrival, "run.start"),
            recipe.name,
            source=f"webhook:{arrival.connector}",
            entity_id=arrival.entity_id,
            account=arrival.account,
            key=f"{arrival.id}:{recipe.name}",
        )

    def _waiting(self, arrival: Arrival) -> Sequence[Recipe]:
        return [
            recipe
            for recipe in self._gateway.catalog.recipes.values()
            if recipe.trigger is not None
            and recipe.trigger.connector == arrival.connector
            and f"{recipe.trigger.entity}.{recipe.trigger.event}" == arrival.event
        ]

    async def _read(self, arrival: Arrival) -> object:
        """Read the thing with the tenant's own credential: what was delivered about it is not believed."""
        key = f"{arrival.entity}.get"
        tool = self._gateway.catalog.tool_for(key)
        if tool is None:
            raise NotFound(f"tools.yaml has no operation {key}, by which {arrival.event} is looked at")
        info = CallInfo(self._random(16).hex(), via="run")
        found = await self._gateway.call(
            self._principal(arrival, key), tool, {"id": arrival.entity_id}, info=info
        )
        return found.result if isinstance(found, Item) else None

    def _principal(self, arrival: Arrival, scope: str) -> Principal:
        """Answer who asks: the product, with the one account that it told us of, and no more than this."""
        return Principal(
            Tenant(arrival.tenant),
            "service",
            f"webhook:{arrival.connector}",
            (scope,),
            account=AccountId(arrival.account),
        )


def _passes(error: LinkspanError) -> bool:
    if isinstance(error, UpstreamError):
        return error.upstream_status is None or error.upstream_status >= 500
    return isinstance(error, _PASSING)


def _there(found: Arrival | None, identified: str) -> Arrival:
    if found is None:
        raise NotFound(f"No event {identified!r} came in", hint="See: linkspan hooks list")
    return found
