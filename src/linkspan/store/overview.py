"""What an operator asks of all tenants at once: the only queries for somebody that may name no tenant.

Nothing but the management API and the command line asks them; a tenant's token never leads here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from linkspan.store.accounts import Account, State, account_of
from linkspan.store.database import Database


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


async def accounts_called(db: Database, account: str, *, tenant: str | None = None) -> list[Account]:
    """Answer the accounts of that id: one, as a rule, for ids are drawn from very many."""
    where = "id = :id" if tenant is None else "id = :id AND tenant = :tenant"
    rows = await db.query(
        f"SELECT * FROM accounts WHERE {where} ORDER BY tenant LIMIT 2",  # noqa: S608
        {"id": account} if tenant is None else {"id": account, "tenant": tenant},
    )
    return [account_of(row) for row in rows]
