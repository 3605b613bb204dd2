"""Tables that are there once, whoever starts first."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from linkspan.errors import ConfigurationError
from linkspan.store import tenants
from linkspan.store.database import Database
from linkspan.store.migrations import MIGRATIONS, migrate
from tests.store.engines import Engine, on_postgres, on_sqlite
from tests.store.processes import run_together


async def test_eight_processes_that_start_at_once(engine: Engine) -> None:
    """Eight processes make and migrate one new database at the same moment, and all of them can write."""
    code = """
from linkspan.store import tenants

async def main(place, number):
    db = open_database(place)
    await migrate(db)
    added = await tenants.add(db, f"tenant-{number}", 1.0)
    await db.aclose()
    return added
"""
    assert run_together(code, engine.place, count=8) == ["true"] * 8
    db = engine.open()
    assert len(await tenants.everyone(db)) == 8
    assert await db.query("SELECT number FROM migrations ORDER BY number") == [
        {"number": number} for number in range(1, len(MIGRATIONS) + 1)
    ]
    await db.aclose()


async def test_every_table_has_a_tenant(db: Database, engine: Engine) -> None:
    """Only what belongs to the installation has none."""
    without = {name for name, columns in (await engine.columns(db)).items() if "tenant" not in columns}
    assert without == {"console_sessions", "meta", "migrations", "replicas", "workers"}


@on_sqlite
async def test_migrating_again_changes_nothing(db: Database) -> None:
    """A second start finds everything there and throws no cache away."""
    before = db.change_mark()
    await migrate(db)
    assert db.change_mark() == before


async def test_a_later_change_is_added_to_what_is_there(db: Database, engine: Engine) -> None:
    """Rows stay when a newer program adds its tables."""
    await tenants.add(db, "acme", 1.0)
    await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant {text}, data {blob})",)))
    assert await tenants.exists(db, "acme")
    assert "news" in await engine.columns(db)


async def test_a_change_that_fails_leaves_nothing(db: Database, engine: Engine) -> None:
    """A migration is applied whole or not at all, and can be tried again."""
    before = await engine.columns(db)
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.SyntaxError)):
        await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant text)", "CREATE TABLE oh no")))
    assert await engine.columns(db) == before
    await migrate(db, migrations=(*MIGRATIONS, ("CREATE TABLE news (tenant text)",)))


async def test_a_newer_database_is_refused(db: Database, engine: Engine) -> None:
    """An older program says that it is older, and touches nothing."""
    newer = (*MIGRATIONS, ("CREATE TABLE news (tenant text)",))
    await migrate(db, migrations=newer)
    before = await engine.columns(db)
    versions = f"version {len(newer)}.*knows version {len(MIGRATIONS)}"
    with pytest.raises(ConfigurationError, match=f"written by a newer Linkspan.*{versions}"):
        await migrate(db)
    assert await engine.columns(db) == before


@on_postgres
async def test_text_sorts_as_in_sqlite(db: Database) -> None:
    """Every text column says so itself, whatever the server's own rules are: write {text} in a migration."""
    columns = await db.query(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND data_type = 'text'"
    )
    assert columns
    assert [column for column in columns if column["collation_name"] != "C"] == []
