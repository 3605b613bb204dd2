"""Tokens of ours: never the secret, only its SHA-256."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from linkspan.store import runs, tenants
from linkspan.store.database import Database, Row, Transaction

TokenKind = Literal["tenant", "admin", "run", "link", "view"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a tenant. Times are epoch seconds; `last_used` is coarse."""

    tenant: str
    id: str
    kind: TokenKind
    hash: bytes = field(repr=False)
    principal_kind: str
    subject: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None
    grant_id: str | None = None
    """The sign-in that it belongs to; None for one that an operator made."""
    audience: str | None = None
    """The one URL that it may be shown at; None for the tenant's endpoint, whatever it is called."""
    account: str | None = None
    """The one account that it is good for; None: whichever its principal may use."""


async def insert(db: Database, token: Token) -> bool:
    """Store a new token; False when there is no such tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, token.tenant):
            return False
        add(tx, token)
        return True

    return await db.transaction(work)


def add(tx: Transaction, token: Token) -> None:
    """Store a new token of a tenant that is known to be there, inside a transaction."""
    tx.execute(
        "INSERT INTO tokens (tenant, id, kind, hash, principal_kind, subject, scopes, created, expires,"
        " revoked, last_used, grant_id, audience, account) VALUES (:tenant, :id, :kind, :hash,"
        " :principal_kind, :subject, :scopes, :created, :expires, :revoked, :last_used, :grant_id, :audience,"
        " :account)",
        {**asdict(token), "scopes": " ".join(token.scopes)},
    )


async def find(db: Database, tenant: str, token: str) -> Token | None:
    """Answer a token of the tenant by its ID."""
    rows = await db.query(
        "SELECT * FROM tokens WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": token}
    )
    return _token(rows[0]) if rows else None


async def tenant_of(db: Database, token: str) -> str | None:
    """Answer whose token it is, by its ID: it is shown where no tenant is named."""
    rows = await db.query("SELECT tenant FROM tokens WHERE id = :id AND kind = 'tenant'", {"id": token})
    return str(rows[0]["tenant"]) if rows else None


async def find_run(db: Database, token: str) -> Token | None:
    """Answer a run's token by its ID, whosever it is: it is shown where no tenant is named."""
    rows = await db.query("SELECT * FROM tokens WHERE id = :id AND kind = 'run'", {"id": token})
    return _token(rows[0]) if rows else None


async def change_run(
    db: Database, tenant: str, run: str, tokens: Sequence[Token], now: float, *, epoch: int
) -> bool:
    """Revoke every token of a run from now on, and store these in their place.

    False, and nothing is done, when somebody else took the run since: its tokens are theirs.
    """

    def work(tx: Transaction) -> bool:
        if not runs.held(tx, tenant, run, epoch):
            return False
        tx.execute(
            "UPDATE tokens SET revoked = :now WHERE tenant = :tenant AND kind = 'run' AND subject = :run"
            " AND revoked IS NULL",
            {"tenant": tenant, "run": run, "now": now},
        )
        for token in tokens:
            add(tx, token)
        return True

    return await db.transaction(work)


async def of_tenant(db: Database, tenant: str) -> list[Token]:
    """Answer all tokens of the tenant but those of runs, oldest first."""
    rows = await db.query(
        "SELECT * FROM tokens WHERE tenant = :tenant AND kind <> 'run' ORDER BY created, id",
        {"tenant": tenant},
    )
    return [_token(row) for row in rows]


async def revoke(db: Database, tenant: str, token: str, now: float) -> bool:
    """Revoke a token from now on; False when the tenant has none of that ID that is not revoked yet."""
    changed = await db.execute(
        "UPDATE tokens SET revoked = :now WHERE tenant = :tenant AND id = :id AND revoked IS NULL",
        {"tenant": tenant, "id": token, "now": now},
    )
    return changed == 1


async def revoke_all(db: Database, tenant: str, now: float) -> int:
    """Revoke every token of the tenant from now on; answer how many that were."""
    return await db.execute(
        "UPDATE tokens SET revoked = :now WHERE tenant = :tenant AND revoked IS NULL",
        {"tenant": tenant, "now": now},
    )


async def touch(db: Database, tenant: str, token: str, now: float) -> None:
    """Note that a token was used; what is cached of it stays good."""
    await db.execute(
        "UPDATE tokens SET last_used = :now WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": token, "now": now},
        durable=False,
        quiet=True,
    )


def _token(row: Row) -> Token:
    return Token(**{**row, "hash": bytes(row["hash"]), "scopes": tuple(row["scopes"].split())})
