"""What stands in the way of a run that is to start: another for the same thing, and too many that wait."""

from __future__ import annotations

from linkspan.store.database import Database
from linkspan.store.runs import WAITING, Run, run_of


async def active_on(db: Database, tenant: str, recipe: str, entity_id: str | None) -> Run | None:
    """Answer the run of a recipe that goes on for a thing (or for nothing, where that is None)."""
    rows = await db.query(
        "SELECT * FROM runs WHERE tenant = :tenant AND recipe = :recipe"
        " AND coalesce(entity_id, '') = :entity_id AND finished IS NULL ORDER BY created LIMIT 1",
        {"tenant": tenant, "recipe": recipe, "entity_id": entity_id or ""},
    )
    return run_of(rows[0]) if rows else None


async def started_by_events(db: Database, tenant: str, recipe: str, entity_id: str, since: float) -> int:
    """Answer how many runs of a recipe events have started for a thing since a time."""
    rows = await db.query(
        "SELECT count(*) AS n FROM runs WHERE tenant = :tenant AND recipe = :recipe"
        " AND entity_id = :entity_id AND created > :since AND source LIKE 'webhook:%'",
        {"tenant": tenant, "recipe": recipe, "entity_id": entity_id, "since": since},
    )
    return int(rows[0]["n"])


async def waiting(db: Database, tenant: str) -> int:
    """Answer how many runs of a tenant wait for their turn."""
    (row,) = await db.query(WAITING, {"tenant": tenant})
    return int(row["number"])
