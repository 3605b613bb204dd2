"""Which recipes a tenant has turned on, with which settings, and who did it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True)
class RecipeSettings:
    """What a tenant has said about one recipe. One of which it has said nothing is off."""

    tenant: str
    recipe: str
    enabled: bool
    settings: Mapping[str, Any] = field(repr=False)
    changed_by_kind: str
    changed_by: str
    changed: float


async def keep(db: Database, settings: RecipeSettings) -> bool:
    """Store what a tenant says now; False when there is no such tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, settings.tenant):
            return False
        tx.execute(
            "INSERT INTO recipe_settings (tenant, recipe, enabled, settings, changed_by_kind, changed_by,"
            " changed)"
            " VALUES (:tenant, :recipe, :enabled, :settings, :changed_by_kind, :changed_by, :changed)"
            " ON CONFLICT (tenant, recipe) DO UPDATE SET enabled = excluded.enabled,"
            " settings = excluded.settings, changed_by_kind = excluded.changed_by_kind,"
            " changed_by = excluded.changed_by, changed = excluded.changed",
            {
                "tenant": settings.tenant,
                "recipe": settings.recipe,
                "enabled": int(settings.enabled),
                "settings": json.dumps(dict(settings.settings)),
                "changed_by_kind": settings.changed_by_kind,
                "changed_by": settings.changed_by,
                "changed": settings.changed,
            },
        )
        return True

    return await db.transaction(work)


async def find(db: Database, tenant: str, recipe: str) -> RecipeSettings | None:
    """Answer what a tenant has said about a recipe."""
    rows = await db.query(
        "SELECT * FROM recipe_settings WHERE tenant = :tenant AND recipe = :recipe",
        {"tenant": tenant, "recipe": recipe},
    )
    return _settings(rows[0]) if rows else None


async def of_tenant(db: Database, tenant: str) -> dict[str, RecipeSettings]:
    """Answer what a tenant has said, by recipe."""
    rows = await db.query(
        "SELECT * FROM recipe_settings WHERE tenant = :tenant ORDER BY recipe", {"tenant": tenant}
    )
    return {row["recipe"]: _settings(row) for row in rows}


def _settings(row: Row) -> RecipeSettings:
    return RecipeSettings(**{**row, "enabled": bool(row["enabled"]), "settings": json.loads(row["settings"])})
