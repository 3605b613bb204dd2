"""Admin tokens, which are the rows of `tokens` that are of no tenant, and the console's sessions.

No query for a tenant finds one, and none here finds one of a tenant. What a key may do stands in its scopes
as words: its role where that is not admin, and `tenant:NAME` where it is bound to one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from linkspan.store.database import Database, Row, Transaction

Role = Literal["viewer", "operator", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""Each may do what those before it may."""


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
    role: Role = "admin"
    only: str | None = None
    """The one tenant that it is good for; None: all."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A browser at the console. Without `key` an identity provider said who it is."""

    id: str
    hash: bytes = field(repr=False)
    subject: str
    key: str | None
    created: float
    expires: float


_COLUMNS = "id, hash, subject, created, expires, revoked, last_used, scopes"
_ONLY = "kind = 'admin' AND tenant IS NULL"


async def insert(db: Database, token: AdminToken) -> None:
    """Store a new admin token."""
    await db.execute(
        f"INSERT INTO tokens ({_COLUMNS}, kind, principal_kind) VALUES (:id, :hash, :subject, :created,"  # noqa: S608
        " :expires, :revoked, :last_used, :scopes, 'admin', 'operator')",
        {**_plain(token), "scopes": _words(token)},
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


async def open_session(db: Database, session: ConsoleSession) -> None:
    """Store a new session; those that are over go."""

    def work(tx: Transaction) -> None:
        tx.execute("DELETE FROM console_sessions WHERE expires < :now", {"now": session.created})
        tx.execute(
            "INSERT INTO console_sessions (id, hash, subject, key, created, expires)"
            " VALUES (:id, :hash, :subject, :key, :created, :expires)",
            asdict(session),
        )

    await db.transaction(work, quiet=True)


async def session(db: Database, identified: str) -> ConsoleSession | None:
    """Answer a session by its ID."""
    rows = await db.query("SELECT * FROM console_sessions WHERE id = :id", {"id": identified})
    return ConsoleSession(**{**rows[0], "hash": bytes(rows[0]["hash"])}) if rows else None


async def end_session(db: Database, identified: str) -> None:
    """Forget a session."""
    await db.execute("DELETE FROM console_sessions WHERE id = :id", {"id": identified}, quiet=True)


def _plain(token: AdminToken) -> dict[str, Any]:
    return {name: value for name, value in asdict(token).items() if name not in ("role", "only")}


def _words(token: AdminToken) -> str:
    role = [] if token.role == "admin" else [token.role]
    return " ".join([*role, *([f"tenant:{token.only}"] if token.only else [])])


def _token(row: Row) -> AdminToken:
    words = row.pop("scopes").split()
    only = next((word.removeprefix("tenant:") for word in words if word.startswith("tenant:")), None)
    role = next((role for role in ROLES if role in words), "admin")
    return AdminToken(**{**row, "hash": bytes(row["hash"]), "only": only, "role": role})
