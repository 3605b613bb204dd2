"""Linked accounts: one row each, its secrets sealed by whoever calls.

`version` counts every change of an account's secrets. What was found out about secrets (a refusal, a
verification, their successors) is written only while the version is the one that it was found with, so that
nothing is written over secrets that came meanwhile. Sealing the same secrets anew changes no version.

A lease is what makes one process renew an access token while the others wait. It holds back nobody who links
the account again.

Whatever changes the state of an account, or links, adds or deletes one, writes in the same transaction what
webhooks are told of it (store/outbox.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from linkspan.store import outbox, tenants
from linkspan.store.database import Database, Parameters, Row, Transaction

State = Literal["connecting", "active", "needs_reauth", "validation_error", "post_install_error"]

_COLUMNS = (
    "tenant", "id", "connector", "subject", "method", "state", "settings", "origins", "identity_id",
    "identity_label", "sealed", "created", "updated", "verified", "last_error", "version", "sandbox",
    "scopes", "expires", "renewed", "lease_owner", "lease_until", "retry_after", "tended", "last_forbidden",
)  # fmt: skip
_KEPT = ("tenant", "id", "connector", "subject", "created", "version", "tended")
"""What linking an account again leaves as it is; its version is counted up."""


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's link to one connector. Times are epoch seconds."""

    tenant: str
    id: str
    connector: str
    subject: str | None
    """Whose it is; None for one that the tenant shares."""
    method: str
    """The type of the way it was linked: bearer, oauth2, … (`AuthMethod.type`)."""
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
    version: int = 0
    """How often its secrets were changed."""
    sandbox: bool = False
    """It only reads."""
    scopes: tuple[str, ...] | None = None
    """What the product granted; None where it has no scopes."""
    expires: float | None = None
    """When its access token ends; None: nobody knows, or never."""
    renewed: float | None = None
    """When its access token came."""
    lease_owner: str | None = None
    lease_until: float | None = None
    """Until when somebody may be renewing its access token."""
    retry_after: float | None = None
    """Before this time renewing is not tried again: it failed."""
    tended: float | None = None
    """When it was last looked at without being used."""
    last_forbidden: Mapping[str, Any] | None = None
    """The last 403: `{resource, method, missing_scopes, occurred_at}`."""


async def insert(db: Database, account: Account) -> bool:
    """Store a new account; False when there is no such tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, account.tenant):
            return False
        tx.execute(
            f"INSERT INTO accounts ({', '.join(_COLUMNS)})"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
            _parameters(account),
        )
        outbox.record(tx, None, account, now=account.created)
        return True

    return await db.transaction(work)


async def replace(db: Database, account: Account, *, instead_of: str | None = None) -> Account | None:
    """Store an account over the one that has its id, which keeps its connector, subject and creation.

    `instead_of` is an account that goes in the same moment: it turned out to be this one. Answers the account
    as it is stored; None when there is none of that id.
    """
    changes = ", ".join(f"{name} = :{name}" for name in _COLUMNS if name not in _KEPT)
    parameters = _parameters(account)

    def work(tx: Transaction) -> Account | None:
        before = _of(tx, account.tenant, account.id)
        rows = tx.query(
            f"UPDATE accounts SET {changes}, version = version + 1"  # noqa: S608
            " WHERE tenant = :tenant AND id = :id RETURNING *",
            {name: value for name, value in parameters.items() if name not in _KEPT[2:]},
        )
        if before is None or not rows:
            return None
        after = account_of(rows[0])
        outbox.record(tx, before, after, now=account.updated, relinked=True)
        if instead_of is not None:
            _delete(tx, account.tenant, instead_of, now=account.updated)
        return after

    return await db.transaction(work)


async def find(db: Database, tenant: str, account: str) -> Account | None:
    """Answer one account of the tenant."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": account}
    )
    return account_of(rows[0]) if rows else None


async def told_by(db: Database, connector: str) -> list[Account]:
    """Answer the accounts at a connector that tenants share, of all tenants: for what a product delivers.

    Also those that are to be linked again: what happens meanwhile is theirs, and nobody tells it twice. One
    whose credential was never proved is told nothing.
    """
    rows = await db.query(
        "SELECT * FROM accounts WHERE connector = :connector AND subject IS NULL"
        " AND state IN ('active', 'needs_reauth') ORDER BY tenant, id",
        {"connector": connector},
    )
    return [account_of(row) for row in rows]


