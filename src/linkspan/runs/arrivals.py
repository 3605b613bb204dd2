"""Events that came in, worked: the thing is read anew, the recipe's `when` is judged, and a run is started.

It happens in the processes that work runs. A run's id follows from the event's, so that an event which is
worked twice, after a worker died or by replay, starts one run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
from linkspan.runs.ids import run_id
from linkspan.runs.looking import keep_looking
from linkspan.runs.mentions import find_comment, why_not
from linkspan.runs.runs import Runs
from linkspan.runs.starting import QueueFull, WorkedOn
from linkspan.spec.expressions import compile_predicate
from linkspan.spec.recipe import Recipe
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store import starts
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, ArrivalState
from linkspan.store.runs import Run

if TYPE_CHECKING:
    from linkspan.runs.following import Following

log = logging.getLogger("linkspan.runs")
WAITS: Final = (10.0, 60.0, 300.0, 1800.0)
"""Seconds before the second and later attempts, when a product does not answer."""
LEASE: Final = 120.0
LOOK: Final = 2.0
AGAIN: Final = 2.0
"""Seconds until an event is looked at again that waits for a run: for its end, at the earliest then."""
ROOM: Final = 30.0
"""And one that found as many runs waiting for their turn as may."""
KEEP: Final = 30 * 86_400.0
_AT_ONCE: Final = 8
_TIDY: Final = 600.0
_PASSING: Final = (RateLimited, UpstreamTimeout, Internal)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of an event; `due`: it is looked at again then, when the run `waits_for` has ended."""

    state: ArrivalState
    told: str
    due: float | None = None
    failures: int = 0
    waits_for: str | None = None


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
        lease: float = LEASE,
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._runs = runs
        self._clock = clock
        self._random = random
        self._lease = lease
        self._tidied = clock()
        self.following: Following | None = None
        """Set by who works runs: only they write into products."""

    async def list(
        self, tenant: Tenant, *, state: ArrivalState | None = None, limit: int = 50
    ) -> Sequence[Arrival]:
        """Answer a tenant's events, the newest first."""
        return await rows.listed(self._db, tenant, state=state, limit=limit)

    async def get(self, tenant: Tenant, identified: str) -> Arrival:
        """Answer one event. Raises `NotFound`."""
        return _there(await rows.find(self._db, tenant, identified), identified)

    async def foresee(self, tenant: Tenant, account: str, told: Mapping[str, Any]) -> str:
        """Answer what would come of an event that was noted so, for people; nothing is started.

        `told` is what the door says of a test delivery. Raises what reading the thing raises.
        """
        recipe = self._gateway.catalog.recipes.get(str(told["recipe"]))
        if told["ignored"] is not None or recipe is None:
            return f"ignored: {told['ignored'] or 'there is no such recipe here'}"
        if not (await self._runs.recipe(tenant, recipe.name)).enabled:
            return f"ignored: the recipe {recipe.name} is off for tenant {tenant}"
        entity, _, _ = str(told["event"]).partition(".")
        now = self._clock()
        known = self._gateway.catalog.connectors
        found = await account_rows.find(self._db, tenant, account)
        connector = found.connector if found is not None else ""
        events = known[connector].webhooks if connector in known else None
        event = events.events.get(str(told["event"])) if events is not None else None
        arrival = Arrival(
            tenant, "test", connector, account, str(told["event"]), event.entity if event else entity,
            str(told["id"]), now, "pending", 0, now, does=told["does"], comment=told.get("comment"),
        )  # fmt: skip
        if str(told["does"]).startswith("follow"):
            return f"{recipe.name} follows it, where a run of its own opened it"
        if told["does"] in ("start", "mention") and (why := await self._why_not(arrival, recipe)) is not None:
            return f"{recipe.name}: {why}"
        condition = recipe.stop_when if told["does"] == "stop" else None
        if condition is not None and not compile_predicate(condition)(await self._read(arrival)):
            return f"{recipe.name}: `when` is not so"
        active = await self._active(arrival, recipe)
        if told["does"] == "stop":
            return f"would end {active.id}" if active else "would end nothing: no run goes on for it"
        if active is not None and recipe.concurrency == "skip":
            return f"ignored: {active.id} works on it already"
        is_quiet = recipe.debounce is not None and told["does"] == "start"
        waits = f" after {recipe.debounce:g} s of quiet" if is_quiet else ""
        return f"would start {recipe.name} on it{waits}"

    async def replay(self, tenant: Tenant, identified: str) -> Arrival:
        """Have an event worked once more; what it started already is not started again. Raises `NotFound`."""
        found = _there(await rows.again(self._db, tenant, identified, now=self._clock()), identified)
        self._runs.bell.ring()
        return found

    async def run(self) -> None:
        """Work events until cancelled."""
        await keep_looking("events", self._turn, self._runs.bell, LOOK)

    async def _turn(self) -> None:
        while await self.work_due():
            pass
        now = self._clock()
        if now - self._tidied >= _TIDY:
            self._tidied = now
            await rows.sweep(self._db, finished_before=now - KEEP)

    async def work_due(self) -> int:
        """Work what is due, and answer how many events that were."""
        taken = await rows.claim(self._db, now=self._clock(), lease=self._lease, limit=_AT_ONCE)
        await asyncio.gather(*(self._work(arrival) for arrival in taken))
        return len(taken)

    async def _work(self, arrival: Arrival) -> None:
        try:
            done = await self._outcome(arrival)
        except LinkspanError as error:
            if _passes(error) and arrival.failures < len(WAITS):
                due = self._clock() + max(WAITS[arrival.failures], error.retry_after or 0.0)
                done = _Outcome("pending", error.message, due, arrival.failures + 1)
            else:
                done = _Outcome("failed", error.message)
        except Exception:
            log.exception("event %s of tenant %s failed", arrival.id, arrival.tenant)
            done = _Outcome("failed", "Something went wrong inside Linkspan; its log has more.")
        await rows.settle(
            self._db,
            arrival,
            done.state,
            done.told,
            now=self._clock(),
            due=done.due,
            failures=done.failures,
            waits_for=done.waits_for,
        )

    async def _outcome(self, arrival: Arrival) -> _Outcome:
        tenant = Tenant(arrival.tenant)
        if await account_rows.find(self._db, tenant, arrival.account) is None:
            return _Outcome("ignored", "The account is not linked any more.")
        recipe = self._gateway.catalog.recipes.get(arrival.recipe)
        if recipe is None:
            return _Outcome("ignored", f"tools.yaml has no recipe {arrival.recipe} any more.")
        if not (await self._runs.recipe(tenant, recipe.name)).enabled:
            return _Outcome("ignored", f"The recipe {recipe.name} is off.")
        if arrival.does not in ("start", "mention"):
            return await (self._stop if arrival.does == "stop" else self._follow)(arrival, recipe)
        if await self._is_overtaken(arrival, recipe):
            return _Outcome("ignored", rows.OVERTAKEN)
        if await starts.waiting(self._db, tenant) >= self._gateway.catalog.runs.waiting:
            return self._wait_for_room(recipe)
        if (why := await self._why_not(arrival, recipe)) is not None:
            return _Outcome("ignored", f"{recipe.name}: {why}.")
        if (wait := await self._wait_for_another(arrival, recipe)) is not None:
            return wait
        if (told := await self._too_often(arrival, recipe)) is not None:
            return _Outcome("ignored", f"{recipe.name}: {told}")
        return await self._begin(arrival, recipe)

    async def _is_overtaken(self, arrival: Arrival, recipe: Recipe) -> bool:
        is_quiet = arrival.does == "start" and waits_for_quiet(recipe)
        return is_quiet and await rows.is_overtaken(self._db, arrival)

    def _wait_for_room(self, recipe: Recipe) -> _Outcome:
        """Keep the event until others have begun, however long: it is no failure."""
        told = f"{recipe.name} waits: as many runs wait for their turn as may (runs.waiting)."
        return _Outcome("pending", told, self._clock() + ROOM)

    async def _wait_for_another(self, arrival: Arrival, recipe: Recipe) -> _Outcome | None:
        """Let what goes on for the same thing end first, where the recipe says so."""
        if recipe.concurrency == "skip":
            return None
        tenant = Tenant(arrival.tenant)
        active = await self._active(arrival, recipe)
        if active is None or active.id == run_id(tenant, _source(arrival), arrival.id):
            return None
        if recipe.concurrency == "supersede":
            active = await self._runs.end_by_event(tenant, active.id, _named(arrival))
            if active.is_finished:
                return None
        told = f"{recipe.name} waits for {active.id} to end."
        return _Outcome("pending", told, self._clock() + AGAIN, waits_for=active.id)

    async def _stop(self, arrival: Arrival, recipe: Recipe) -> _Outcome:
        """End what has not published yet, and what waits to be started."""
        tenant = Tenant(arrival.tenant)
        if recipe.stop_when is not None and not compile_predicate(recipe.stop_when)(
            await self._read(arrival)
        ):
            return _Outcome("ignored", f"{recipe.name}: `when` of `stop` is not so.")
        told = f"{recipe.name}: {_named(arrival)} came before it started."
        dropped, begins = await rows.drop_waiting(self._db, arrival, told, now=self._clock())
        if begins:
            return _Outcome("pending", f"{recipe.name} is about to start.", self._clock() + AGAIN)
        active = await self._active(arrival, recipe)
        if active is None or active.created > arrival.received + self._lease:
            return _Outcome("done" if dropped else "ignored", f"{recipe.name}: nothing goes on for it.")
        ended = await self._runs.end_by_event(tenant, active.id, _named(arrival))
        if ended.state == "publishing":
            return _Outcome("ignored", f"{recipe.name}: {ended.id} is being published already.")
        return _Outcome("done", f"{recipe.name}: {ended.id} ends.")

    async def _active(self, arrival: Arrival, recipe: Recipe) -> Run | None:
        """Answer the run that goes on for the thing which the event is about."""
        return await starts.active_on(
            self._db, arrival.tenant, recipe.name, arrival.entity_id, account=arrival.account
        )

    async def _follow(self, arrival: Arrival, recipe: Recipe) -> _Outcome:
        """Tell the thing what became of the pull request, and go on after a review."""
        if recipe.follow is None or self.following is None:
            return _Outcome("ignored", f"{recipe.name} follows no pull requests here.")
        there = await self._read(arrival)
        if not isinstance(there, dict):
            return _Outcome("ignored", f"{recipe.name}: there is no such pull request.")
        try:
            done = await self.following.follow(arrival, recipe, recipe.follow, there)
        except QueueFull:
            return self._wait_for_room(recipe)
        told = f"{recipe.name}: {done.told}."
        if done.waits_for is not None:
            return _Outcome("pending", told, self._clock() + AGAIN, waits_for=done.waits_for)
        return _Outcome("done" if done.came_true else "ignored", told)

    async def _too_often(self, arrival: Arrival, recipe: Recipe) -> str | None:
        """Answer why no more runs are started on a thing: it lasts still, or goes in circles."""
        tenant, thing = Tenant(arrival.tenant), arrival.entity_id
        if recipe.starts_once:
            last = await starts.last_by_events(self._db, tenant, recipe.name, thing, account=arrival.account)
            own = run_id(tenant, _source(arrival), arrival.id)
            lasts = last is not None and last.id != own
            if lasts and last and not await rows.stopped_since(self._db, arrival, last.created):
                return f"{last.id} was started on it, which is not over since."
        since = self._clock() - recipe.limit_within
        count = await starts.started_by_events(self._db, tenant, recipe.name, thing, since)
        if count >= recipe.most_runs:
            return f"events started {count} runs on it in a short time, which may be a loop."
        return None

    async def _begin(self, arrival: Arrival, recipe: Recipe) -> _Outcome:
        """Start a run, unless there is no room for it or the thing is worked on."""
        try:
            run = await self._start(arrival, recipe)
        except QueueFull:
            return self._wait_for_room(recipe)
        except Conflict as error:
            told = f"{recipe.name}: {error.message}."
            if isinstance(error, WorkedOn) and recipe.concurrency != "skip":  # it began in between
                return _Outcome("pending", told, self._clock() + AGAIN)
            return _Outcome("ignored", told)
        return _Outcome("done", f"{recipe.name}: {run.id}.")

    async def _start(self, arrival: Arrival, recipe: Recipe) -> Run:
        return await self._runs.start(
            self._principal(arrival, "run.start"),
            recipe.name,
            source=_source(arrival),
            entity_id=arrival.entity_id,
            account=arrival.account,
            key=arrival.id,
            comment=arrival.comment,
        )

    async def _why_not(self, arrival: Arrival, recipe: Recipe) -> str | None:
        """Answer why an event starts nothing, by what is read anew of it. None when it does."""
        if arrival.does != "mention":
            is_so = recipe.when is None or compile_predicate(recipe.when)(await self._read(arrival))
            return None if is_so else "`when` is not so"
        if recipe.mention is None or arrival.comment is None:
            return "it tells of no comment"
        found = await find_comment(
            self._gateway.catalog,
            lambda key, arguments: self._call(arrival, key, arguments),
            arrival.entity,
            arrival.entity_id,
            arrival.comment,
        )
        tenant = Tenant(arrival.tenant)
        account = await account_rows.find(self._db, tenant, arrival.account)
        values = {
            "settings": (await self._runs.recipe(tenant, recipe.name)).settings,
            "tenant": {"name": tenant},
        }
        own = await account_rows.own_identities(self._db, account) if account is not None else ()
        return why_not(found, recipe.mention, values, own=own, told=arrival.received)

    async def _read(self, arrival: Arrival) -> object:
        """Read the thing with the tenant's own credential: what was delivered about it is not believed."""
        key = f"{arrival.entity}.get"
        found = await self._call(arrival, key, {"id": arrival.entity_id})
        return found.result if isinstance(found, Item) else None

    async def _call(self, arrival: Arrival, key: str, arguments: dict[str, Any]) -> object:
        tool = self._gateway.catalog.tool_for(key)
        if tool is None:
            raise NotFound(f"tools.yaml has no operation {key}, by which {arrival.event} is looked at")
        info = CallInfo(self._random(16).hex(), via="run")
        return await self._gateway.call(self._principal(arrival, key), tool, arguments, info=info)

    def _principal(self, arrival: Arrival, scope: str) -> Principal:
        """Answer who asks: the product, with the one account that it told us of, and no more than this."""
        return Principal(
            Tenant(arrival.tenant),
            "service",
            f"webhook:{arrival.connector}",
            (scope,),
            account=AccountId(arrival.account),
        )


def waits_for_quiet(recipe: Recipe) -> bool:
    """Tell whether of several events for one thing only the last one counts."""
    return recipe.debounce is not None or recipe.concurrency != "skip"


def _source(arrival: Arrival) -> str:
    return f"webhook:{arrival.connector}"


def _named(arrival: Arrival) -> str:
    return f"{arrival.connector}.{arrival.event}"


def _passes(error: LinkspanError) -> bool:
    if isinstance(error, UpstreamError):
        return error.upstream_status is None or error.upstream_status >= 500
    return isinstance(error, _PASSING)


def _there(found: Arrival | None, identified: str) -> Arrival:
    if found is None:
        raise NotFound(f"No event {identified!r} came in", hint="See: linkspan hooks list")
    return found
