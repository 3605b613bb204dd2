"""Conversations with Codex as the audit log knows them: also those that were no run of ours."""

from __future__ import annotations

from dataclasses import dataclass

from linkspan.store.database import Database


@dataclass(frozen=True, slots=True)
class CalledThread:
    """A conversation that has called tools. What it is called is Codex's word, not proved. Epoch seconds."""

    id: str
    calls: int
    first: float
    last: float
    subject: str
    """Whose token it called with; of several, one of them."""


async def listed(
    db: Database,
    tenant: str,
    *,
    entity: str | None = None,
    entity_id: str | None = None,
    before: float | None = None,
    limit: int = 50,
) -> list[CalledThread]:
    """Answer the conversations that called tools for a tenant, the last one first.

    With an entity, or one thing, those that called something on it.
    """
    given = {"entity": entity, "entity_id": entity_id}
    asked = {name: value for name, value in given.items() if value is not None}
    clauses = ["tenant = :tenant", "thread_id IS NOT NULL", *(f"{name} = :{name}" for name in asked)]
    later = "" if before is None else " HAVING max(time) < :before"
    rows = await db.query(
        "SELECT thread_id AS id, count(*) AS calls, min(time) AS first, max(time) AS last,"  # noqa: S608
        f" max(principal_subject) AS subject FROM audit WHERE {' AND '.join(clauses)}"
        f" GROUP BY thread_id{later} ORDER BY max(time) DESC, thread_id LIMIT :limit",
        {**asked, **({} if before is None else {"before": before}), "tenant": tenant, "limit": limit},
    )
    return [CalledThread(**row) for row in rows]
