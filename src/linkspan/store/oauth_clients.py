"""Programs that registered themselves (RFC 7591): rows with an end, and never more than so many."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """One registration. Times are epoch seconds."""

    tenant: str
    id: str
    name: str
    redirect_uris: tuple[str, ...]
    created: float
    expires: float


async def insert(
    db: Database, client: RegisteredClient, *, most: int
) -> Literal["stored", "full", "no tenant"]:
    """Store a registration, unless the tenant has `most` of them or is not there; what is over goes."""

    def work(tx: Transaction) -> Literal["stored", "full", "no tenant"]:
        tenant = {"tenant": client.tenant, "now": client.created}
        tx.execute("DELETE FROM oauth_clients WHERE tenant = :tenant AND expires <= :now", tenant)
        (row,) = tx.query("SELECT count(*) AS number FROM oauth_clients WHERE tenant = :tenant", tenant)
        if not tenants.known(tx, client.tenant):
            return "no tenant"
        if row["number"] >= most:
            return "full"
        tx.execute(
            "INSERT INTO oauth_clients (tenant, id, name, redirect_uris, created, expires)"
            " VALUES (:tenant, :id, :name, :redirect_uris, :created, :expires)",
            {
                "tenant": client.tenant,
                "id": client.id,
                "name": client.name,
                "redirect_uris": json.dumps(client.redirect_uris),
                "created": client.created,
                "expires": client.expires,
            },
        )
        return "stored"

    return await db.transaction(work, quiet=True)


async def find(db: Database, tenant: str, client: str) -> RegisteredClient | None:
    """Answer one registration of the tenant, good or over."""
    rows = await db.query(
        "SELECT * FROM oauth_clients WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": client}
    )
    return _client(rows[0]) if rows else None


async def keep_until(db: Database, tenant: str, client: str, expires: float) -> None:
    """Keep a registration at least until then."""
    await db.execute(
        "UPDATE oauth_clients SET expires = :expires"
        " WHERE tenant = :tenant AND id = :id AND expires < :expires",
        {"tenant": tenant, "id": client, "expires": expires},
        quiet=True,
    )


def _client(row: Row) -> RegisteredClient:
    return RegisteredClient(**{**row, "redirect_uris": tuple(json.loads(row["redirect_uris"]))})
