"""Which processes serve or work: each says every few seconds that it does. Not any tenant's, like `meta`."""

from __future__ import annotations

from linkspan.store.database import Database, Transaction


async def beat(db: Database, replica: str, *, now: float, alive: float) -> int:
    """Say that a process is there; answer how many are, those that were heard of within `alive` seconds."""

    def work(tx: Transaction) -> int:
        told = {"id": replica, "now": now, "since": now - alive}
        tx.execute("DELETE FROM replicas WHERE seen < :since", {"since": told["since"]})
        tx.execute(
            "INSERT INTO replicas (id, seen) VALUES (:id, :now)"
            " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
            {"id": replica, "now": now},
        )
        (row,) = tx.query("SELECT count(*) AS count FROM replicas")
        return int(row["count"])

    return await db.transaction(work, durable=False, quiet=True)


async def leave(db: Database, replica: str) -> None:
    """Forget a process that ends."""
    await db.execute("DELETE FROM replicas WHERE id = :id", {"id": replica}, durable=False, quiet=True)
