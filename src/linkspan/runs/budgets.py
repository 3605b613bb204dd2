"""What of a tenant's budget its runs have used, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

from linkspan.spec.recipe import RunsPolicy
from linkspan.store import runs as rows
from linkspan.store import usage as usage_rows
from linkspan.store.database import Database


@dataclass(frozen=True, slots=True)
class Share:
    """One thing that a budget bounds."""

    used: float
    limit: float | None
    """None: without bounds."""

    @property
    def left(self) -> float | None:
        """Answer what may still be used; what was begun in time may have used more than there was."""
        return None if self.limit is None else max(0.0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a tenant's runs used in a time that ends now."""

    since: float
    tokens: Share
    money: Share
    """In the operator's currency."""
    seconds: Share
    """That engines worked; waiting for a person does not count."""


def used_up(tenant: str, policy: RunsPolicy) -> str:
    """Answer what somebody is told whose tenant has nothing left."""
    return f"tenant {tenant} has used up its budget for runs of the last {policy.every / 86_400:g} days"


async def budget_of(db: Database, policy: RunsPolicy, tenant: str, *, now: float) -> Budget:
    """Answer where a tenant's runs stand, counted as it is when one is started."""
    since = now - policy.every
    used = await usage_rows.since(db, tenant, since)
    worked = await rows.worked_seconds(db, tenant, since)
    return Budget(
        since,
        Share(used.total_tokens, policy.tenant_tokens),
        Share(used.cost or 0.0, policy.tenant_money),
        Share(worked, policy.tenant_seconds),
    )
