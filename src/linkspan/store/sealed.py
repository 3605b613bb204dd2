"""Every column that holds sealed values, so that keys can be changed: one that is missing stays as it is.

A sealed value has the id of its key in its bytes 2 to 5 (vault/seal.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan.store.database import Database, Reader, Row


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """Where sealed values stand: what they were sealed for, and which column names their record."""

    table: str
    column: str
    purpose: str
    record: str
    key: tuple[str, ...]
    """What names a row beside its tenant."""


SEALED: Final = (
    SealedColumn("accounts", "sealed", "credential", "id", ("id",)),
    SealedColumn("calls", "answer", "call", "call", ("caller", "call")),
    SealedColumn("api_calls", "answer", "call", "call", ("caller", "call")),
    SealedColumn("artifacts", "sealed", "artifact", "id", ("id",)),
    SealedColumn("log_bodies", "sealed", "log bodies", "id", ("id",)),
    SealedColumn("webhooks", "sealed", "webhook", "id", ("id",)),
    SealedColumn("hook_secrets", "sealed", "hook", "id", ("id",)),
    SealedColumn("link_consents", "sealed", "consent", "id", ("id",)),
)
NOT_SEALED: Final = {
    ("meta", "value"): "Wrapped keys of the installation, and plain values.",
    ("data_keys", "id"): "Digests.",
    ("data_keys", "wrapped"): "Wrapped by a master key; keys are changed here too.",
    ("tokens", "hash"): "Digests.",
    ("invitations", "hash"): "Digests.",
    ("browser_sessions", "hash"): "Digests.",
    ("console_sessions", "hash"): "Digests.",
    ("view_tokens", "hash"): "Digests.",
    ("grants", "code_hash"): "Digests.",
    ("refresh_tokens", "hash"): "Digests.",
    ("link_sessions", "hash"): "Digests.",
    ("link_sessions", "browser"): "Digests.",
    ("link_consents", "state"): "Digests.",
    ("link_consents", "ticket"): "Digests.",
    ("link_consents", "browser"): "Digests.",
}
"""The other columns of bytes, and why they are not sealed."""


async def under_other_keys(
    db: Database, column: SealedColumn, tenant: str | None, key: bytes, *, limit: int, skip: int
) -> list[Row]:
    """Answer rows of a tenant (None: of nobody) that another key sealed, without the first `skip`."""
    names = ", ".join((*column.key, column.column))
    return await db.query(
        f"SELECT {names} FROM {column.table} WHERE {_whose(tenant)} AND {column.column} IS NOT NULL"  # noqa: S608
        f" AND substr({column.column}, 2, 4) <> :key ORDER BY {', '.join(column.key)}"
        " LIMIT :limit OFFSET :skip",
        {"tenant": tenant, "key": key, "limit": limit, "skip": skip},
    )


async def replace(
    db: Database, column: SealedColumn, tenant: str | None, row: Mapping[str, Any], sealed: bytes
) -> bool:
    """Store a value that was sealed anew, unless the row has changed since `row` was read."""
    names = " AND ".join(f"{name} = :{name}" for name in column.key)
    changed = await db.execute(
        f"UPDATE {column.table} SET {column.column} = :new_value WHERE {_whose(tenant)} AND {names}"  # noqa: S608
        f" AND {column.column} = :old_value",
        {
            **{name: row[name] for name in column.key},
            "tenant": tenant,
            "new_value": sealed,
            "old_value": bytes(row[column.column]),
        },
        quiet=True,
    )
    return changed == 1


async def uses(db: Database, tenant: str, key: bytes) -> int:
    """Answer how many values a data key of a tenant seals."""
    counts = [
        await db.query(
            f"SELECT count(*) AS count FROM {column.table}"  # noqa: S608
            f" WHERE tenant = :tenant AND substr({column.column}, 2, 4) = :key",
            {"tenant": tenant, "key": key},
        )
        for column in SEALED
    ]
    return sum(rows[0]["count"] for rows in counts)


async def by_provider(db: Reader) -> dict[bytes, int]:
    """Answer how many values are sealed with data keys that each master key wraps, by its id."""
    return await _counts(
        db,
        "SELECT substr(k.wrapped, 2, 4) AS name, count(*) AS count FROM {table} s JOIN data_keys k"
        " ON k.tenant = s.tenant AND k.id = substr(s.{column}, 2, 4) GROUP BY 1",
    )


async def by_other_keys(db: Reader) -> dict[bytes, int]:
    """Answer how many values are sealed with what is no data key of their tenant, by the id of that key."""
    return await _counts(
        db,
        "SELECT substr(s.{column}, 2, 4) AS name, count(*) AS count FROM {table} s LEFT JOIN data_keys k"
        " ON k.tenant = s.tenant AND k.id = substr(s.{column}, 2, 4)"
        " WHERE k.id IS NULL AND s.{column} IS NOT NULL GROUP BY 1",
    )


async def _counts(db: Reader, sql: str) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for column in SEALED:
        for row in await db.query(sql.format(table=column.table, column=column.column)):
            name = bytes(row["name"])
            counts[name] = counts.get(name, 0) + row["count"]
    return counts


def _whose(tenant: str | None) -> str:
    return "tenant IS NULL" if tenant is None else "tenant = :tenant"
