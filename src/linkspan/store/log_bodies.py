"""Bodies beside the audit log: for which accounts they are kept now, and those that were kept, sealed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from linkspan.store import tenants
from linkspan.store.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Keeping:
    """For which account bodies are kept, until when (epoch seconds), and who wanted it."""

    tenant: str
    account: str
    began: float
    until: float
    wanted_by: str


async def turn_on(db: Database, keeping: Keeping) -> bool:
    """Keep an account's bodies from now on; False for a tenant that is gone."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, keeping.tenant):
            return False
        tx.execute(
            "INSERT INTO log_keepings (tenant, account, began, until, wanted_by)"
            " VALUES (:tenant, :account, :began, :until, :wanted_by) ON CONFLICT (tenant, account)"
            " DO UPDATE SET began = :began, until = :until, wanted_by = :wanted_by",
            asdict(keeping),
        )
        return True

    return await db.transaction(work)


async def turn_off(db: Database, tenant: str, account: str) -> bool:
    """Keep no more of an account's bodies; False where none were kept."""
    ended = await db.execute(
        "DELETE FROM log_keepings WHERE tenant = :tenant AND account = :account",
        {"tenant": tenant, "account": account},
    )
    return ended == 1


async def on_now(db: Database, now: float) -> list[Keeping]:
    """Answer every account whose bodies are kept now."""
    rows = await db.query(
        "SELECT tenant, account, began, until, wanted_by FROM log_keepings WHERE until > :now", {"now": now}
    )
    return [Keeping(**row) for row in rows]


async def insert(db: Database, tenant: str, name: str, time: float, sealed: bytes) -> None:
    """Store what was kept of one call, unless its tenant is gone."""

    def work(tx: Transaction) -> None:
        if tenants.known(tx, tenant):
            tx.execute(
                "INSERT INTO log_bodies (tenant, id, time, sealed) VALUES (:tenant, :id, :time, :sealed)",
                {"tenant": tenant, "id": name, "time": time, "sealed": sealed},
            )

    await db.transaction(work, durable=False, quiet=True)


async def get(db: Database, tenant: str, name: str) -> bytes | None:
    """Answer what was kept of one call; None where it is gone."""
    rows = await db.query(
        "SELECT sealed FROM log_bodies WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": name}
    )
    return bytes(rows[0]["sealed"]) if rows else None


async def forget(db: Database, before: float, now: float) -> int:
    """Delete what was kept before that time, of every tenant, and what ended; answer how many calls' went."""
    await db.execute("DELETE FROM log_keepings WHERE until <= :now", {"now": now}, quiet=True)
    return await db.execute("DELETE FROM log_bodies WHERE time < :before", {"before": before}, quiet=True)
