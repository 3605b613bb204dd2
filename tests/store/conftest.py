"""A migrated database in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkspan.store.migrations import migrate
from linkspan.store.sqlite import SqliteDatabase, open_sqlite


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "home" / "linkspan.sqlite"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[SqliteDatabase]:
    """A database with all tables."""
    database = open_sqlite(path)
    await migrate(database)
    yield database
    await database.aclose()


@pytest.fixture
async def other(db: SqliteDatabase, path: Path) -> AsyncIterator[SqliteDatabase]:
    """The same database as another process has it."""
    database = open_sqlite(path)
    yield database
    await database.aclose()
