"""View tokens: what a page of a product may see and do, for minutes.

A token says by its ID whose it is: `find` is asked by what a browser was given, and answers the tenant.
Nothing in here is cached by anybody, so every write is quiet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction

_COLUMNS: Final = (
    "tenant", "id", "hash", "minted_by", "subject", "person", "vouched", "origins", "run", "recipe",
    "entity_id", "account", "may", "created", "expires",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ViewToken:
    """What a view token is good for. Times are epoch seconds."""

    tenant: str
    id: str
    hash: bytes = field(repr=False)
    minted_by: str | None
    """The token or the admin key that it was made with: it ends with that."""
    subject: str
    """Who that was: the name of a product's backend."""
    person: str | None
    """For whom it was made, as the backend says."""
    vouched: bool
    """Whether whoever made it may look for that person."""
    origins: tuple[str, ...]
    """The pages that may show what it opens, and may use it."""
    run: str | None
    """The one run that it opens; None: those of a recipe on one thing."""
    recipe: str | None
    entity_id: str | None
    account: str | None
    """Where that thing is, if that had to be said."""
    may: tuple[str, ...]
    """What it may do beside looking."""
    created: float
    expires: float


async def insert(db: Database, token: ViewToken) -> bool:
    """Store a new token, and forget those of its tenant that are over; False without the tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, token.tenant):
            return False
        over = {"tenant": token.tenant, "now": token.created}
        tx.execute("DELETE FROM view_tokens WHERE tenant = :tenant AND expires < :now", over)
        tx.execute(
            f"INSERT INTO view_tokens ({', '.join(_COLUMNS)})"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
            {
                **{name: getattr(token, name) for name in _COLUMNS},
                "vouched": int(token.vouched),
                "origins": json.dumps(token.origins),
                "may": json.dumps(token.may),
            },
        )
        return True

    return await db.transaction(work, quiet=True)


async def find(db: Database, tenant: str, token: str, *, now: float) -> ViewToken | None:
    """Answer a token of the tenant that is good now, and so is what it was made with."""
    rows = await db.query(
        "SELECT view_tokens.* FROM view_tokens LEFT JOIN tokens ON tokens.id = view_tokens.minted_by"
        " WHERE view_tokens.tenant = :tenant AND view_tokens.id = :id AND view_tokens.expires > :now"
        " AND (view_tokens.minted_by IS NULL OR (tokens.id IS NOT NULL AND tokens.revoked IS NULL"
        " AND (tokens.expires IS NULL OR tokens.expires > :now)))",
        {"tenant": tenant, "id": token, "now": now},
    )
    return _token(rows[0]) if rows else None


async def revoke(db: Database, tenant: str, token: str, *, now: float) -> bool:
    """End a token now; False when there is none that is still good."""
    changed = await db.execute(
        "UPDATE view_tokens SET expires = :now WHERE tenant = :tenant AND id = :id AND expires > :now",
        {"tenant": tenant, "id": token, "now": now},
        quiet=True,
    )
    return changed == 1


def _token(row: Row) -> ViewToken:
    return ViewToken(
        **{
            **{name: row[name] for name in _COLUMNS},
            "hash": bytes(row["hash"]),
            "vouched": bool(row["vouched"]),
            "origins": tuple(json.loads(row["origins"])),
            "may": tuple(json.loads(row["may"])),
        }
    )
