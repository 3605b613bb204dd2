"""Link sessions: what one link token is good for, and how far somebody has come with it.

A token has its session's ID in it and says so whose it is: `find`, `consent_of` and `depart` are asked by
what only a browser of ours was given, and answer the tenant. Everything after that takes the tenant. Nothing
in here is cached by anybody, so every write is quiet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction

KEPT: Final = 86_400.0
"""Seconds that a session which is over stays, so that its browser can be told how it ended."""
_COLUMNS = (
    "tenant", "id", "hash", "subject", "connectors", "scopes", "origins", "redirect_uri", "settings",
    "account", "keep_settings", "allow_identity_change", "sandbox", "created", "expires", "browser", "busy",
    "linked", "failure",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LinkSession:
    """What a link token allows, and what became of it. Times are epoch seconds."""

    tenant: str
    id: str
    hash: bytes = field(repr=False)
    """Of the token's secret."""
    subject: str | None
    """Whose own account it will be; None: the tenant's."""
    connectors: tuple[str, ...]
    """Those that may be linked; empty: all of tools.yaml."""
    scopes: tuple[str, ...] | None
    """What is asked of the product instead of what tools.yaml says."""
    origins: tuple[str, ...]
    """The pages that may show it in a frame and are told how it went."""
    redirect_uri: str | None
    settings: Mapping[str, str]
    """Given by whoever made the token; not asked any more."""
    account: str | None
    """The account that is linked again."""
    keep_settings: bool
    """Linked again, it keeps the settings that are not given."""
    allow_identity_change: bool
    sandbox: bool | None
    created: float
    expires: float
    browser: bytes | None = field(default=None, repr=False)
    """Of what the one browser keeps that opened it; None: nobody has."""
    busy: float | None = None
    """Until when an attempt may be under way."""
    linked: str | None = None
    """The account that came of it: then the token is used up."""
    failure: Mapping[str, Any] | None = None
    """Why the last attempt failed, as the page is told it."""


@dataclass(frozen=True, slots=True)
class LinkConsent:
    """A browser that was sent to a product, and comes back once."""

    tenant: str
    id: str
    session: str
    state: bytes = field(repr=False)
    """Of the `state` that it brings back."""
    ticket: bytes | None = field(repr=False)
    """Of what lets one browser set out; None: it has."""
    browser: bytes | None = field(repr=False)
    """Of what the browser keeps that set out."""
    sealed: bytes = field(repr=False)
    expires: float


