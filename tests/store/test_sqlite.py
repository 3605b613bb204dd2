"""The embedded database: modes, transactions, the mark of change, and faults told plainly."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkspan.errors import ConfigurationError
from linkspan.store.database import StoreFault, Transaction
from linkspan.store.migrations import migrate
from linkspan.store.sqlite import SqliteDatabase, open_sqlite
from tests.store.processes import run_together

PUT = "INSERT INTO meta (name, value) VALUES (:name, :value)"


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


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def put(db: SqliteDatabase, name: str, **how: bool) -> None:
    await db.execute(PUT, {"name": name, "value": b"x"}, **how)


async def names(db: SqliteDatabase) -> list[str]:
    return [row["name"] for row in await db.query("SELECT name FROM meta ORDER BY name")]


async def pragma(db: SqliteDatabase, name: str) -> object:
    return (await db.transaction(lambda tx: tx.query(f"PRAGMA {name}")))[0][name]


async def test_files_are_the_owners_alone(db: SqliteDatabase, path: Path) -> None:
    """The database, its log and its index are 0600 and their directory is 0700, from the first moment."""
    await put(db, "a")
    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "linkspan.sqlite": 0o600,
        "linkspan.sqlite-wal": 0o600,
        "linkspan.sqlite-shm": 0o600,
    }


async def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    """A database that was copied with a wide mode is narrowed when it is opened."""
    path = tmp_path / "linkspan.sqlite"
    path.touch(mode=0o644)
    path.chmod(0o644)
    await open_sqlite(path).aclose()
    assert mode(path) == 0o600


async def test_settings_of_the_connection(db: SqliteDatabase) -> None:
    """The log is written ahead, references are checked, and what is deleted is overwritten."""
    assert await pragma(db, "journal_mode") == "wal"
    assert await pragma(db, "foreign_keys") == 1
    assert await pragma(db, "secure_delete") == 1


async def test_durable_writes_are_synced(db: SqliteDatabase) -> None:
    """A durable transaction waits for the disk; one that only reports does not, and neither sticks."""

    def synchronous(tx: Transaction) -> object:
        return tx.query("PRAGMA synchronous")[0]["synchronous"]

    seen = [await db.transaction(synchronous, durable=durable) for durable in (True, False, True)]
    assert seen == [2, 1, 2]


async def test_the_mark_moves_with_a_returning_clause(db: SqliteDatabase) -> None:
    """A write that is asked with `query` is a write like any other."""
    before = db.change_mark()
    await db.query(PUT + " RETURNING name", {"name": "a", "value": b"x"})
    assert db.change_mark() != before


async def test_the_mark_stays_while_nothing_changes(db: SqliteDatabase, other: SqliteDatabase) -> None:
    """Reading, and transactions that write nothing, throw no cache away."""
    before = db.change_mark()
    await db.query("SELECT * FROM meta")
    await other.transaction(lambda tx: tx.query("SELECT * FROM meta"))
    await other.execute("DELETE FROM meta WHERE name = 'not there'")
    assert db.change_mark() == before


async def test_the_mark_moves_with_our_own_write(db: SqliteDatabase) -> None:
    """A write of this process is seen as soon as it returns."""
    marks = [db.change_mark()]
    for name in "abc":
        await put(db, name)
        marks.append(db.change_mark())
    assert len(set(marks)) == 4


async def test_the_mark_moves_with_another_connections_write(
    db: SqliteDatabase, other: SqliteDatabase
) -> None:
    """A write of another connection is seen as soon as it is committed, and both see the same mark."""
    before = db.change_mark()
    await put(other, "a")
    assert db.change_mark() != before
    assert db.change_mark() == other.change_mark()


async def test_the_mark_moves_with_another_processes_write(db: SqliteDatabase, path: Path) -> None:
    """A write of another process is seen as soon as that process has its answer."""
    code = f"""
