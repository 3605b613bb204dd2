"""Looking at a list for what is new in it: each version of a thing counts once.

How far it has come is the newest time (or number) that was seen, and which versions of things were seen since
a little before it: a product may show late what it changed earlier. The first look tells nothing, or all that
ever was would start recipes.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from linkspan.accounts.principal import AccountId, Principal, Tenant
from linkspan.errors import NotFound
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Page
from linkspan.spec.events import Watch
from linkspan.store.accounts import Account
from linkspan.store.outbox import iso

log = logging.getLogger("linkspan.runs")
_MOST_PAGES: Final = 20
_MOST_SEEN: Final = 5_000
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a list was looked through."""

    newest: float | None = None
    """Epoch seconds, or the number itself."""
    is_time: bool = True
    seen: Mapping[str, float] = field(default_factory=dict)
    """Versions of things since a little before `newest`."""

    def plain(self) -> Json:
        """Answer what is stored."""
        return {"newest": self.newest, "is_time": self.is_time, "seen": dict(self.seen)}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: new things by their version, and how far it has come."""

    new: Mapping[str, Json]
    place: Place


class Poller:
    """Looks at lists with a tenant's own account."""

    def __init__(
        self, gateway: Gateway, *, clock: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._random = random

    async def look(self, watch: Watch, account: Account, position: Mapping[str, Any] | None) -> Look:
        """Look once. Raises what a call of the gateway raises."""
        before = Place(**position) if position is not None else None
        floor = _floor(before, watch.overlap)
        arguments = dict(watch.arguments)
        if floor is not None and before is not None and watch.since is not None:
            arguments[watch.since] = iso(floor) if before.is_time else floor
        items, is_whole = await self._read(watch, account, arguments, floor)
        dated = {_version(item, order): (item, order) for item, order in items}
        seen = before.seen if before is not None else {}
        new = {
            version: item
            for version, (item, order) in dated.items()
            if before is not None and version not in seen and (floor is None or order >= floor)
        }
        return Look(new, self._place(watch, before, [(v, o) for v, (_, o) in dated.items()], items, is_whole))

    async def _read(
        self, watch: Watch, account: Account, arguments: Json, floor: float | None
    ) -> tuple[list[tuple[Json, float]], bool]:
        """Answer items with when they changed, and whether these are all. Old pages are not read further."""
        tool = self._gateway.catalog.tool_for(watch.list)
        if tool is None:
            raise NotFound(f"tools.yaml has no list {watch.list} any more")
        principal = Principal(
            Tenant(account.tenant),
            "service",
            f"watch:{account.connector}",
            (watch.list,),
            account=AccountId(account.id),
        )
        found: list[tuple[Json, float]] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            info = CallInfo(self._random(16).hex(), via="run")
            given = {**arguments, **({"cursor": cursor} if cursor else {})}
            page = await self._gateway.call(principal, tool, given, info=info)
            assert isinstance(page, Page)  # noqa: S101 - it was checked to be a list
            there = [
                (item, order) for item in page.result if (order := order_of(watch.newest(item))) is not None
            ]
            found += there
            cursor = page.next_cursor
            if cursor is None or (there and floor is not None and all(order < floor for _, order in there)):
                return found, True
        return found, False

    def _place(
        self,
        watch: Watch,
        before: Place | None,
        versions: Iterable[tuple[str, float]],
        items: list[tuple[Json, float]],
        is_whole: bool,
    ) -> Place:
        is_time = before.is_time if before is not None and before.newest is not None else True
        if items and (before is None or before.newest is None):
            is_time = isinstance(watch.newest(items[0][0]), str)
        known = [] if before is None or before.newest is None else [before.newest]
        orders = [*known, *(order for _, order in items)]
        newest: float | None = max(orders) if orders else None
        if not is_whole:
            log.warning("the list %s has more than %s pages: looked at in part", watch.list, _MOST_PAGES)
            # What is on later pages may be older or newer: it is looked at again rather than passed over.
            newest = known[0] if known else max(newest or 0.0, self._clock() if is_time else 0.0)
        floor = _floor(Place(newest, is_time), watch.overlap)
        seen = dict(before.seen) if before is not None else {}
        seen.update(versions)
        kept = sorted(seen.items(), key=lambda each: each[1], reverse=True)[:_MOST_SEEN]
        return Place(newest, is_time, {v: o for v, o in kept if floor is None or o >= floor})


def order_of(value: Any) -> float | None:
    """Answer what an item's time or number is compared by; None when it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        told = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


def _floor(place: Place | None, overlap: float) -> float | None:
    """Answer from where on things count; of numbers there is nothing before the newest."""
    if place is None or place.newest is None:
        return None
    return place.newest - overlap if place.is_time else place.newest


def _version(item: Json, order: float) -> str:
    told = json.dumps([item.get("id"), order], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:20]
