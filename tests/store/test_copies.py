"""Backups, their return, and the move from SQLite to PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbos import DBOS

from linkspan.errors import ConfigurationError
from linkspan.store import accounts, audit, data_keys, run_turns, starts, tenants, tokens
from linkspan.store.copies import Copy, back_up, move, refuse_if_moved, restore
from linkspan.store.data_keys import StoredKey
from linkspan.store.database import Database, StoreFault
from linkspan.store.migrations import migrate
from linkspan.store.sqlite import SqliteDatabase, open_sqlite
from tests.store.engines import Engine, on_postgres
from tests.store.processes import run_together
from tests.store.rows import account, entry, run, token


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """An SQLite file with something in it, which nobody has open."""
    path = tmp_path / "embedded" / "linkspan.sqlite"
    db = open_sqlite(path)
    await migrate(db)
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
        await data_keys.keep_first(db, StoredKey(name, b"1234", b"wrapped", 0.1 + 0.2))
        await accounts.insert(db, account(name, sealed=bytes(range(256)), identity_label="ü\0"))
        await tokens.insert(db, token(name, id=f"{name}00000000"))
        writer = audit.AuditWriter(db)
        for number in range(3):
            await writer.write(entry(name, entity_id=str(number)))
    await db.aclose()
    return path


@pytest.fixture
async def file(path: Path) -> AsyncIterator[SqliteDatabase]:
    """The same, open."""
    db = open_sqlite(path)
    yield db
    await db.aclose()


def found_in(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()}


async def test_a_backup_is_one_file_of_the_owners_own(
    file: SqliteDatabase, path: Path, tmp_path: Path
) -> None:
    """Mode 0600, no log beside it, the rows that were there, and what is written later is not in it."""
    target = tmp_path / "backup.sqlite"
    rows = back_up(path, target)
    await tenants.add(file, "carol", 2.0)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert found_in(tmp_path) == {"embedded", "backup.sqlite"}
    assert (rows["tenants"], rows["audit"], rows["accounts"]) == (2, 6, 2)
    assert await Copy(target).query("SELECT tenant FROM tenants ORDER BY tenant") == [
        {"tenant": "acme"},
        {"tenant": "bolt"},
    ]


async def test_a_backup_is_of_one_moment(path: Path, file: SqliteDatabase, tmp_path: Path) -> None:
    """Two rows that are always written together are never found apart, however often it is made."""
    await file.execute("INSERT INTO meta (name, value) VALUES ('a', :zero), ('b', :zero)", {"zero": b"0"})
    stop = threading.Event()

    def write() -> None:
        connection = sqlite3.connect(path, timeout=10, isolation_level=None)
        count = 0
        while not stop.is_set():
            count += 1
            connection.execute("BEGIN IMMEDIATE")
            for name in ("a", "b"):
                connection.execute("UPDATE meta SET value = ? WHERE name = ?", (str(count).encode(), name))
            connection.execute("COMMIT")
        connection.close()

    writing = asyncio.ensure_future(asyncio.to_thread(write))
    seen = set()
    for number in range(20):
        target = tmp_path / f"{number}.sqlite"
        await asyncio.to_thread(back_up, path, target)
        one, other = await Copy(target).query("SELECT value FROM meta ORDER BY name")
        assert one == other
        seen.add(one["value"])
    stop.set()
    await writing
    assert len(seen) > 1


async def test_a_backup_writes_over_nothing(file: SqliteDatabase, path: Path, tmp_path: Path) -> None:
    """Not even over an older backup."""
    target = tmp_path / "backup.sqlite"
    target.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="is there already"):
        back_up(path, target)
    assert target.read_bytes() == b"precious"
    assert found_in(tmp_path) == {"embedded", "backup.sqlite"}


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Neither is an empty one made."""
    with pytest.raises(ConfigurationError, match="There is no database at"):
        back_up(tmp_path / "linkspan.sqlite", tmp_path / "backup.sqlite")
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_is_full_leaves_no_half_backup(file: SqliteDatabase, path: Path) -> None:
    """The error says so, and nothing is there."""
    await file.execute("INSERT INTO meta (name, value) VALUES ('big', :value)", {"value": bytes(2_000_000)})
    code = """
import resource, signal
from linkspan.errors import ConfigurationError
from linkspan.store.copies import back_up

async def main(place, number):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
    try:
        back_up(place, place.with_name("backup.sqlite"))
    except ConfigurationError as error:
        return error.for_model()
"""
    (answer,) = run_together(code, path, count=1)
    assert "cannot be made" in answer
    assert "space of its disk" in answer
    assert found_in(path.parent) == {"linkspan.sqlite", "linkspan.sqlite-wal", "linkspan.sqlite-shm"}


async def test_what_was_backed_up_comes_back(file: SqliteDatabase, path: Path, tmp_path: Path) -> None:
    """Every row, in a home that is new."""
    rows = back_up(path, tmp_path / "backup.sqlite")
    target = tmp_path / "new home" / "linkspan.sqlite"
    assert restore(tmp_path / "backup.sqlite", target) == rows
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
    db = open_sqlite(target)
    await migrate(db)
    assert await accounts.of_tenant(db, "acme") == await accounts.of_tenant(file, "acme")
    await db.aclose()