async def main(place, number):
    db = open_database(place)
    await db.execute({PUT!r}, {{"name": "a", "value": b"x"}})
    mark = db.change_mark()
    await db.aclose()
    return mark
"""
    before = db.change_mark()
    (theirs,) = await asyncio.to_thread(run_together, code, path, count=1)
    assert db.change_mark() == json.loads(theirs) != before


async def test_quiet_writes_leave_the_mark(db: SqliteDatabase, other: SqliteDatabase) -> None:
    """Rows that nobody caches throw no cache away, whoever writes them."""
    before = db.change_mark()
    await put(db, "a", quiet=True)
    await put(other, "b", quiet=True, durable=False)
    await other.execute_many(PUT, [{"name": "c", "value": b"x"}], quiet=True)
    assert db.change_mark() == before


async def test_a_write_that_is_undone_leaves_the_mark(db: SqliteDatabase) -> None:
    """The count is part of the transaction: rolled back with it."""
    before = db.change_mark()
    await put(db, "a")
    after = db.change_mark()
    with pytest.raises(sqlite3.IntegrityError):
        await put(db, "a")
    assert before != after == db.change_mark()


async def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Then nobody caches anything."""
    database = open_sqlite(tmp_path / "linkspan.sqlite")
    await database.aclose()
    assert database.change_mark() is None


async def test_a_full_disk_is_told_and_loses_nothing(db: SqliteDatabase) -> None:
    """The error says what is full and what to do; what was there stays, and with space writing goes on."""
    await put(db, "a")
    pages = await pragma(db, "page_count")
    await db.transaction(lambda tx: tx.query(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(StoreFault, match=r"disk .* is full; nothing was written") as told:
        await db.execute(PUT, {"name": "b", "value": bytes(100_000)})
    assert told.value.for_model().endswith("Free space on its disk, then try again.")
    assert await names(db) == ["a"]
    await db.transaction(lambda tx: tx.query("PRAGMA max_page_count = 1000000"))
    await put(db, "b")
    assert await names(db) == ["a", "b"]


async def test_a_disk_that_takes_no_more_is_told(db: SqliteDatabase, path: Path) -> None:
    """A write that the operating system refuses is told as a fault of the database, not as a traceback."""
    code = f"""
import resource, signal
from linkspan.store.database import StoreFault, Transaction

async def main(place, number):
    db = open_database(place)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    try:
        await db.execute({PUT!r}, {{"name": "b", "value": bytes(8_000_000)}})
    except StoreFault as fault:
        answer = fault.message
    await db.execute({PUT!r}, {{"name": "a", "value": b"x"}})
    await db.aclose()
    return answer
"""
    (answer,) = run_together(code, path, count=1)
    assert "nothing was written" in answer
    assert await names(db) == ["a"]


async def test_a_read_only_database_is_told(db: SqliteDatabase) -> None:
    """The error says that it is read-only, and reading goes on."""
    await put(db, "a")
    await db.transaction(lambda tx: tx.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreFault, match="read-only; nothing was written"):
        await put(db, "b")
    assert await names(db) == ["a"]


async def test_a_database_that_stays_locked_is_told(db: SqliteDatabase, path: Path) -> None:
    """Another program that never ends its transaction is named after the time-out; reading goes on."""
    hasty = open_sqlite(path, busy_timeout=0.05)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFault, match="locked by another process"):
        await put(hasty, "a")
    assert await names(hasty) == []
    blocker.execute("ROLLBACK")
    blocker.close()
    await put(hasty, "a")
    await hasty.aclose()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The error at start names the path and the way out."""
    path = tmp_path / "linkspan.sqlite"
    path.write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(
        ConfigurationError, match=r"linkspan\.sqlite cannot be used .* not a database"
    ) as told:
        open_sqlite(path)
    assert "--home" in told.value.for_model()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file is refused with the path."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be used as Linkspan's database"):
        open_sqlite(tmp_path / "file" / "linkspan.sqlite")
