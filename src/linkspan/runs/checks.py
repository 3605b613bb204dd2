"""Where a run's pull request stands at its forge, and what is checked there, for people who look at the run.

It is asked when somebody looks, and for all who look at once; nothing of it is stored, for the forge knows
better a minute later. Only the run's own pull request is asked about, as the run, with rights to read alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.errors import InvalidArgument, NotFound, UpstreamError
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item, Page
from linkspan.runs.about import person_of
from linkspan.runs.publishing import parts_of
from linkspan.store.runs import Run

GOOD_FOR: Final = 10.0
"""Seconds for which an answer serves everybody."""
GROW_FOR: Final = 300.0
"""Seconds after a run in which its forge may still think of checks: it makes them when it comes to it."""
_KINDS: Final = ("check.list", "check.statuses")
"""Forges keep checks in two places: what their own applications say, and what others report of a commit."""
_SCOPES: Final = ("pull_request.get", *_KINDS)
_MOST_KEPT: Final = 1_000
_MOST_CHECKS: Final = 100


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the commit that the pull request ends with."""

    name: str
    status: str
    conclusion: str | None
    url: str | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.conclusion is not None or self.status == "completed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pull request is now."""

    state: str
    review: str | None
    checks: tuple[Check, ...] | None
    """None where the forge's connector, as tools.yaml has it, tells of none."""


class Checks:
    """Asks the forge that a run published to."""

    def __init__(
        self, gateway: Gateway, *, clock: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._random = random
        self._kept: OrderedDict[tuple[str, str], tuple[float, asyncio.Task[Standing]]] = OrderedDict()

    async def of(self, run: Run) -> Standing:
        """Answer how the run's pull request stands. Raises `NotFound` where there is none."""
        identified = (run.pull_request or {}).get("id")
        if not identified:
            raise NotFound("This run has made no pull request")
        key, now = (run.tenant, run.id), self._clock()
        asked, asking = self._kept.get(key, (0.0, None))
        if asking is None or now - asked >= GOOD_FOR:
            asking = asyncio.create_task(self._ask(run, str(identified)))
            asking.add_done_callback(_hear)
            self._kept[key] = (now, asking)
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        # Who goes away meanwhile does not end it for the others.
        return await asyncio.shield(asking)

    def may_grow(self, run: Run) -> bool:
        """Tell whether there may soon be more checks than there are."""
        return run.finished is None or self._clock() - run.finished < GROW_FOR

    async def _ask(self, run: Run, identified: str) -> Standing:
        principal = Principal(Tenant(run.tenant), "run", run.id, _SCOPES, person=person_of(run))
        known = await self._call(principal, "pull_request.get", {"id": identified})
        pulled: Mapping[str, Any] = known.result if isinstance(known.result, Mapping) else {}
        told = pulled.get("checks")
        found, knows = list(told or ()), told is not None
        commit = pulled.get("head_sha") or run.branch
        offered = {**parts_of(run.repository or ""), "ref": commit, "limit": _MOST_CHECKS}
        for kind in _KINDS if commit else ():
            if not (taken := self._taken(kind, known.connector)):
                continue
            given = {name: value for name, value in offered.items() if name in taken}
            with contextlib.suppress(InvalidArgument, NotFound):  # a commit that the forge does not know
                found += (await self._call(principal, kind, {**given, "account": known.account})).result or ()
                knows = True
        checks = {each.name: each for each in map(_check, found[:_MOST_CHECKS])}.values()
        state = str(pulled.get("state") or "unknown")
        return Standing(state, pulled.get("review_state"), tuple(checks) if knows else None)

    def _taken(self, kind: str, connector: str) -> Collection[str]:
        """Answer what a forge takes when it is asked for such checks; nothing where it keeps none there."""
        tool = self._gateway.catalog.tool_for(kind)
        if tool is None or connector not in tool.operations:
            return ()
        own = tool.operations[connector].schema.get("properties", {})
        return {*own, *({"limit"} & tool.input_schema.get("properties", {}).keys())}

    async def _call(self, principal: Principal, key: str, arguments: Mapping[str, Any]) -> Item | Page:
        tool = self._gateway.catalog.tool_for(key)
        if tool is None:
            raise NotFound(f"tools.yaml has no {key}")
        info = CallInfo(self._random(16).hex(), via="run")
        found = await self._gateway.call(principal, tool, arguments, info=info)
        if not isinstance(found, Item | Page):
            raise UpstreamError(f"the forge answered {key} with something else than data")
        return found


def _hear(asked: asyncio.Task[Standing]) -> None:
    """Hear an error although whoever asked may be gone; who comes within the next seconds hears it, too."""
    if not asked.cancelled():
        asked.exception()


def _check(given: Mapping[str, Any]) -> Check:
    conclusion, url = given.get("conclusion"), given.get("url")
    return Check(
        str(given.get("name") or "check"),
        str(given.get("status") or "unknown"),
        str(conclusion) if conclusion else None,
        str(url) if url else None,
    )