@pytest.mark.parametrize("left", ["linkspan.sqlite", "linkspan.sqlite-wal", "linkspan.sqlite-shm"])
async def test_a_restore_writes_over_nothing(
    file: SqliteDatabase, path: Path, tmp_path: Path, left: str
) -> None:
    """Neither a database nor the log of one, which would be taken for the backup's."""
    back_up(path, tmp_path / "backup.sqlite")
    (tmp_path / left).write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match=r"is there already.*never put over a database"):
        restore(tmp_path / "backup.sqlite", tmp_path / "linkspan.sqlite")
    assert (tmp_path / left).read_bytes() == b"precious"


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_a_backup_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing is made of it."""
    (tmp_path / "backup").write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no database of Linkspan"):
        restore(tmp_path / "backup", tmp_path / "linkspan.sqlite")
    assert [found.name for found in tmp_path.iterdir()] == ["backup"]


async def test_a_damaged_backup_is_refused(file: SqliteDatabase, path: Path, tmp_path: Path) -> None:
    """Before anything starts with it."""
    await file.execute("INSERT INTO meta (name, value) VALUES ('big', :value)", {"value": bytes(100_000)})
    target = tmp_path / "backup.sqlite"
    back_up(path, target)
    content = bytearray(target.read_bytes())
    content[8192 : len(content) - 8192] = b"\xff" * (len(content) - 16384)
    target.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"damaged|cannot be made|malformed"):
        restore(target, tmp_path / "linkspan.sqlite")
    assert not (tmp_path / "linkspan.sqlite").exists()


@on_postgres
async def test_a_move_takes_every_row(path: Path, db: Database) -> None:
    """The same rows, bytes and numbers are in PostgreSQL, and keys are counted on from there."""
    file = open_sqlite(path)
    expected = {
        "accounts": await accounts.of_tenant(file, "acme"),
        "tokens": await tokens.of_tenant(file, "acme"),
        "audit": await audit.find(file, "acme"),
        "keys": await data_keys.of_tenant(file, "acme"),
    }
    await file.aclose()
    moved = await move(path, db)
    assert (moved["tenants"], moved["accounts"], moved["audit"]) == (2, 2, 6)
    (label,) = {found.identity_label for found in await accounts.of_tenant(db, "acme")}
    assert label == "ü␀"  # what PostgreSQL cannot hold is shown as a sign
    assert expected["tokens"] == await tokens.of_tenant(db, "acme")
    assert expected["audit"] == await audit.find(db, "acme")
    assert expected["keys"] == await data_keys.of_tenant(db, "acme")
    await audit.AuditWriter(db).write(entry("acme", entity_id="new"))
    assert (await audit.find(db, "acme"))[0].id == 7


@on_postgres
async def test_a_move_leaves_the_journal_of_runs_behind(path: Path, db: Database) -> None:
    """Its tables are another program's; what is ours is moved beside it, runs among it."""
    file = open_sqlite(path)
    await starts.add(file, run("acme"))
    await file.aclose()
    DBOS.migrate(f"sqlite:///{path}")
    moved = await move(path, db)
    assert moved["runs"] == 1
    assert not [table for table in moved if "workflow" in table]
    assert await run_turns.going_on(db) == [("acme", "run_1")]


@on_postgres
async def test_a_moved_file_is_not_used_any_more(path: Path, db: Database) -> None:
    """Whoever starts with it is told where everything is; it is not moved twice."""
    await move(path, db)
    with pytest.raises(ConfigurationError, match=r"was moved to postgresql://linkspan@/tmp/"):
        await move(path, db)
    again = open_sqlite(path)
    with pytest.raises(ConfigurationError, match="would be lost") as told:
        await refuse_if_moved(again)
    assert "LINKSPAN_DATABASE" in told.value.for_model()
    await again.aclose()
    await refuse_if_moved(db)


@on_postgres
async def test_a_file_that_is_open_elsewhere_is_not_moved(
    file: SqliteDatabase, path: Path, db: Database
) -> None:
    """Not while another process serves from it, though it writes nothing at the moment."""
    with pytest.raises(ConfigurationError, match="is open in another process; nothing was copied"):
        await move(path, db)
    assert await tenants.everyone(db) == []
    await file.execute("DELETE FROM tokens")


@on_postgres
async def test_a_target_that_holds_something_is_refused(path: Path, db: Database) -> None:
    """It stays as it is, and the file is not marked."""
    await tenants.add(db, "there", 1.0)
    with pytest.raises(ConfigurationError, match=r"is not empty: tenants has 1 rows; nothing was copied"):
        await move(path, db)
    assert await tenants.everyone(db) == [("there", 1.0)]
    again = open_sqlite(path)
    await refuse_if_moved(again)
    await again.aclose()


@on_postgres
async def test_a_move_that_fails_leaves_nothing(path: Path, db: Database, engine: Engine) -> None:
    """A full disk at the server in the middle of it: the target is empty, and it can be tried again."""
    await db.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"
    )
    await db.execute(
        "CREATE TRIGGER full_disk BEFORE INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    with pytest.raises(StoreFault, match=r"disk .* is full; nothing was written"):
        await move(path, db)
    assert await tenants.everyone(db) == []
    await db.execute("DROP FUNCTION full_disk CASCADE")
    assert (await move(path, db))["tokens"] == 2
