"""How many calls a tenant, one of its principals, and a principal of one tool may make.

The products behind have limits of their own, which are heeded in any case (`net/limits.py`). These keep an
agent that runs in circles from taking a product's budget from its colleagues, or this process from others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from linkspan.accounts.principal import Principal
from linkspan.errors import RateLimited
from linkspan.gateway.admission import Admission
from linkspan.gateway.throttle import Throttle
from linkspan.settings import CallLimits
from linkspan.telemetry import SILENT, Meters

_MINUTE: Final = 60.0
Who = Callable[[Principal, str], Hashable]
_WHO: Final[tuple[tuple[str, str, Who], ...]] = (
    (
        "tool",
        "calls of this tool by one principal",
        lambda who, name: (who.tenant, who.kind, who.subject, name),
    ),
    ("token", "calls with one token", lambda who, _: (who.tenant, who.token_id or who.subject)),
    ("principal", "calls by one principal", lambda who, _: (who.tenant, who.kind, who.subject)),
    ("tenant", "calls by one tenant", lambda who, _: who.tenant),
)
"""Narrow to wide: what the narrow one refuses takes nothing from what is shared with others."""


def caller_of(principal: Principal) -> Hashable:
    """Answer whose turn it is when a product's budget is shared: each caller of a tenant has one."""
    return principal.kind, principal.subject


class Governor:
    """Counts calls in this process, and lets them in by turns. Without limits it counts nothing."""

    def __init__(
        self, limits: CallLimits, *, clock: Callable[[], float], meters: Meters = SILENT.meters
    ) -> None:
        self._admission = Admission()
        self._meters = meters
        self._counted: list[tuple[Throttle, Who, str, str]] = []
        for name, what, who in _WHO:
            most: int | None = getattr(limits, name)
            if most is not None:
                throttle = Throttle(rate=most / _MINUTE, burst=most, clock=clock)
                self._counted.append((throttle, who, f"{most} {what} a minute", name))

    async def take(self, principal: Principal, name: str) -> None:
        """Count a call of a tool, or of the proxy of a connector, and wait for its turn among all tenants'.

        Raises `RateLimited` with the seconds until it may be made.
        """
        for throttle, who, most, limit in self._counted:
            wait = throttle.wait(who(principal, name))
            if wait:
                self._meters.limited(limit)
                raise RateLimited(f"too many calls: there may be {most}", retry_after=wait)
        await self._admission.enter(principal.tenant, caller_of(principal))

    async def go_on(self, principal: Principal) -> None:
        """Wait for the turn of a call that a product has answered."""
        await self._admission.enter(principal.tenant, caller_of(principal), goes_on=True)
