"""Whose turn it is: what workers ask of the runs of all tenants at once, often, among however many wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from linkspan.store.database import Database, Row
from linkspan.store.runs import FINISHED, STATES, Run, run_of


async def going_on(db: Database) -> list[tuple[str, str]]:
    """Answer tenant and id of every run that has not ended, oldest first: all of them, so not often."""
    return _keys(await db.query("SELECT tenant, id FROM runs WHERE finished IS NULL ORDER BY created, id"))


async def asked_since(db: Database, time: float) -> list[tuple[str, str]]:
    """Answer tenant and id of runs that were asked for from then on and nobody has taken, oldest first."""
    rows = await db.query(
        "SELECT tenant, id FROM runs WHERE finished IS NULL AND state = 'queued' AND created >= :time"
        " AND epoch = 0 ORDER BY created, id",
        {"time": time},
    )
    return _keys(rows)


async def left_alone(db: Database, living: Collection[str], *, also_queued: bool) -> list[Run]:
    """Answer runs that were taken and are at none of these workers, oldest first; not those that wait.

    `also_queued` are those that were taken just before their worker died: few, among many that wait.
    """
    names = {f"worker{number}": worker for number, worker in enumerate(living)}
    there = ", ".join(f":{name}" for name in names) or "''"
    states = [state for state in STATES if state not in FINISHED and (also_queued or state != "queued")]
    rows = await db.query(
        f"SELECT * FROM runs WHERE finished IS NULL AND state IN ({', '.join(map(repr, states))})"  # noqa: S608
        " AND epoch > 0 AND NOT (state = 'waiting_approval' AND worker IS NULL)"
        f" AND (worker IS NULL OR worker NOT IN ({there}))"
        " ORDER BY created, id",
        names,
    )
    return [run_of(row) for row in rows]


async def with_ids(db: Database, runs: Collection[str]) -> list[Run]:
    """Answer those of these runs that have not ended, whosever they are."""
    if not runs:
        return []
    names = {f"run{number}": run for number, run in enumerate(runs)}
    rows = await db.query(
        f"SELECT * FROM runs WHERE finished IS NULL AND id IN ({', '.join(f':{name}' for name in names)})",  # noqa: S608
        names,
    )
    return [run_of(row) for row in rows]


def _keys(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return [(row["tenant"], row["id"]) for row in rows]
