"""Products that tell nothing by themselves: lists that are looked at, and streams that are listened to.

For each account that a tenant shares one process does it at a time, over all replicas: it holds a lease, and
what it saw is stored with how far it has come, under the epoch that it took. So a process that dies, or that
was only slow, loses nothing and doubles nothing. It is done only where a tenant has a recipe on that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from linkspan.accounts.principal import AccountId, Principal, Tenant
from linkspan.errors import LinkspanError, UpstreamError
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.relay import Relay
from linkspan.runs.bell import Bell
from linkspan.runs.hooks import arrival_of, quiet_of, things_of, waiting_for
from linkspan.runs.listening import Told, events_of
from linkspan.runs.looking import keep_looking
from linkspan.runs.polling import Poller
from linkspan.spec.catalog import Catalog
from linkspan.spec.events import Event, Stream, Watch
from linkspan.store import accounts as account_rows
from linkspan.store import schedules as recipe_rows
from linkspan.store import watches as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival
from linkspan.store.watches import Key, Watched
from linkspan.wire import Passing, passing_of

log = logging.getLogger("linkspan.runs")
LOOK: Final = 2.0
LEASE: Final = 60.0
_LONGEST_PAUSE: Final = 1800.0
_RECONNECT: Final = 1.0
_NOTE: Final = 1.0
"""Seconds after which a place in a stream is stored though nothing came that a recipe waits for."""
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be done for one account."""

    what: Watch | Stream
    account: Account

    @property
    def key(self) -> Key:
        kind = "watch" if isinstance(self.what, Watch) else "stream"
        return self.account.tenant, self.account.id, f"{kind}:{self.what.name}"


