"""Which engine a place means: a URL is PostgreSQL's, a path SQLite's."""

from __future__ import annotations

from pathlib import Path

from linkspan.store.database import Database
from linkspan.store.sqlite import open_sqlite

Place = Path | str


def open_database(place: Place) -> Database:
    """Open the database at a path, or at a URL that begins with `postgresql://`.

    Raises `ConfigurationError` that names the place, and never a password.
    """
    if isinstance(place, Path):
        return open_sqlite(place)
    from linkspan.store.postgres import open_postgres

    return open_postgres(place)


def password_in(url: str) -> str | None:
    """Answer the password that a database's URL holds, if any, so that logs can be kept free of it."""
    from linkspan.store.postgres import password_in as read

    return read(url)
