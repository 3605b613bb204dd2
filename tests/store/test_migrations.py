"""Tables that are there once, whoever starts first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from linkspan.errors import ConfigurationError
from linkspan.store import tenants
from linkspan.store.migrations import MIGRATIONS, migrate
from linkspan.store.sqlite import SqliteDatabase, open_sqlite
from tests.store.processes import run_together


async def tables(db: SqliteDatabase) -> dict[str, set[str]]:
    """Answer the columns of every table."""
    found = await db.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {
        row["name"]: {
            column["name"]
            for column in await db.query(f"SELECT name FROM pragma_table_info('{row['name']}')")
        }
        for row in found
    }


async def test_eight_processes_that_start_at_once(tmp_path: Path) -> None:
    """Eight processes make and migrate one new database at the same moment, and all of them can write."""
    code = """
from linkspan.store import tenants

async def main(path, number):
    db = open_sqlite(path)
    await migrate(db)
    added = await tenants.add(db, f"tenant-{number}", 1.0)
    await db.aclose()
    return added
"""
    path = tmp_path / "home" / "linkspan.sqlite"
    assert run_together(code, path, count=8) == ["true"] * 8
    db = open_sqlite(path)
    assert len(await tenants.everyone(db)) == 8
    assert await db.query("SELECT number FROM migrations") == [
        {"number": number} for number in range(1, len(MIGRATIONS) + 1)
    ]
    await db.aclose()


async def test_every_table_has_a_tenant(db: SqliteDatabase) -> None:
    """Only what belongs to the installation has none."""
    without = {name for name, columns in (await tables(db)).items() if "tenant" not in columns}
    assert without == {"meta", "migrations"}


async def test_migrating_again_changes_nothing(db: SqliteDatabase) -> None:
    """A second start finds everything there and throws no cache away."""
    before = db.change_mark()
    await migrate(db)
    assert db.change_mark() == before


async def test_a_later_change_is_added_to_what_is_there(db: SqliteDatabase) -> None:
    """Rows stay when a newer program adds its tables."""
    await tenants.add(db, "acme", 1.0)
    await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant text, data {blob})",)))
    assert await tenants.exists(db, "acme")
    assert "news" in await tables(db)


async def test_a_change_that_fails_leaves_nothing(db: SqliteDatabase) -> None:
    """A migration is applied whole or not at all, and can be tried again."""
    before = await tables(db)
    with pytest.raises(sqlite3.OperationalError):
        await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant text)", "CREATE TABLE oh no")))
    assert await tables(db) == before
    await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant text)",)))


async def test_a_newer_database_is_refused(db: SqliteDatabase) -> None:
    """An older program says that it is older, and touches nothing."""
    newer = (*MIGRATIONS, ("CREATE TABLE news (tenant text)",))
    await migrate(db, migrations=newer)
    before = await tables(db)
    versions = f"version {len(newer)}.*knows version {len(MIGRATIONS)}"
    with pytest.raises(ConfigurationError, match=f"written by a newer Linkspan.*{versions}"):
        await migrate(db)
    assert await tables(db) == before