async def of_connector(db: Database, tenant: str, connector: str) -> list[Account]:
    """Answer the tenant's accounts of one connector, oldest first."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant AND connector = :connector ORDER BY created, id",
        {"tenant": tenant, "connector": connector},
    )
    return [account_of(row) for row in rows]


async def own_identities(db: Database, account: Account) -> frozenset[str]:
    """Answer who the tenant's shared accounts are at the product where this account is, itself among them.

    Two sites of a connector number their people each for itself, so accounts at other origins say nothing;
    a person's own account says who the person is, who also writes by hand. So does the installation of an app
    in a person's own account: whose it is, and not who writes, which is the app's bot.
    """
    there = await of_connector(db, account.tenant, account.connector)
    shared = [each for each in there if each.subject is None and set(each.origins) & set(account.origins)]
    writing = [each for each in (account, *shared) if each.method != "github_app"]
    return frozenset(each.identity_id for each in writing if each.identity_id is not None)


async def of_tenant(db: Database, tenant: str) -> list[Account]:
    """Answer all accounts of the tenant, by connector, oldest first."""
    rows = await db.query(
        "SELECT * FROM accounts WHERE tenant = :tenant ORDER BY connector, created, id", {"tenant": tenant}
    )
    return [account_of(row) for row in rows]


async def set_state(
    db: Database, tenant: str, account: str, state: State, error: str | None, *, version: int, now: float
) -> bool:
    """Change the state of an account, unless its secrets are no longer of that version."""
    return await _change(
        db,
        "UPDATE accounts SET state = :state, last_error = :error, updated = :now, lease_owner = NULL,"
        " lease_until = NULL WHERE tenant = :tenant AND id = :id AND version = :version",
        {"tenant": tenant, "id": account, "state": state, "error": error, "version": version, "now": now},
        now=now,
    )


async def verified(db: Database, account: Account, *, quiet: bool) -> bool:
    """Record a verification, unless the account's secrets are no longer those that were verified."""
    return await _change(
        db,
        "UPDATE accounts SET state = :state, identity_id = :identity_id, identity_label = :identity_label,"
        " updated = :updated, verified = :verified, last_error = :last_error"
        " WHERE tenant = :tenant AND id = :id AND version = :version",
        {
            "tenant": account.tenant,
            "id": account.id,
            "version": account.version,
            "state": account.state,
            "identity_id": account.identity_id,
            "identity_label": account.identity_label,
            "updated": account.updated,
            "verified": account.verified,
            "last_error": account.last_error,
        },
        now=account.updated,
        quiet=quiet,
    )


async def set_error(db: Database, tenant: str, account: str, error: str) -> None:
    """Note what went wrong last, and nothing else: what is cached of the account stays good."""
    await db.execute(
        "UPDATE accounts SET last_error = :error WHERE tenant = :tenant AND id = :id"
        " AND (last_error IS NULL OR last_error <> :error)",
        {"tenant": tenant, "id": account, "error": error},
        quiet=True,
    )


async def set_forbidden(
    db: Database, tenant: str, account: str, error: str, forbidden: Mapping[str, Any]
) -> None:
    """Note what the product did not allow, and nothing else."""
    await db.execute(
        "UPDATE accounts SET last_error = :error, last_forbidden = :forbidden"
        " WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": account, "error": error, "forbidden": json.dumps(forbidden)},
        quiet=True,
    )


# Renewing -------------------------------------------------------------------------------------------------


async def take_lease(
    db: Database, account: Account, *, owner: str, now: float, until: float
) -> Account | None:
    """Be the one who renews this version of the account; answer the row as it is now.

    None when somebody else holds the lease, when renewing failed a moment ago, or when the account is of
    another version already.
    """

    def work(tx: Transaction) -> Account | None:
        rows = tx.query(
            "UPDATE accounts SET lease_owner = :owner, lease_until = :until"
            " WHERE tenant = :tenant AND id = :id AND version = :version"
            " AND (lease_until IS NULL OR lease_until <= :now)"
            " AND (retry_after IS NULL OR retry_after <= :now) RETURNING *",
            {
                "tenant": account.tenant,
                "id": account.id,
                "version": account.version,
                "owner": owner,
                "until": until,
                "now": now,
            },
        )
        return account_of(rows[0]) if rows else None

    return await db.transaction(work, quiet=True)


