"""Tenants, and what leaves with them."""

from __future__ import annotations

from linkspan.store.database import Database, Transaction

OWNED = (
    "usage",
    "recipe_settings",
    "artifacts",
    "run_terms",
    "run_readers",
    "approvals",
    "run_words",
    "run_events",
    "runs",
    "arrivals",
    "watches",
    "schedules",
    "hook_secrets",
    "outbox",
    "webhooks",
    "log_bodies",
    "log_keepings",
    "audit",
    "calls",
    "api_calls",
    "refresh_tokens",
    "grants",
    "oauth_clients",
    "browser_sessions",
    "invitations",
    "people_domains",
    "people",
    "view_tokens",
    "session_turns",
    "session_threads",
    "tokens",
    "link_consents",
    "link_sessions",
    "accounts",
    "data_keys",
)
"""Every table whose rows belong to a tenant. One that is missing here makes removal fail, not forget."""


async def add(db: Database, tenant: str, now: float) -> bool:
    """Add a tenant; False when there is one of that name."""
    added = await db.execute(
        "INSERT INTO tenants (tenant, created) VALUES (:tenant, :now) ON CONFLICT (tenant) DO NOTHING",
        {"tenant": tenant, "now": now},
    )
    return added == 1


async def exists(db: Database, tenant: str) -> bool:
    """Tell whether there is a tenant of that name."""
    return bool(await db.query("SELECT 1 FROM tenants WHERE tenant = :tenant", {"tenant": tenant}))


async def everyone(db: Database) -> list[tuple[str, float]]:
    """Answer the name and the time of creation of every tenant, by name."""
    rows = await db.query("SELECT tenant, created FROM tenants ORDER BY tenant")
    return [(row["tenant"], row["created"]) for row in rows]


async def remove(db: Database, tenant: str) -> dict[str, int] | None:
    """Delete a tenant with every row it has, in one transaction.

    Answers how many rows went, by table; None when there is no such tenant.
    """

    def work(tx: Transaction) -> dict[str, int] | None:
        gone = {
            table: tx.execute(f"DELETE FROM {table} WHERE tenant = :tenant", {"tenant": tenant})  # noqa: S608
            for table in OWNED
        }
        gone["tenants"] = tx.execute("DELETE FROM tenants WHERE tenant = :tenant", {"tenant": tenant})
        return gone if gone["tenants"] else None

    return await db.transaction(work)


def known(tx: Transaction, tenant: str) -> bool:
    """Tell inside a transaction whether there is a tenant of that name."""
    return bool(tx.query("SELECT 1 FROM tenants WHERE tenant = :tenant", {"tenant": tenant}))
