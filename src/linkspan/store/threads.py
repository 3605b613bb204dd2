"""Conversations with Codex as the audit log knows them: also those that were no run of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from linkspan.store.database import Database
from linkspan.store.runs import open_to


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
    reader: str | None = None,
    before: tuple[float, str] | None = None,
    limit: int = 50,
) -> list[CalledThread]:
    """Answer the conversations that called tools for a tenant, the last one first.

    With an entity, or one thing, those that called something on it. `reader` is a person, who is told of own
    calls and of conversations of runs that they may look at (empty: a service, which is told of everybody's
    but private runs'); None: somebody who is told of all. `before` is the last call and the id of the last
    conversation that was seen.
    """
    given = {"entity": entity, "entity_id": entity_id}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    clauses = ["tenant = :tenant", "thread_id IS NOT NULL", *(f"{name} = :{name}" for name in asked)]
    if reader is not None:
        own = "principal_kind <> 'run'" + (" AND principal_subject = :reader" if reader else "")
        theirs = f"SELECT thread_id FROM runs WHERE runs.tenant = :tenant AND {open_to(reader)[0]}"  # noqa: S608
        clauses.append(f"(({own}) OR thread_id IN ({theirs}))")
        asked["reader"] = reader
    later = ""
    if before is not None:
        later = " HAVING max(time) < :before OR (max(time) = :before AND thread_id > :before_id)"
        asked |= {"before": before[0], "before_id": before[1]}
    rows = await db.query(
        "SELECT thread_id AS id, count(*) AS calls, min(time) AS first, max(time) AS last,"  # noqa: S608
        f" max(principal_subject) AS subject FROM audit WHERE {' AND '.join(clauses)}"
        f" GROUP BY thread_id{later} ORDER BY max(time) DESC, thread_id LIMIT :limit",
        {**asked, "tenant": tenant, "limit": limit},
    )
    return [CalledThread(**row) for row in rows]