class Watches:
    """Looks at lists and listens to streams."""

    def __init__(
        self,
        db: Database,
        poller: Poller,
        relay: Relay,
        *,
        catalog: Callable[[], Catalog],
        bell: Bell,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        lease: float = LEASE,
    ) -> None:
        self._db = db
        self._poller = poller
        self._relay = relay
        self._catalog = catalog
        self._bell = bell
        self._clock = clock
        self._random = random
        self._lease = lease
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    async def of_tenant(self, tenant: Tenant) -> Sequence[Watched]:
        """Answer what is looked at and listened to for a tenant, and how it goes."""
        return await rows.of_tenant(self._db, tenant)

    async def run(self) -> None:
        """Look and listen until cancelled; others go on from there."""
        try:
            await keep_looking("what is to be watched", self.turn, self._bell, LOOK)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def turn(self) -> None:
        """Begin what is due, and end what nobody waits for any more.

        Of an account that is to be linked again nothing is asked; how far it has come stays.
        """
        jobs = {job.key: job for job in await self._jobs()}
        there = {each.key for each in await rows.everything(self._db)}
        for key in there - jobs.keys():
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()
            await rows.forget(self._db, key)
        for key in jobs.keys() - there:
            await rows.add(self._db, key, now=self._clock())
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        good = (key for key, job in jobs.items() if job.account.state == "active")
        free = [key for key in good if key not in self._tasks]
        taken = await rows.claim(self._db, free, now=self._clock(), lease=self._lease)
        polls = asyncio.Semaphore(_AT_ONCE)
        for watched in taken:
            self._tasks[watched.key] = asyncio.create_task(self._do(jobs[watched.key], watched, polls))

    async def look_once(self) -> None:
        """Begin what is due and wait until every list was looked at."""
        await self.turn()
        await asyncio.gather(*(task for key, task in self._tasks.items() if key[2].startswith("watch:")))

    async def _jobs(self) -> list[_Job]:
        """Answer what recipes wait for, by the accounts of tenants that have one of them on."""
        catalog = self._catalog()
        jobs: list[_Job] = []
        for connector in catalog.connectors.values():
            waiting = waiting_for(catalog, connector.name)
            offered: tuple[Watch | Stream, ...] = (*connector.watches, *connector.streams)
            wanted = [each for each in offered if waiting.keys() & each.events.keys()]
            if not wanted:
                continue
            accounts = await account_rows.told_by(self._db, connector.name)
            for each in wanted:
                recipes = {name for event in each.events for name, _ in waiting.get(event, ())}
                tenants = {tenant for tenant, _ in await recipe_rows.wanted(self._db, sorted(recipes))}
                jobs += [_Job(each, account) for account in accounts if account.tenant in tenants]
        return jobs

    async def _do(self, job: _Job, watched: Watched, polls: asyncio.Semaphore) -> None:
        """Look or listen, held meanwhile; what does not work is tried again later."""
        holding = asyncio.create_task(self._hold(watched, asyncio.current_task()))
        try:
            if isinstance(job.what, Watch):
                async with polls:
                    await self._look(job.what, job.account, watched)
            else:
                await self._listen(job.what, job.account, watched)
        except LinkspanError as error:
            await self._put_off(job, watched, error.message, error.retry_after or 0.0)
        except asyncio.CancelledError:
            with contextlib.suppress(LinkspanError):
                await asyncio.shield(rows.renew(self._db, watched, until=self._clock()))
            raise
        except Exception:
            log.exception("%s of account %s failed", watched.name, watched.account)
            await self._put_off(job, watched, "Something went wrong inside Linkspan; its log has more.", 0.0)
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _hold(self, watched: Watched, doing: asyncio.Task[None] | None) -> None:
        """Say again and again that it is done here; end it when somebody else does it."""
        while True:
            await asyncio.sleep(self._lease / 3)
            with contextlib.suppress(LinkspanError):
                if not await rows.renew(self._db, watched, until=self._clock() + self._lease):
                    break
        if doing is not None:
            doing.cancel()

    async def _put_off(self, job: _Job, watched: Watched, told: str, least: float) -> None:
        step = job.what.every if isinstance(job.what, Watch) else _RECONNECT
        pause = max(step, least, min(step * 2**watched.failures, _LONGEST_PAUSE))
        if watched.failures == 0:
            log.warning("%s of account %s does not work: %s", watched.name, watched.account, told)
        await rows.failed(self._db, watched, told, due=self._clock() + pause)

    async def _look(self, watch: Watch, account: Account, watched: Watched) -> None:
        found = await self._poller.look(watch, account, watched.position)
        arrivals = [
            arrival
            for version, item in found.new.items()
            for arrival in await self._arrivals(account, watch.events, item, f"{watch.name}:{version}")
        ]
        due = self._clock() + watch.every
        await self._note(watched, found.place.plain(), arrivals, lease=None, due=due)

    async def _listen(self, stream: Stream, account: Account, watched: Watched) -> None:
        ask = _asked(stream, account, (watched.position or {}).get("last"))
        principal = Principal(
            Tenant(account.tenant),
            "service",
            f"watch:{account.connector}",
            (),
            account=AccountId(account.id),
        )
        info = CallInfo(self._random(16).hex(), via="run")
        position, noted = watched.position, self._clock()
        name = f"stream_{stream.name}"
        async with self._relay.open(
            principal, account.connector, ask, info=info, name=name, account=account.id
        ) as answer:
            if answer.status >= 400:
                raise UpstreamError(f"the stream was refused with {answer.status}")
            async for told in events_of(answer.chunks, stream.format):
                last = _called(stream, told)
                position = {"last": last} if last is not None else position
                arrivals = await self._arrivals(account, stream.events, told.data, _key(last, told))
                now = self._clock()
                if arrivals or now - noted >= _NOTE:
                    noted = now
                    if not await self._note(watched, position, arrivals, lease=now + self._lease, due=now):
                        return
        await self._note(watched, position, (), lease=None, due=self._clock() + _RECONNECT)

    async def _note(
        self,
        watched: Watched,
        position: Mapping[str, Any] | None,
        arrivals: Sequence[Arrival],
        *,
        lease: float | None,
        due: float,
    ) -> bool:
        quiet = quiet_of(self._catalog())
        new = await rows.note(self._db, watched, position, arrivals, quiet=quiet, lease=lease, due=due)
        if new:
            self._bell.ring()
        return new is not None

    async def _arrivals(
        self, account: Account, events: Mapping[str, Event], item: Any, key: str
    ) -> Sequence[Arrival]:
        waiting = waiting_for(self._catalog(), account.connector)
        told = [
            (event, thing, entity_id)
            for event in events.values()
            if event.name in waiting
            for thing, entity_id in things_of(event, item)
        ]
        own = await account_rows.own_identities(self._db, account) if told else frozenset()
        return [
            arrival_of(account, own, event, thing, entity_id, key, recipe, does, self._clock())
            for event, thing, entity_id in told
            for recipe, does in waiting[event.name]
        ]


def _asked(stream: Stream, account: Account, last: object) -> Passing:
    ask = passing_of(stream.plan, account.settings)
    accept = "text/event-stream" if stream.format == "sse" else "application/json, application/x-ndjson, */*"
    headers = {"Accept": accept, "Accept-Encoding": "identity", **ask.headers}
    query = ask.query
    if isinstance(last, str) and stream.resume_header is not None:
        headers[stream.resume_header] = last
    elif isinstance(last, str) and stream.resume_query is not None:
        query = "&".join(part for part in (query, f"{stream.resume_query}={quote(last, safe='')}") if part)
    return replace(ask, headers=headers, query=query)


def _called(stream: Stream, told: Told) -> str | None:
    said = stream.id(told.data) if stream.id is not None else told.id
    return str(said) if isinstance(said, str | int) and not isinstance(said, bool) else None


def _key(last: str | None, told: Told) -> str:
    """Answer what makes two events of a stream the same one."""
    if last is not None:
        return f"id:{last}"
    text = json.dumps(told.data, sort_keys=True)
    return f"sha:{hashlib.sha256(text.encode()).hexdigest()}"
