"""Grants: a person let a program act for it. Each is a code at first, then a family of tokens.

A grant counts its generations. Refreshing with a token of the current one begins the next; a token of the
one before gets another of the current one for a short while, since the answer to a first try may have been
lost. Whoever decides that gives a function; it sees the rows inside the transaction that acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Literal

from linkspan.store import people, tokens
from linkspan.store.database import Database, Row, Transaction
from linkspan.store.tokens import Token

KEPT_REVOKED = 30 * 86_400.0
"""Seconds that a revoked grant is kept: its tokens are recognised, and refused, for as long."""
_SHOWN = "SELECT * FROM refresh_tokens WHERE tenant = :tenant AND id = :id"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person allowed a program. Times are epoch seconds."""

    tenant: str
    id: str
    person: str
    client_id: str
    client_name: str
    redirect_uri: str
    scopes: tuple[str, ...]
    audience: str
    """The one URL that its tokens are good for."""
    challenge: str
    """The PKCE challenge (RFC 7636): base64url of a SHA-256."""
    code_hash: bytes = field(repr=False)
    code_expires: float
    created: float
    expires: float
    """When the family ends, however it was refreshed."""
    redeemed: float | None = None
    """When its code was shown; a code is good once."""
    generation: int = 0
    rotated: float = 0.0
    """When the current generation began."""
    revoked: float | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One refresh token of a grant."""

    tenant: str
    id: str
    grant_id: str
    generation: int
    hash: bytes = field(repr=False)
    expires: float


Verdict = Literal["issue", "again", "refuse", "revoke"]
"""What is to become of something shown: tokens, tokens of the same generation, nothing, the family's end."""
Pair = Callable[[Grant, int], tuple[Token, RefreshToken]]
"""Makes the two tokens of a grant for a generation."""


async def insert(db: Database, grant: Grant) -> bool:
    """Store a new grant, whose code waits; what is over goes. False when there is no such person."""

    def work(tx: Transaction) -> bool:
        if not people.known(tx, grant.tenant, grant.person):
            return False
        _sweep(tx, grant.tenant, grant.created)
        tx.execute(
            "INSERT INTO grants (tenant, id, person, client_id, client_name, redirect_uri, scopes, audience,"
            " challenge, code_hash, code_expires, redeemed, generation, rotated, created, expires, revoked)"
            " VALUES (:tenant, :id, :person, :client_id, :client_name, :redirect_uri, :scopes, :audience,"
            " :challenge, :code_hash, :code_expires, :redeemed, :generation, :rotated, :created, :expires,"
            " :revoked)",
            {**asdict(grant), "scopes": " ".join(grant.scopes)},
        )
        return True

    return await db.transaction(work, quiet=True)


async def redeem(
    db: Database, tenant: str, grant: str, *, judge: Callable[[Grant | None], Verdict], pair: Pair, now: float
) -> Grant | None:
    """Exchange a code as `judge` decides; answers the grant when tokens were stored.

    Shown at the same moment by two, it is good for one, and the other ends the family.
    """

    def work(tx: Transaction) -> tuple[Grant | None, Verdict]:
        found = _find(tx, tenant, grant)
        verdict = judge(found)
        if found is None or verdict in ("refuse", "revoke"):
            return found, verdict
        if not tx.execute(
            "UPDATE grants SET redeemed = :now, rotated = :now"
            " WHERE tenant = :tenant AND id = :id AND redeemed IS NULL AND revoked IS NULL",
            {"tenant": tenant, "id": grant, "now": now},
        ):
            return found, "revoke"
        _add(tx, pair(found, found.generation))
        return found, verdict

    return await _settle(db, work, now)


async def refresh(
    db: Database,
    tenant: str,
    token: str,
    *,
    judge: Callable[[Grant | None, RefreshToken | None], Verdict],
    pair: Pair,
    now: float,
) -> Grant | None:
    """Exchange a refresh token as `judge` decides; answers the grant when tokens were stored."""

    def work(tx: Transaction) -> tuple[Grant | None, Verdict]:
        shown = _refresh_token(tx.query(_SHOWN, {"tenant": tenant, "id": token}))
        while True:
            found = _find(tx, tenant, shown.grant_id) if shown else None
            verdict = judge(found, shown)
            if found is None or verdict in ("refuse", "revoke"):
                return found, verdict
            key = {"tenant": tenant, "id": found.id, "now": now, "generation": found.generation}
            if verdict == "again":
                _add(tx, pair(found, found.generation))
                return found, verdict
            if tx.execute(
                "UPDATE grants SET generation = generation + 1, rotated = :now WHERE tenant = :tenant"
                " AND id = :id AND generation = :generation AND revoked IS NULL",
                key,
            ):
                # Of a sign-in that is refreshed often, only what is good yet stays in the list of tokens.
                tx.execute(
                    "DELETE FROM tokens WHERE tenant = :tenant AND grant_id = :id AND expires <= :now", key
                )
                _add(tx, pair(found, found.generation + 1))
                return found, verdict
            # Somebody else was first: judge again, by the generation that is current now.

    return await _settle(db, work, now)


