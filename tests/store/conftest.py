"""A migrated database on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from linkspan.store.database import Database
from tests.store.engines import Engine


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    """A database with all tables."""
    database = await engine.migrated()
    yield database
    await database.aclose()


@pytest.fixture
async def other(db: Database, engine: Engine) -> AsyncIterator[Database]:
    """The same database as another process has it."""
    database = engine.open()
    yield database
    await database.aclose()
