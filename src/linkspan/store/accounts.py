"""Linked accounts: one row each, its secrets sealed by whoever calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from linkspan.store import tenants
from linkspan.store.database import Database, Parameters, Row, Transaction

State = Literal["connecting", "active", "needs_reauth", "validation_error", "post_install_error"]


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's link to one connector. Times are epoch seconds."""

    tenant: str
    id: str
    connector: str
    subject: str | None
    """Whose it is; None for one that the tenant shares."""
    method: str
    """The type of the way it was linked: bearer, header, basic, query, none."""
    state: State
    settings: Mapping[str, str]
    origins: tuple[str, ...]
    """`scheme://host:port` of everything its secrets may be sent to."""
    identity_id: str | None
    identity_label: str | None
    sealed: bytes = field(repr=False)
    created: float
    updated: float
    verified: float | None
    last_error: str | None


async def insert(db: Database, account: Account) -> bool:
    """Store a new account; False when there is no such tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, account.tenant):
            return False
        tx.execute(
            "INSERT INTO accounts (tenant, id, connector, subject, method, state, settings, origins,"
            " identity_id, identity_label, sealed, created, updated, verified, last_error)"
            " VALUES (:tenant, :id, :connector, :subject, :method, :state, :settings, :origins,"
            " :identity_id, :identity_label, :sealed, :created, :updated, :verified, :last_error)",
            _parameters(account),
        )
        return True

    return await db.transaction(work)


async def replace(db: Database, account: Account) -> bool:
    """Store an account over the one that has its id, which keeps its connector, subject and creation."""
    changed = await db.execute(
        "UPDATE accounts SET method = :method, state = :state, settings = :settings, origins = :origins,"
        " identity_id = :identity_id, identity_label = :identity_label, sealed = :sealed, updated = :updated,"
        " verified = :verified, last_error = :last_error WHERE tenant = :tenant AND id = :id",
        _parameters(account),
    )
    return changed == 1


async def find(db: Database, tenant: str, account: str) -> Account | None:
    """Answer one account of the tenant."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": account}
    )
    return _account(rows[0]) if rows else None


async def of_connector(db: Database, tenant: str, connector: str) -> list[Account]:
    """Answer the tenant's accounts of one connector, oldest first."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant AND connector = :connector ORDER BY created, id",
        {"tenant": tenant, "connector": connector},
    )
    return [_account(row) for row in rows]


async def of_tenant(db: Database, tenant: str) -> list[Account]:
    """Answer all accounts of the tenant, by connector, oldest first."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant ORDER BY connector, created, id", {"tenant": tenant}
    )
    return [_account(row) for row in rows]


async def set_state(
    db: Database, tenant: str, account: str, state: State, error: str | None, *, sealed: bytes, now: float
) -> bool:
    """Change the state of an account, unless its secrets are no longer those that `sealed` holds."""
    changed = await db.execute(
        "UPDATE accounts SET state = :state, last_error = :error, updated = :now"
        " WHERE tenant = :tenant AND id = :id AND sealed = :sealed",
        {"tenant": tenant, "id": account, "state": state, "error": error, "sealed": sealed, "now": now},
    )
    return changed == 1


async def verified(db: Database, account: Account, *, quiet: bool) -> bool:
    """Record a verification, unless the account's secrets are no longer those that were verified."""
    changed = await db.execute(
        "UPDATE accounts SET state = :state, identity_id = :identity_id, identity_label = :identity_label,"
        " updated = :updated, verified = :verified, last_error = :last_error"
        " WHERE tenant = :tenant AND id = :id AND sealed = :sealed",
        _parameters(account),
        quiet=quiet,
    )
    return changed == 1


async def set_error(db: Database, tenant: str, account: str, error: str) -> None:
    """Note what went wrong last, and nothing else: what is cached of the account stays good."""
    await db.execute(
        "UPDATE accounts SET last_error = :error WHERE tenant = :tenant AND id = :id"
        " AND (last_error IS NULL OR last_error <> :error)",
        {"tenant": tenant, "id": account, "error": error},
        quiet=True,
    )


async def delete(db: Database, tenant: str, account: str) -> bool:
    """Delete an account with its secrets; False when there is none."""
    gone = await db.execute(
        "DELETE FROM accounts WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": account}
    )
    return gone == 1


def _parameters(account: Account) -> Parameters:
    return {
        "tenant": account.tenant,
        "id": account.id,
        "connector": account.connector,
        "subject": account.subject,
        "method": account.method,
        "state": account.state,
        "settings": json.dumps(dict(account.settings)),
        "origins": json.dumps(account.origins),
        "identity_id": account.identity_id,
        "identity_label": account.identity_label,
        "sealed": account.sealed,
        "created": account.created,
        "updated": account.updated,
        "verified": account.verified,
        "last_error": account.last_error,
    }


def _account(row: Row) -> Account:
    return Account(
        **{
            **row,
            "settings": json.loads(row["settings"]),
            "origins": tuple(json.loads(row["origins"])),
            "sealed": bytes(row["sealed"]),
        }
    )
