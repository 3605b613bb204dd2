"""What runs have used up, by tenant, run and model; it stays when a run's history is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linkspan.store import runs
from linkspan.store.database import Database, Transaction
from linkspan.store.runs import Run

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "total_tokens")


@dataclass(frozen=True, slots=True)
class Usage:
    """A sum."""

    runs: int
    calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float | None
    """In the operator's currency; None where no price is known."""
    seconds: float = 0.0
    """That engines worked for those of the runs that are kept; where it is of one model."""
    recipe: str | None = None
    model: str | None = None


async def spend(
    db: Database,
    tenant: str,
    run: str,
    *,
    model: str,
    tokens: Mapping[str, int],
    cost: float | None,
    now: float,
) -> Run | None:
    """Add one call of the model to its run's sums, and answer the run; None when it is not there."""
    counted = {name: int(tokens.get(name, 0)) for name in TOKENS}

    def work(tx: Transaction) -> Run | None:
        found = runs.count_usage(tx, tenant, run, counted, cost)
        if found is None:
            return None
        tx.execute(
            "INSERT INTO usage (tenant, run, recipe, model, calls, input_tokens, cached_input_tokens,"
            " output_tokens, total_tokens, cost, created, updated) VALUES (:tenant, :run, :recipe, :model, 1,"
            " :input_tokens, :cached_input_tokens, :output_tokens, :total_tokens, :cost, :now, :now)"
            " ON CONFLICT (tenant, run, model) DO UPDATE SET calls = usage.calls + 1,"
            " input_tokens = usage.input_tokens + excluded.input_tokens,"
            " cached_input_tokens = usage.cached_input_tokens + excluded.cached_input_tokens,"
            " output_tokens = usage.output_tokens + excluded.output_tokens,"
            " total_tokens = usage.total_tokens + excluded.total_tokens,"
            " cost = CASE WHEN excluded.cost IS NULL THEN usage.cost"
            " ELSE coalesce(usage.cost, 0) + excluded.cost END, updated = excluded.updated",
            {**counted, "tenant": tenant, "run": run, "recipe": found.recipe, "model": model, "cost": cost}
            | {"now": now},
        )
        return found

    return await db.transaction(work, quiet=True)


async def since(db: Database, tenant: str, start: float, end: float | None = None) -> Usage:
    """Answer what a tenant's runs used that began using it in a time."""
    (row,) = await db.query(f"{_SUMS}{_within(end)}", _values(tenant, start, end))
    return Usage(**row)


async def by_recipe_and_model(
    db: Database, tenant: str, start: float, end: float | None = None
) -> list[Usage]:
    """Answer the same, by recipe and model."""
    rows = await db.query(
        f"SELECT recipe, model, {_SECONDS}, {_SUMS.removeprefix('SELECT ')}{_within(end)}"
        " GROUP BY recipe, model ORDER BY recipe, model",
        _values(tenant, start, end),
    )
    return [Usage(**row) for row in rows]


_SUMS = (
    "SELECT count(DISTINCT run) AS runs, coalesce(sum(calls), 0) AS calls,"
    " coalesce(sum(input_tokens), 0) AS input_tokens,"
    " coalesce(sum(cached_input_tokens), 0) AS cached_input_tokens,"
    " coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(total_tokens), 0) AS total_tokens,"
    " sum(cost) AS cost FROM usage WHERE tenant = :tenant AND created >= :start"
)
_SECONDS = (
    "coalesce(sum((SELECT r.spent_seconds FROM runs r"
    " WHERE r.tenant = usage.tenant AND r.id = usage.run)), 0) AS seconds"
)


def _within(end: float | None) -> str:
    return "" if end is None else " AND created < :end"


def _values(tenant: str, start: float, end: float | None) -> dict[str, object]:
    return {"tenant": tenant, "start": start, **({} if end is None else {"end": end})}
