"""Admin tokens: the rows of `tokens` that are of no tenant.

No query for a tenant finds one, and none here finds one of a tenant.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from linkspan.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class AdminToken:
    """One key of an operator. Times are epoch seconds; `last_used` is coarse."""

    id: str
    hash: bytes = field(repr=False)
    subject: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None


_COLUMNS = "id, hash, subject, created, expires, revoked, last_used"
_ONLY = "kind = 'admin' AND tenant IS NULL"


async def insert(db: Database, token: AdminToken) -> None:
    """Store a new admin token."""
    await db.execute(
        f"INSERT INTO tokens ({_COLUMNS}, kind, principal_kind, scopes)"  # noqa: S608
        " VALUES (:id, :hash, :subject, :created, :expires, :revoked, :last_used, 'admin', 'operator', '')",
        asdict(token),
        quiet=True,
    )


async def find(db: Database, token: str) -> AdminToken | None:
    """Answer an admin token by its ID."""
    rows = await db.query(
        f"SELECT {_COLUMNS} FROM tokens WHERE id = :id AND {_ONLY}",  # noqa: S608
        {"id": token},
    )
    return _token(rows[0]) if rows else None


async def everyone(db: Database) -> list[AdminToken]:
    """Answer all admin tokens, oldest first."""
    rows = await db.query(f"SELECT {_COLUMNS} FROM tokens WHERE {_ONLY} ORDER BY created, id")  # noqa: S608
    return [_token(row) for row in rows]


async def revoke(db: Database, token: str, now: float) -> bool:
    """Revoke an admin token from now on; False when there is none of that ID that is not revoked yet."""
    changed = await db.execute(
        f"UPDATE tokens SET revoked = :now WHERE id = :id AND {_ONLY} AND revoked IS NULL",  # noqa: S608
        {"id": token, "now": now},
        quiet=True,
    )
    return changed == 1


async def touch(db: Database, token: str, now: float) -> None:
    """Note that an admin token was used."""
    await db.execute(
        f"UPDATE tokens SET last_used = :now WHERE id = :id AND {_ONLY}",  # noqa: S608
        {"id": token, "now": now},
        durable=False,
        quiet=True,
    )


def _token(row: Row) -> AdminToken:
    return AdminToken(**{**row, "hash": bytes(row["hash"])})
