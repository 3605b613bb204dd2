"""Who works runs: each process says every few seconds that it lives. Not any tenant's, like `meta`."""

from __future__ import annotations

from linkspan.store.database import Database


async def beat(db: Database, worker: str, *, version: str, now: float) -> None:
    """Say that a worker lives."""
    await db.execute(
        "INSERT INTO workers (id, started, seen, version) VALUES (:id, :now, :now, :version)"
        " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
        {"id": worker, "now": now, "version": version},
        durable=False,
        quiet=True,
    )


async def living(db: Database, *, seen_after: float) -> set[str]:
    """Answer the workers that were seen after a time."""
    rows = await db.query("SELECT id FROM workers WHERE seen > :time", {"time": seen_after})
    return {row["id"] for row in rows}


async def leave(db: Database, worker: str) -> None:
    """Forget a worker that ends."""
    await db.execute("DELETE FROM workers WHERE id = :id", {"id": worker}, quiet=True)


async def forget(db: Database, *, seen_before: float) -> int:
    """Forget workers that were last seen before a time; answer how many."""
    return await db.execute("DELETE FROM workers WHERE seen < :time", {"time": seen_before}, quiet=True)