async def find_refresh(db: Database, tenant: str, token: str) -> RefreshToken | None:
    """Answer a refresh token by its ID."""
    return _refresh_token(await db.query(_SHOWN, {"tenant": tenant, "id": token}))


async def find(db: Database, tenant: str, grant: str) -> Grant | None:
    """Answer one grant of the tenant."""
    rows = await db.query(
        "SELECT * FROM grants WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": grant}
    )
    return _grant(rows[0]) if rows else None


async def live(db: Database, tenant: str, now: float, *, person: str | None = None) -> list[Grant]:
    """Answer the grants that are good now, of one person or of all, oldest first."""
    rows = await db.query(
        "SELECT * FROM grants WHERE tenant = :tenant AND redeemed IS NOT NULL AND revoked IS NULL"
        " AND expires > :now ORDER BY created, id",
        {"tenant": tenant, "now": now},
    )
    return [_grant(row) for row in rows if person is None or row["person"] == person]


async def revoke(db: Database, tenant: str, grant: str, now: float) -> bool:
    """End a family: no token of it is good from now on, in any process. False when it had ended."""
    return await db.transaction(lambda tx: _revoke(tx, tenant, grant, now))


async def _settle(
    db: Database, work: Callable[[Transaction], tuple[Grant | None, Verdict]], now: float
) -> Grant | None:
    """Run the transaction. New tokens are in nobody's cache; a family's end must move the change mark."""
    found, verdict = await db.transaction(work, quiet=True)
    if found is None or verdict == "refuse":
        return None
    if verdict == "revoke":
        await revoke(db, found.tenant, found.id, now)
        return None
    return found


def _find(tx: Transaction, tenant: str, grant: str) -> Grant | None:
    rows = tx.query(
        "SELECT * FROM grants WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": grant}
    )
    return _grant(rows[0]) if rows else None


def _add(tx: Transaction, pair: tuple[Token, RefreshToken]) -> None:
    access, refresh = pair
    tokens.add(tx, access)
    tx.execute(
        "INSERT INTO refresh_tokens (tenant, id, grant_id, generation, hash, expires)"
        " VALUES (:tenant, :id, :grant_id, :generation, :hash, :expires)",
        asdict(refresh),
    )


def _revoke(tx: Transaction, tenant: str, grant: str, now: float) -> bool:
    key = {"tenant": tenant, "id": grant, "now": now}
    tx.execute(
        "UPDATE tokens SET revoked = :now WHERE tenant = :tenant AND grant_id = :id AND revoked IS NULL", key
    )
    ended = tx.execute(
        "UPDATE grants SET revoked = :now WHERE tenant = :tenant AND id = :id AND revoked IS NULL", key
    )
    return ended == 1


def _sweep(tx: Transaction, tenant: str, now: float) -> None:
    key = {"tenant": tenant, "now": now, "since": now - KEPT_REVOKED}
    tx.execute("DELETE FROM tokens WHERE tenant = :tenant AND grant_id IS NOT NULL AND expires <= :now", key)
    tx.execute(
        "DELETE FROM grants WHERE tenant = :tenant AND (expires <= :now OR revoked <= :since"
        " OR (redeemed IS NULL AND code_expires <= :now))",
        key,
    )
    tx.execute(
        "DELETE FROM refresh_tokens WHERE tenant = :tenant AND grant_id NOT IN"
        " (SELECT id FROM grants WHERE tenant = :tenant)",
        key,
    )


def _grant(row: Row) -> Grant:
    return Grant(**{**row, "scopes": tuple(row["scopes"].split()), "code_hash": bytes(row["code_hash"])})


def _refresh_token(rows: list[Row]) -> RefreshToken | None:
    return RefreshToken(**{**rows[0], "hash": bytes(rows[0]["hash"])}) if rows else None