async def insert(db: Database, session: LinkSession) -> bool:
    """Store a new session, and forget those of its tenant that are long over; False without the tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, session.tenant):
            return False
        over = {"tenant": session.tenant, "before": session.created - KEPT}
        for table in ("link_consents", "link_sessions"):
            tx.execute(f"DELETE FROM {table} WHERE tenant = :tenant AND expires < :before", over)  # noqa: S608
        tx.execute(
            f"INSERT INTO link_sessions ({', '.join(_COLUMNS)})"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
            {
                **{name: getattr(session, name) for name in _COLUMNS},
                "connectors": json.dumps(session.connectors),
                "scopes": None if session.scopes is None else json.dumps(session.scopes),
                "origins": json.dumps(session.origins),
                "settings": json.dumps(dict(session.settings)),
                "keep_settings": int(session.keep_settings),
                "allow_identity_change": int(session.allow_identity_change),
                "sandbox": None if session.sandbox is None else int(session.sandbox),
                "failure": None if session.failure is None else json.dumps(dict(session.failure)),
            },
        )
        return True

    return await db.transaction(work, quiet=True)


async def find(db: Database, session: str) -> LinkSession | None:
    """Answer the session of that ID, of whichever tenant."""
    rows = await db.query("SELECT * FROM link_sessions WHERE id = :id", {"id": session})
    return _session(rows[0]) if rows else None


async def lock(db: Database, session: LinkSession, browser: bytes) -> bool:
    """Let one browser have the session, the first that asks."""
    changed = await db.execute(
        "UPDATE link_sessions SET browser = :browser WHERE tenant = :tenant AND id = :id AND browser IS NULL",
        {"tenant": session.tenant, "id": session.id, "browser": browser},
        quiet=True,
    )
    return changed == 1


async def revoke(db: Database, tenant: str, session: str, *, now: float) -> bool:
    """End a session now, if it can still link something; what it linked stays."""
    changed = await db.execute(
        "UPDATE link_sessions SET expires = :now"
        " WHERE tenant = :tenant AND id = :id AND expires > :now AND linked IS NULL",
        {"tenant": tenant, "id": session, "now": now},
        quiet=True,
    )
    return changed == 1


async def begin(db: Database, session: LinkSession, *, now: float, until: float) -> bool:
    """Be the one attempt that is under way; False while another is, or when the session is over."""
    changed = await db.execute(
        "UPDATE link_sessions SET busy = :until WHERE tenant = :tenant AND id = :id"
        " AND linked IS NULL AND expires > :now AND (busy IS NULL OR busy <= :now)",
        {"tenant": session.tenant, "id": session.id, "now": now, "until": until},
        quiet=True,
    )
    return changed == 1


async def end(
    db: Database, session: LinkSession, *, linked: str | None, failure: Mapping[str, Any] | None
) -> None:
    """Note what came of an attempt: an account, with which the token is used up, or a failure, or both."""
    await db.execute(
        "UPDATE link_sessions SET busy = NULL, linked = coalesce(:linked, linked), failure = :failure"
        " WHERE tenant = :tenant AND id = :id",
        {
            "tenant": session.tenant,
            "id": session.id,
            "linked": linked,
            "failure": None if failure is None else json.dumps(dict(failure)),
        },
        quiet=True,
    )


# Browsers on their way --------------------------------------------------------------------------------------


async def send(db: Database, consent: LinkConsent) -> None:
    """Store a consent that is asked for; one that the session asked for before is no longer waited for."""

    def work(tx: Transaction) -> None:
        of = {"tenant": consent.tenant, "session": consent.session}
        tx.execute("DELETE FROM link_consents WHERE tenant = :tenant AND session = :session", of)
        tx.execute("UPDATE link_sessions SET failure = NULL WHERE tenant = :tenant AND id = :session", of)
        tx.execute(
            "INSERT INTO link_consents (tenant, id, session, state, ticket, browser, sealed, expires) VALUES"
            " (:tenant, :id, :session, :state, :ticket, :browser, :sealed, :expires)",
            {name: getattr(consent, name) for name in LinkConsent.__slots__},
        )

    await db.transaction(work, quiet=True)


async def depart(db: Database, ticket: bytes, browser: bytes, *, now: float) -> LinkConsent | None:
    """Let a browser set out with a ticket, once; None for a ticket that is not good any more."""
    rows = await db.transaction(
        lambda tx: tx.query(
            "UPDATE link_consents SET ticket = NULL, browser = :browser"
            " WHERE ticket = :ticket AND expires > :now RETURNING *",
            {"ticket": ticket, "browser": browser, "now": now},
        ),
        quiet=True,
    )
    return _consent(rows[0]) if rows else None


async def consent_of(db: Database, state: bytes) -> LinkConsent | None:
    """Answer the consent that a browser came back with."""
    rows = await db.query("SELECT * FROM link_consents WHERE state = :state", {"state": state})
    return _consent(rows[0]) if rows else None


async def take(db: Database, consent: LinkConsent) -> bool:
    """Use a consent, once."""
    changed = await db.execute(
        "DELETE FROM link_consents WHERE tenant = :tenant AND id = :id",
        {"tenant": consent.tenant, "id": consent.id},
        quiet=True,
    )
    return changed == 1


def _session(row: Row) -> LinkSession:
    scopes, failure, sandbox = row["scopes"], row["failure"], row["sandbox"]
    return LinkSession(
        **{
            **{name: row[name] for name in _COLUMNS},
            "hash": bytes(row["hash"]),
            "browser": None if row["browser"] is None else bytes(row["browser"]),
            "connectors": tuple(json.loads(row["connectors"])),
            "scopes": None if scopes is None else tuple(json.loads(scopes)),
            "origins": tuple(json.loads(row["origins"])),
            "settings": json.loads(row["settings"]),
            "keep_settings": bool(row["keep_settings"]),
            "allow_identity_change": bool(row["allow_identity_change"]),
            "sandbox": None if sandbox is None else bool(sandbox),
            "failure": None if failure is None else json.loads(failure),
        }
    )


def _consent(row: Row) -> LinkConsent:
    known = {name: None if row[name] is None else bytes(row[name]) for name in ("ticket", "browser")}
    return LinkConsent(
        tenant=row["tenant"],
        id=row["id"],
        session=row["session"],
        state=bytes(row["state"]),
        ticket=known["ticket"],
        browser=known["browser"],
        sealed=bytes(row["sealed"]),
        expires=row["expires"],
    )
