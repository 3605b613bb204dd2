"""SQLite, the embedded default: one connection on a thread of its own, and a second one that only watches.

WAL, so that readers never wait for a writer of another process. `synchronous` is FULL for every write that is
durable, and NORMAL for the others (store/database.py says which): a commit under NORMAL survives a killed
process, but the last of them may be missing after a power cut.

`PRAGMA user_version` counts the writes that are not quiet, inside their own transaction, so it is true for
all processes. `change_mark` reads it on the watching connection, and only when `PRAGMA data_version`, which
is a look into shared memory, says that anybody committed anything since the last time.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from linkspan.errors import ConfigurationError
from linkspan.store.database import NOTHING, Parameters, Row, StoreFault, Transaction

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")
SQLITE_TYPES = {"blob": "blob", "serial": "integer PRIMARY KEY AUTOINCREMENT", "text": "text"}
_BUSY_TIMEOUT = 10.0
_WAL_PAUSE = 0.02
_NAMED = re.compile(r"'(?:[^']|'')*'|(?<!:):([a-z_][a-z0-9_]*)")
_FREE_SPACE = "Free space on its disk, then try again."
_FAULTS = {
    sqlite3.SQLITE_FULL: ("The disk of Linkspan's database is full; nothing was written", _FREE_SPACE),
    sqlite3.SQLITE_READONLY: (
        "Linkspan's database is read-only; nothing was written",
        "Make its file and its directory writable for the user that Linkspan runs as.",
    ),
    sqlite3.SQLITE_BUSY: (
        "Linkspan's database is locked by another process; nothing was written",
        "Try again; if it stays, look for a program that keeps the file open in a transaction.",
    ),
    sqlite3.SQLITE_IOERR: (
        "The disk of Linkspan's database does not answer as it should; nothing was written",
        "Look at the disk's space and health, then try again.",
    ),
    sqlite3.SQLITE_CORRUPT: ("Linkspan's database is damaged", "Restore it from a backup."),
    sqlite3.SQLITE_NOTADB: ("Linkspan's database is not an SQLite file", "Restore it from a backup."),
    sqlite3.SQLITE_CANTOPEN: (
        "Linkspan's database cannot be opened",
        "Make its directory readable and writable for the user that Linkspan runs as.",
    ),
}


def open_sqlite(path: Path, *, busy_timeout: float = _BUSY_TIMEOUT) -> SqliteDatabase:
    """Open the database, and make it (0600, its directory 0700) if it is not there.

    `busy_timeout` is how many seconds a write waits for another process's write. Raises `ConfigurationError`
    that names the path when it cannot be used.
    """
    return SqliteDatabase(path, busy_timeout=busy_timeout)


class SqliteDatabase:
    """A `Database` over one SQLite file. `change_mark` is for one thread: the event loop's."""

    column_types = SQLITE_TYPES

    def __init__(self, path: Path, *, busy_timeout: float = _BUSY_TIMEOUT) -> None:
        self.place = str(path)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="linkspan-store")
        self._durable = True
        self._seen: int | None = None
        self._mark: int | None = None
        self._is_looked_up = False
        try:
            _make_file(path)
            self._db = self._executor.submit(_open, path, busy_timeout).result()
            self._watch = _connect(path, busy_timeout)
            self._watch.execute("PRAGMA query_only = ON")
        except (OSError, sqlite3.Error) as error:
            self._executor.shutdown()
            raise ConfigurationError(
                f"{path} cannot be used as Linkspan's database: {error}",
                hint="Name another place with --home or LINKSPAN_HOME, or mend this one.",
            ) from error

    async def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        if sql.lstrip()[:6].upper() == "SELECT":
            return await self._run(lambda: _rows(self._db, sql, parameters))
        return await self.transaction(lambda tx: tx.query(sql, parameters))

    async def execute(
        self, sql: str, parameters: Parameters = NOTHING, *, durable: bool = True, quiet: bool = False
    ) -> int:
        """Run one statement in a transaction of its own and answer how many rows it touched."""
        return await self.transaction(lambda tx: tx.execute(sql, parameters), durable=durable, quiet=quiet)

    async def execute_many(
        self, sql: str, rows: Sequence[Parameters], *, durable: bool = True, quiet: bool = False
    ) -> None:
        """Run one statement for every row, all in one transaction."""
        await self.transaction(lambda tx: tx.execute_many(sql, rows), durable=durable, quiet=quiet)

    async def transaction(
        self,
        work: Callable[[Transaction], T],
        *,
        durable: bool = True,
        quiet: bool = False,
        alone: bool = False,  # noqa: ARG002
    ) -> T:
        """Run `work` in one write transaction, alone (BEGIN IMMEDIATE); it is rolled back when it raises."""
        return await self._run(lambda: self._transact(work, durable=durable, quiet=quiet))

    def change_mark(self) -> int | None:
        """The count of writes that were not quiet, of all processes; None when it cannot be read.

        It is looked up once in a turn of the event loop, since calls that are answered in one turn cannot
        know which of them came first. Whoever waits for a write is woken in a later turn.
        """
        if self._is_looked_up:
            return self._mark
        try:
            (seen,) = self._watch.execute("PRAGMA data_version").fetchone()
            if seen != self._seen:
                (self._mark,) = self._watch.execute("PRAGMA user_version").fetchone()
                self._seen = seen
        except sqlite3.Error:
            self._seen = None
            return None
        asyncio.get_running_loop().call_soon(self._look_again)
        self._is_looked_up = True
        return self._mark

    def _look_again(self) -> None:
        self._is_looked_up = False

    async def aclose(self) -> None:
        """Finish what is queued and close."""
        self._watch.close()
        await self._run(self._db.close)
        self._executor.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, _told, work)

    def _transact(self, work: Callable[[Transaction], T], *, durable: bool, quiet: bool) -> T:
        connection = self._db.conn
        if durable is not self._durable:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._db.execute("BEGIN IMMEDIATE")
        try:
            before = connection.total_changes
            result = work(_SqliteTransaction(self._db))
            if not quiet and connection.total_changes != before:
                (count,) = connection.execute("PRAGMA user_version").fetchone()
                connection.execute(f"PRAGMA user_version = {(count + 1) & 0x7FFFFFFF}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return result


class _SqliteTransaction:
    def __init__(self, db: sqlite_utils.Database) -> None:
        self._db = db

    def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        return _rows(self._db, sql, parameters)

    def execute(self, sql: str, parameters: Parameters = NOTHING) -> int:
        return self._db.execute(*_in_order(sql, parameters)).rowcount

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        numbered, names = _numbered(sql)
        self._db.conn.executemany(numbered, [tuple([row[name] for name in names]) for row in rows])


def _in_order(sql: str, parameters: Parameters) -> tuple[str, tuple[Any, ...]]:
    numbered, names = _numbered(sql)
    return numbered, tuple([parameters[name] for name in names])


@lru_cache(maxsize=512)
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Answer a statement with `?` for every `:name` outside a literal, and the names in their order.

    SQLite finds the name of each parameter by looking through all names before it: with the 864 of a large
    insert of audit rows that is four fifths of its time.
    """
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return found[0]
        names.append(name)
        return "?"

    return _NAMED.sub(place, sql), tuple(names)


def _rows(db: sqlite_utils.Database, sql: str, parameters: Parameters) -> list[Row]:
    cursor = db.execute(*_in_order(sql, parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _told(work: Callable[[], T]) -> T:
    try:
        return work()
    except sqlite3.Error as error:
        # Extended codes hold the plain one in their low byte (sqlite.org/rescode.html).
        fault = _FAULTS.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF)
        if fault is None:
            raise
        message, hint = fault
        raise StoreFault(message, hint=hint) from error


def _make_file(path: Path) -> None:
    """Make the file before SQLite does: nobody else reads it for even a moment. -wal and -shm follow it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)


def _open(path: Path, busy_timeout: float) -> sqlite_utils.Database:
    import sqlite_utils

    connection = _connect(path, busy_timeout)
    try:
        db = sqlite_utils.Database(connection, execute_plugins=False)
        _switch_to_wal(db, attempts=max(1, round(busy_timeout / _WAL_PAUSE)))
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "trusted_schema = OFF",
        ):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return db


def _switch_to_wal(db: sqlite_utils.Database, attempts: int) -> None:
    """Two processes that do this at once lock each other out, and SQLite does not wait then: so we do."""
    for attempt in range(1, attempts + 1):
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == attempts:
                raise
            time.sleep(_WAL_PAUSE)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"its file system has no write-ahead log (journal mode {mode})")
        return
