"""Data keys of tenants, wrapped: one that seals, and those before it while something may still need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from linkspan.store import tenants
from linkspan.store.database import Database, Reader, Row, Transaction


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One data key. Times are epoch seconds; `retired` is when it stopped sealing."""

    tenant: str
    id: bytes
    wrapped: bytes = field(repr=False)
    created: float
    retired: float | None = None


async def sealing(db: Database, tenant: str) -> StoredKey | None:
    """Answer the data key that seals for the tenant."""
    rows = await db.query(
        "SELECT * FROM data_keys WHERE tenant = :tenant AND retired IS NULL", {"tenant": tenant}
    )
    return _key(rows[0]) if rows else None


async def find(db: Database, tenant: str, key: bytes) -> StoredKey | None:
    """Answer one data key of the tenant."""
    rows = await db.query(
        "SELECT * FROM data_keys WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": key}
    )
    return _key(rows[0]) if rows else None


async def of_tenant(db: Database, tenant: str) -> list[StoredKey]:
    """Answer all data keys of the tenant, oldest first."""
    rows = await db.query(
        "SELECT * FROM data_keys WHERE tenant = :tenant ORDER BY created, id", {"tenant": tenant}
    )
    return [_key(row) for row in rows]


async def keep_first(db: Database, key: StoredKey) -> StoredKey | None:
    """Keep a key unless the tenant has one that seals; answer the one that does then.

    None when there is no such tenant.
    """

    def work(tx: Transaction) -> StoredKey | None:
        there = _sealing(tx, key.tenant)
        if there is not None:
            return there
        if not tenants.known(tx, key.tenant):
            return None
        _insert(tx, key)
        return key

    return await db.transaction(work, quiet=True)


async def succeed(db: Database, key: StoredKey, *, before: bytes) -> bool:
    """Let a new key seal instead of the one with the id `before`; False when that one seals no more."""

    def work(tx: Transaction) -> bool:
        there = _sealing(tx, key.tenant)
        if there is None or there.id != before:
            return False
        tx.execute(
            "UPDATE data_keys SET retired = :now WHERE tenant = :tenant AND id = :id",
            {"tenant": key.tenant, "id": before, "now": key.created},
        )
        _insert(tx, key)
        return True

    return await db.transaction(work, quiet=True)


async def rewrap(db: Database, key: StoredKey, wrapped: bytes) -> None:
    """Keep a key in another wrapping."""
    await db.execute(
        "UPDATE data_keys SET wrapped = :wrapped WHERE tenant = :tenant AND id = :id AND wrapped = :before",
        {"tenant": key.tenant, "id": key.id, "wrapped": wrapped, "before": key.wrapped},
        quiet=True,
    )


async def delete(db: Database, key: StoredKey) -> None:
    """Delete a key that was retired."""
    await db.execute(
        "DELETE FROM data_keys WHERE tenant = :tenant AND id = :id AND retired IS NOT NULL",
        {"tenant": key.tenant, "id": key.id},
        quiet=True,
    )


async def by_provider(db: Reader) -> Mapping[bytes, int]:
    """Answer how many data keys each master key wraps, by its id (four bytes after the version)."""
    rows = await db.query(
        "SELECT substr(wrapped, 2, 4) AS provider, count(*) AS count FROM data_keys GROUP BY 1"
    )
    return {bytes(row["provider"]): row["count"] for row in rows}


def _sealing(tx: Transaction, tenant: str) -> StoredKey | None:
    rows = tx.query("SELECT * FROM data_keys WHERE tenant = :tenant AND retired IS NULL", {"tenant": tenant})
    return _key(rows[0]) if rows else None


def _insert(tx: Transaction, key: StoredKey) -> None:
    tx.execute(
        "INSERT INTO data_keys (tenant, id, wrapped, created, retired)"
        " VALUES (:tenant, :id, :wrapped, :created, :retired)",
        asdict(key),
    )


def _key(row: Row) -> StoredKey:
    return StoredKey(**{**row, "id": bytes(row["id"]), "wrapped": bytes(row["wrapped"])})
