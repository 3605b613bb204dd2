"""How much waits, and since when, over all tenants: what an operator's metrics show at each scrape.

Each query reads an index over what is still to be done, not what there ever was.
"""

from __future__ import annotations

from dataclasses import dataclass

from linkspan.store.database import Database


@dataclass(frozen=True, slots=True)
class Gauges:
    """At one moment. Times are epoch seconds, None where nothing waits."""

    runs: dict[str, int]
    """State → runs that have not ended."""
    queued_since: float | None
    accounts: dict[tuple[str, str], int]
    """(connector, state) → accounts."""
    outbox: dict[str, int]
    """State → deliveries that are not delivered."""
    delivery_due: float | None
    arrivals: int


async def gauges(db: Database) -> Gauges:
    """Read them."""
    runs = await db.query("SELECT state, count(*) AS n FROM runs WHERE finished IS NULL GROUP BY state")
    (queued,) = await db.query(
        "SELECT min(created) AS since FROM runs WHERE finished IS NULL AND state = 'queued'"
    )
    accounts = await db.query(
        "SELECT connector, state, count(*) AS n FROM accounts GROUP BY connector, state"
    )
    outbox = await db.query(
        "SELECT state, count(*) AS n FROM outbox WHERE state IN ('pending', 'dead') GROUP BY state"
    )
    (due,) = await db.query("SELECT min(due) AS due FROM outbox WHERE state = 'pending'")
    (arrivals,) = await db.query("SELECT count(*) AS n FROM arrivals WHERE state = 'pending'")
    return Gauges(
        runs={row["state"]: row["n"] for row in runs},
        queued_since=queued["since"],
        accounts={(row["connector"], row["state"]): row["n"] for row in accounts},
        outbox={row["state"]: row["n"] for row in outbox},
        delivery_due=due["due"],
        arrivals=arrivals["n"],
    )
