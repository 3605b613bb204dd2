"""When recipes with `every` are due next, one row for each tenant that has one on.

`wanted` and `due` are asked by workers, for all tenants at once; every other query takes a tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from linkspan.store import tenants
from linkspan.store.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Due:
    """When a recipe is due next for a tenant. Times are epoch seconds."""

    tenant: str
    recipe: str
    every: str
    zone: str
    since: float
    """What a duration counts from."""
    due: float
    last: float | None = None
    """When it was due last, and what became of that, for people."""
    outcome: str | None = None


async def wanted(db: Database, recipes: Sequence[str]) -> list[tuple[str, str]]:
    """Answer which tenants have which of these recipes on."""
    if not recipes:
        return []
    names = {f"recipe{number}": name for number, name in enumerate(recipes)}
    rows = await db.query(
        "SELECT tenant, recipe FROM recipe_settings WHERE enabled = 1"  # noqa: S608
        f" AND recipe IN ({', '.join(f':{name}' for name in names)})",
        names,
    )
    return [(row["tenant"], row["recipe"]) for row in rows]


async def every_one(db: Database) -> list[Due]:
    """Answer all there are, of all tenants."""
    return [Due(**row) for row in await db.query("SELECT * FROM schedules ORDER BY due, tenant, recipe")]


async def find(db: Database, tenant: str, recipe: str) -> Due | None:
    """Answer when a recipe is due next for a tenant."""
    rows = await db.query(
        "SELECT * FROM schedules WHERE tenant = :tenant AND recipe = :recipe",
        {"tenant": tenant, "recipe": recipe},
    )
    return Due(**rows[0]) if rows else None


async def put(db: Database, due: Due, *, before: Due | None) -> bool:
    """Write down when a recipe is due; False when somebody else has written something since `before`."""

    def work(tx: Transaction) -> int:
        if not tenants.known(tx, due.tenant):
            return 0
        if before is None:
            return tx.execute(
                "INSERT INTO schedules (tenant, recipe, every, zone, since, due, last, outcome) VALUES"
                " (:tenant, :recipe, :every, :zone, :since, :due, :last, :outcome)"
                " ON CONFLICT (tenant, recipe) DO NOTHING",
                asdict(due),
            )
        return tx.execute(
            "UPDATE schedules SET every = :every, zone = :zone, since = :since, due = :due, last = :last,"
            " outcome = :outcome WHERE tenant = :tenant AND recipe = :recipe AND due = :then",
            {**asdict(due), "then": before.due},
        )

    return await db.transaction(work, quiet=True) == 1


async def forget(db: Database, tenant: str, recipe: str) -> bool:
    """Forget a recipe that is off: turned on again, it begins to count anew."""
    gone = await db.execute(
        "DELETE FROM schedules WHERE tenant = :tenant AND recipe = :recipe",
        {"tenant": tenant, "recipe": recipe},
        quiet=True,
    )
    return gone == 1
