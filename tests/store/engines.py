"""The engines that a test of the store runs on, and how each is made to fail."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from linkspan.store.database import Database, Row
from linkspan.store.engines import Place, open_database
from linkspan.store.migrations import migrate

REFUSED: Final = (sqlite3.IntegrityError, psycopg.IntegrityError)
"""What the engines raise for a row that breaks a rule of its table."""
ON_BOTH: Final = ["sqlite", pytest.param("postgres", marks=pytest.mark.e2e)]
on_sqlite: Final = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
"""For what only the embedded engine does, such as telling whether anything changed."""
on_postgres: Final = pytest.mark.parametrize("engine", ON_BOTH[1:], indirect=True)


class Engine(ABC):
    """A place for a database, empty at first."""

    place: Place

    def open(self) -> Database:
        """Open it as another process would."""
        return open_database(self.place)

    async def migrated(self) -> Database:
        """Open it with all tables."""
        database = self.open()
        await migrate(database)
        return database

    @abstractmethod
    async def columns(self, db: Database) -> dict[str, set[str]]:
        """Answer the columns of every table."""

    @abstractmethod
    async def byte_columns(self, db: Database) -> set[tuple[str, str]]:
        """Answer every table and column that holds bytes."""

    @abstractmethod
    async def fill_disk(self, db: Database) -> None:
        """Let it take no more rows."""

    @abstractmethod
    async def free_disk(self, db: Database) -> None:
        """Undo that."""

    @abstractmethod
    async def make_read_only(self, db: Database) -> None:
        """Let it take no writes of this connection."""

    @abstractmethod
    async def stored(self, db: Database) -> bytes:
        """Answer everything that it keeps, as it keeps it."""


class Sqlite(Engine):
    """A file."""

    def __init__(self, path: Path) -> None:
        self.place = self.path = path

    async def columns(self, db: Database) -> dict[str, set[str]]:
        """Answer the columns of every table."""
        found = await db.query(
            "SELECT m.name, c.name AS column_name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
        )
        return _by_table(found, "name")

    async def byte_columns(self, db: Database) -> set[tuple[str, str]]:
        """Answer every table and column that holds bytes."""
        found = await db.query(
            "SELECT m.name, c.name AS column_name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND lower(c.type) = 'blob'"
        )
        return {(row["name"], row["column_name"]) for row in found}

    async def fill_disk(self, db: Database) -> None:
        """Let it take no page more than it has."""
        count = (await db.transaction(lambda tx: tx.query("PRAGMA page_count")))[0]["page_count"]
        await db.transaction(lambda tx: tx.query(f"PRAGMA max_page_count = {count}"))

    async def free_disk(self, db: Database) -> None:
        """Let it take many pages."""
        await db.transaction(lambda tx: tx.query("PRAGMA max_page_count = 1000000"))

    async def make_read_only(self, db: Database) -> None:
        """Let the connection only query."""
        await db.transaction(lambda tx: tx.execute("PRAGMA query_only = ON"))

    async def stored(self, db: Database) -> bytes:
        """Answer the bytes of the database, its log and its index."""
        folder = self.path.parent
        files = await asyncio.to_thread(
            lambda: [file.read_bytes() for file in folder.glob("linkspan.sqlite*")]
        )
        return b"\n".join(files)


class Postgres(Engine):
    """A schema; a trigger on every table answers what the server would."""

    def __init__(self, url: str) -> None:
        self.place = url

    async def columns(self, db: Database) -> dict[str, set[str]]:
        """Answer the columns of every table."""
        found = await db.query(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema()"
        )
        return _by_table(found, "table_name")

    async def byte_columns(self, db: Database) -> set[tuple[str, str]]:
        """Answer every table and column that holds bytes."""
        found = await db.query(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND data_type = 'bytea'"
        )
        return {(row["table_name"], row["column_name"]) for row in found}

    async def fill_disk(self, db: Database) -> None:
        """Let every write end with the server's code for a full disk."""
        await self._refuse(db, "53100")

    async def free_disk(self, db: Database) -> None:
        """Take the triggers away."""
        await db.execute("DROP FUNCTION refuse CASCADE")

    async def make_read_only(self, db: Database) -> None:
        """Let every write end with the server's code for a standby."""
        await self._refuse(db, "25006")

    async def stored(self, db: Database) -> bytes:
        """Answer all rows, bytes as they are."""
        rows = [await db.query(f"SELECT * FROM {table}") for table in await self.columns(db)]
        return b"\n".join(_bytes(value) for found in rows for row in found for value in row.values())

    async def _refuse(self, db: Database, state: str) -> None:
        await db.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$"
        )
        for table in await self.columns(db):
            await db.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
            )


def _by_table(rows: list[Row], name: str) -> dict[str, set[str]]:
    tables: dict[str, set[str]] = {}
    for row in rows:
        tables.setdefault(row[name], set()).add(row["column_name"])
    return tables


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()
