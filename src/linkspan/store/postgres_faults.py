"""What PostgreSQL's error codes mean to people (PostgreSQL 15 manual, appendix A)."""

from __future__ import annotations

import psycopg

from linkspan.errors import ConfigurationError
from linkspan.store.database import OutcomeUnknown, StoreFault

_WAIT = "Try again; if it stays, look in pg_stat_activity for a transaction that does not end."
_BY_STATE = {
    "53100": (
        "The disk of Linkspan's PostgreSQL server is full; nothing was written",
        "Free space on it, then try again.",
    ),
    "53200": ("Linkspan's PostgreSQL server is out of memory; nothing was written", "Try again."),
    "53300": (
        "Linkspan's PostgreSQL server takes no more connections; nothing was written",
        "Raise its max_connections, or run fewer replicas.",
    ),
    "25006": (
        "Linkspan's database is read-only; nothing was written",
        "Point LINKSPAN_DATABASE to the primary server, and look whether its role may write.",
    ),
    "42501": (
        "Linkspan's role may not do that in its database; nothing was written",
        "Make it the owner of its tables and schema.",
    ),
    "40001": ("Too many write to the same rows of Linkspan's database; nothing was written", _WAIT),
    "40P01": ("Too many write to the same rows of Linkspan's database; nothing was written", _WAIT),
    "55P03": ("Linkspan's database is locked by another process; nothing was written", _WAIT),
    "57014": ("Linkspan's database took too long; nothing was written", _WAIT),
    "25P03": ("Linkspan's database took too long; nothing was written", _WAIT),
    "XX001": ("Linkspan's database is damaged", "Restore it from a backup."),
    "XX002": ("An index of Linkspan's database is damaged", "Run REINDEX, or restore it from a backup."),
    "58030": (
        "The disk of Linkspan's PostgreSQL server does not answer as it should; nothing was written",
        "Look at the disk's space and health, then try again.",
    ),
}
_NO_CONNECTION = ("57P01", "57P02", "57P03", "57P05", "25P03")
"""The server ends the session, or takes none yet."""


def told(error: psycopg.Error) -> StoreFault | None:
    """Answer the fault that an error is, or None where it is a mistake of ours."""
    known = _BY_STATE.get(error.sqlstate or "")
    if known is not None:
        return StoreFault(known[0], hint=known[1])
    if isinstance(error, psycopg.OperationalError) and connection_lost(error):
        return StoreFault(
            "The connection to Linkspan's PostgreSQL server was lost; nothing was written",
            hint="Look whether it runs, then try again.",
        )
    return None


def connection_lost(error: psycopg.OperationalError) -> bool:
    """Tell whether there is no session any more, rather than a statement that failed."""
    state = error.sqlstate
    return state is None or state.startswith("08") or state in _NO_CONNECTION


def outcome_unknown() -> OutcomeUnknown:
    """The fault of a connection that was lost in the very moment of keeping."""
    return OutcomeUnknown(
        "The connection to Linkspan's PostgreSQL server was lost while it kept a change: whether it was kept"
        " is not known",
        hint="Look at what is there now, then try again.",
    )


def no_connection(place: str, error: psycopg.Error) -> ConfigurationError:
    """The error at start, with what the server or the network said; a password is never part of that."""
    said = " ".join(str(error).split()) or type(error).__name__
    return ConfigurationError(
        f"{place} cannot be used as Linkspan's database: {said}",
        hint="Look at --database or LINKSPAN_DATABASE, and whether the server runs and lets this user in.",
    )