async def release_lease(db: Database, account: Account, *, owner: str, retry_after: float | None) -> None:
    """Let others renew the account, at once or from `retry_after` on."""
    await db.execute(
        "UPDATE accounts SET lease_owner = NULL, lease_until = NULL, retry_after = :retry_after"
        " WHERE tenant = :tenant AND id = :id AND lease_owner = :owner",
        {"tenant": account.tenant, "id": account.id, "owner": owner, "retry_after": retry_after},
        quiet=True,
    )


async def renew(db: Database, account: Account) -> Account | None:
    """Store renewed secrets over those of the version that they were got with, and end the lease.

    Who holds the lease does not matter: the successor of this version's token is the only one that is still
    good. None when the account is of another version, or gone.
    """

    def work(tx: Transaction) -> Account | None:
        parameters = _parameters(account)
        names = ("sealed", "scopes", "expires", "renewed")
        rows = tx.query(
            f"UPDATE accounts SET {', '.join(f'{name} = :{name}' for name in names)}, version = version + 1,"  # noqa: S608
            " lease_owner = NULL, lease_until = NULL, retry_after = NULL"
            " WHERE tenant = :tenant AND id = :id AND version = :version RETURNING *",
            {name: parameters[name] for name in (*names, "tenant", "id", "version")},
        )
        return account_of(rows[0]) if rows else None

    return await db.transaction(work)


async def claim(db: Database, account: Account, *, now: float, before: float) -> bool:
    """Be the one who looks after an account that nobody looked after since `before`."""
    changed = await db.execute(
        "UPDATE accounts SET tended = :now WHERE tenant = :tenant AND id = :id"
        " AND (tended IS NULL OR tended <= :before)",
        {"tenant": account.tenant, "id": account.id, "now": now, "before": before},
        quiet=True,
    )
    return changed == 1


async def delete(db: Database, tenant: str, account: str, *, now: float) -> bool:
    """Delete an account with its secrets; False when there is none."""
    return await db.transaction(lambda tx: _delete(tx, tenant, account, now=now))


async def _change(db: Database, sql: str, values: Parameters, *, now: float, quiet: bool = False) -> bool:
    """Change one account, and write in the same transaction what is to be told of it."""

    def work(tx: Transaction) -> bool:
        before = _of(tx, values["tenant"], values["id"])
        if before is None or not tx.execute(sql, values):
            return False
        outbox.record(tx, before, _of(tx, before.tenant, before.id), now=now)
        return True

    return await db.transaction(work, quiet=quiet)


def _delete(tx: Transaction, tenant: str, account: str, *, now: float) -> bool:
    rows = tx.query(
        "DELETE FROM accounts WHERE tenant = :tenant AND id = :id RETURNING *",
        {"tenant": tenant, "id": account},
    )
    if rows:
        tx.execute(
            "DELETE FROM hook_secrets WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": account}
        )
        outbox.record(tx, account_of(rows[0]), None, now=now)
    return bool(rows)


def _of(tx: Transaction, tenant: str, account: str) -> Account | None:
    rows = tx.query(
        "SELECT * FROM accounts WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": account}
    )
    return account_of(rows[0]) if rows else None


def _parameters(account: Account) -> Parameters:
    forbidden = account.last_forbidden
    return {
        **{name: getattr(account, name) for name in _COLUMNS},
        "settings": json.dumps(dict(account.settings)),
        "origins": json.dumps(account.origins),
        "sandbox": int(account.sandbox),
        "scopes": None if account.scopes is None else json.dumps(account.scopes),
        "last_forbidden": None if forbidden is None else json.dumps(dict(forbidden)),
    }


def account_of(row: Row) -> Account:
    """Answer an account from its row."""
    scopes, forbidden = row["scopes"], row["last_forbidden"]
    return Account(
        **{
            **{name: row[name] for name in _COLUMNS},
            "settings": json.loads(row["settings"]),
            "origins": tuple(json.loads(row["origins"])),
            "sealed": bytes(row["sealed"]),
            "sandbox": bool(row["sandbox"]),
            "scopes": None if scopes is None else tuple(json.loads(scopes)),
            "last_forbidden": None if forbidden is None else json.loads(forbidden),
        }
    )
