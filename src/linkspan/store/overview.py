"""What an operator asks of all tenants at once: the only queries for somebody that may name no tenant.

Nothing but the management API, the console and the command line asks them; a tenant's token never leads here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from linkspan.store.accounts import Account, State, account_of
from linkspan.store.database import Database
from linkspan.store.runs import Run, run_of


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts are asked for: every field that is given must fit. Times are epoch seconds."""

    tenant: str | None = None
    connector: str | None = None
    state: State | None = None
    subject: str | None = None
    sandbox: bool | None = None
    created_after: float | None = None
    created_before: float | None = None


Place = tuple[float, str, str]
"""Creation, tenant and id of an account: where a list goes on."""
_BOUNDS = {"created_after": "created > :created_after", "created_before": "created < :created_before"}


async def accounts(
    db: Database, wanted: AccountFilter, *, after: Place | None = None, limit: int = 100
) -> list[Account]:
    """Answer accounts that fit, oldest first."""
    asked: dict[str, Any] = {name: value for name, value in asdict(wanted).items() if value is not None}
    clauses = ["1 = 1", *(_BOUNDS.get(name, f"{name} = :{name}") for name in asked)]
    if wanted.sandbox is not None:
        asked["sandbox"] = int(wanted.sandbox)
    if after is not None:
        clauses.append("(created, tenant, id) > (:after_created, :after_tenant, :after_id)")
        asked["after_created"], asked["after_tenant"], asked["after_id"] = after
    rows = await db.query(
        f"SELECT * FROM accounts WHERE {' AND '.join(clauses)} ORDER BY created, tenant, id LIMIT :limit",  # noqa: S608
        {**asked, "limit": limit},
    )
    return [account_of(row) for row in rows]


async def runs(
    db: Database,
    *,
    tenant: str | None = None,
    states: Sequence[str] = (),
    before: tuple[float, str] | None = None,
    private: bool = False,
    limit: int = 50,
) -> list[Run]:
    """Answer runs, the one that changed last first; with `before`, those that changed earlier.

    Those that only some people may read are among them with `private`.
    """
    clauses, asked = _of_tenant(tenant)
    if not private:
        clauses.append("private_to IS NULL")
    if states:
        clauses.append(f"state IN ({', '.join(f':state{number}' for number in range(len(states)))})")
        asked |= {f"state{number}": state for number, state in enumerate(states)}
    if before is not None:
        clauses.append("(updated, id) < (:place, :place_id)")
        asked["place"], asked["place_id"] = before
    found = await db.query(
        f"SELECT * FROM runs WHERE {' AND '.join(clauses)} ORDER BY updated DESC, id DESC LIMIT :limit",  # noqa: S608
        {**asked, "limit": limit},
    )
    return [run_of(row) for row in found]


async def run_counts(db: Database, *, tenant: str | None = None) -> dict[str, int]:
    """Answer how many runs there are in each state."""
    return await _counted(db, "runs", tenant)


async def account_counts(db: Database, *, tenant: str | None = None) -> dict[str, int]:
    """Answer how many accounts there are in each state."""
    return await _counted(db, "accounts", tenant)


async def accounts_by_tenant(db: Database) -> dict[str, dict[str, int]]:
    """Answer how many accounts each tenant has in each state."""
    told: dict[str, dict[str, int]] = {}
    for row in await db.query("SELECT tenant, state, count(*) AS n FROM accounts GROUP BY tenant, state"):
        told.setdefault(row["tenant"], {})[row["state"]] = row["n"]
    return told


async def _counted(db: Database, table: str, tenant: str | None) -> dict[str, int]:
    clauses, asked = _of_tenant(tenant)
    found = await db.query(
        f"SELECT state, count(*) AS n FROM {table} WHERE {' AND '.join(clauses)}"  # noqa: S608
        " GROUP BY state ORDER BY state",
        asked,
    )
    return {row["state"]: row["n"] for row in found}


def _of_tenant(tenant: str | None) -> tuple[list[str], dict[str, Any]]:
    return (["1 = 1"], {}) if tenant is None else (["tenant = :tenant"], {"tenant": tenant})


async def accounts_called(db: Database, account: str, *, tenant: str | None = None) -> list[Account]:
    """Answer the accounts of that id: one, as a rule, for ids are drawn from very many."""
    where = "id = :id" if tenant is None else "id = :id AND tenant = :tenant"
    rows = await db.query(
        f"SELECT * FROM accounts WHERE {where} ORDER BY tenant LIMIT 2",  # noqa: S608
        {"id": account} if tenant is None else {"id": account, "tenant": tenant},
    )
    return [account_of(row) for row in rows]
