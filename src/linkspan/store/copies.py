"""Whole copies of a database: a backup of the SQLite file, its return, and the move to PostgreSQL.

Which tables there are is read off the database, in an order in which none refers to a later one, so that a
new table is copied without being named here.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from linkspan.errors import ConfigurationError
from linkspan.store.database import NOTHING, Database, Parameters, Row, Transaction

MOVED: Final = "moved_to"
"""The named value of a database that was moved: where to."""
_BATCH = 500
_OWN: Final = ("migrations",)
"""What the target has of its own."""
_TARGET_TABLES: Final = (
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema()"
)


def back_up(source: Path, target: Path) -> Mapping[str, int]:
    """Copy the SQLite file as it is at one moment, while others write; answer the rows of each table.

    The copy is one file, readable by its owner alone, and it appears whole or not at all. Raises
    `ConfigurationError` when there is nothing to copy, when the target is there or cannot be written.
    """
    if not source.exists():
        raise ConfigurationError(f"There is no database at {source}", hint="Name its home with --home.")
    return _copy(source, target, "backup")


def restore(source: Path, target: Path) -> Mapping[str, int]:
    """Put a backup where the database was; answer the rows of each table.

    Nothing is ever written over. Raises `ConfigurationError` when something is there, or the backup is none.
    """
    if not source.exists():
        raise ConfigurationError(f"There is no backup at {source}")
    for left in (target, *(target.with_name(target.name + end) for end in ("-wal", "-shm"))):
        if left.exists():
            raise ConfigurationError(
                f"{left} is there already, and a backup is never put over a database",
                hint="Stop every process of Linkspan, move it away, and restore again.",
            )
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _copy(source, target, "database")


class Copy:
    """A database's file that is only read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT."""
        return await asyncio.to_thread(self._query, sql, parameters)

    def _query(self, sql: str, parameters: Parameters) -> list[Row]:
        with closing(_reading(self._path)) as connection:
            cursor = connection.execute(sql, dict(parameters))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


async def move(source: Path, target: Database) -> Mapping[str, int]:
    """Copy every row of the SQLite file to an empty database; answer the rows of each table.

    The file is locked meanwhile, and refused while any process has it open. Everything is copied in one
    transaction, which ends only when both sides have the same counts; the file says from then on where it
    went. Raises `ConfigurationError`.
    """
    with _locked(source) as connection:
        _refuse_moved(connection.execute("SELECT value FROM meta WHERE name = ?", (MOVED,)).fetchone())

        def work(tx: Transaction) -> Mapping[str, int]:
            # What only the file has is the journal of runs: it stays, and runs that go on begin a new one.
            known = {row["name"] for row in tx.query(_TARGET_TABLES)}
            tables = [table for table in _tables(connection) if table in known]
            for table in tables:
                (row,) = tx.query(f"SELECT count(*) AS count FROM {table}")  # noqa: S608
                if row["count"]:
                    raise ConfigurationError(
                        f"{target.place} is not empty: {table} has {row['count']} rows; nothing was copied",
                        hint="Name an empty database.",
                    )
            for table in tables:
                _copy_rows(connection, tx, table)
            _count_on(connection, tx)
            moved = _counts(connection)
            there = {
                table: int(tx.query(f"SELECT count(*) AS count FROM {table}")[0]["count"])  # noqa: S608
                for table in tables
            }
            if there != {table: moved[table] for table in tables}:
                raise ConfigurationError(f"The copy has other counts than the file: {there} and {moved}")
            return there

        done = await target.transaction(work, alone=True)
        connection.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (MOVED, target.place.encode())
        )
        connection.commit()
        return done


async def refuse_if_moved(db: Database) -> None:
    """Raise `ConfigurationError` for a database that is kept elsewhere by now."""
    rows = await db.query("SELECT value FROM meta WHERE name = :name", {"name": MOVED})
    _refuse_moved((rows[0]["value"],) if rows else None)


def _refuse_moved(found: tuple[bytes] | None) -> None:
    """Raise `ConfigurationError` where the named value is there."""
    if found is not None:
        raise ConfigurationError(
            f"This database was moved to {found[0].decode()}: what is written here would be lost",
            hint="Set LINKSPAN_DATABASE to that one. To go back, restore a backup from before the move.",
        )


def _copy(source: Path, target: Path, what: str) -> Mapping[str, int]:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(_reading(source)) as reading, closing(sqlite3.connect(draft)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            (said,) = writing.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise ConfigurationError(f"{source} is damaged: {said}", hint="Take an older backup.")
            there = _counts(writing)
        _appear(draft, target)
    except FileExistsError as error:
        raise ConfigurationError(f"{target} is there already, and is not written over") from error
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(
            f"The {what} {target} cannot be made of {source}: {error}; nothing is there",
            hint="Look at the space of its disk, and whether the backup is whole.",
        ) from error
    finally:
        for left in (draft, draft.with_name(f"{draft.name}-journal")):
            with suppress(FileNotFoundError):
                left.unlink()
    return there


def _appear(draft: Path, target: Path) -> None:
    handle = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.link(draft, target)  # unlike a rename, this never takes another's place
    handle = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
            raise ConfigurationError(f"{path} is no database of Linkspan")
    except sqlite3.Error as error:
        connection.close()
        raise ConfigurationError(f"{path} is no database of Linkspan: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for this process alone (sqlite.org/pragma.html, locking_mode)."""
    with closing(_reading(path)):
        pass
    with closing(sqlite3.connect(path, timeout=0, check_same_thread=False)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise ConfigurationError(
                f"{path} is open in another process; nothing was copied",
                hint="Stop every process of Linkspan (serve, stdio), and move again.",
            ) from error
        yield connection


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Answer the tables, none before one that it refers to."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    left = {
        name: {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({name})")} - {name}
        for (name,) in found.fetchall()
        if name not in _OWN
    }
    ordered: list[str] = []
    while left:
        free = [name for name, others in left.items() if others <= set(ordered)]
        ordered += free
        left = {name: others for name, others in left.items() if name not in free}
    return ordered


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    return {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        for table in _tables(connection)
    }


def _copy_rows(connection: sqlite3.Connection, tx: Transaction, table: str) -> None:
    cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608
    names = [column[0] for column in cursor.description]
    insert = (
        f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608
        f" VALUES ({', '.join(f':{name}' for name in names)})"
    )
    while batch := cursor.fetchmany(_BATCH):
        rows: list[Row] = [dict(zip(names, row, strict=True)) for row in batch]
        tx.execute_many(insert, rows)


def _count_on(connection: sqlite3.Connection, tx: Transaction) -> None:
    """Let PostgreSQL count its keys on from where SQLite is."""
    last = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    counted = tx.query(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND is_identity = 'YES'"
    )
    for row in counted:
        tx.query(
            "SELECT setval(pg_get_serial_sequence(:table_name, :column_name), :last, :used) AS last",
            {**row, "last": max(last.get(row["table_name"], 0), 1), "used": row["table_name"] in last},
        )
