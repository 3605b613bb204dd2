"""What the installation as a whole keeps: a few named values of no tenant."""

from __future__ import annotations

from linkspan.store.database import Database, Reader, Transaction


async def read(db: Reader, name: str) -> bytes | None:
    """Answer a value, or None."""
    rows = await db.query("SELECT value FROM meta WHERE name = :name", {"name": name})
    return bytes(rows[0]["value"]) if rows else None


async def keep_first(db: Database, name: str, value: bytes) -> bytes:
    """Store a value unless there is one; answer the one that is there then, whoever stored it."""

    def work(tx: Transaction) -> bytes:
        tx.execute(
            "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING",
            {"name": name, "value": value},
        )
        (row,) = tx.query("SELECT value FROM meta WHERE name = :name", {"name": name})
        return bytes(row["value"])

    return await db.transaction(work, quiet=True)


async def replace(db: Database, name: str, before: bytes, value: bytes) -> bool:
    """Store a value in place of `before`; False when that is not there any more."""
    changed = await db.execute(
        "UPDATE meta SET value = :value WHERE name = :name AND value = :before",
        {"name": name, "before": before, "value": value},
        quiet=True,
    )
    return changed == 1


async def forget(db: Database, name: str) -> None:
    """Delete a value."""
    await db.execute("DELETE FROM meta WHERE name = :name", {"name": name}, quiet=True)
