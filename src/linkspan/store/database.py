"""The one port to a database: SQLite embedded, PostgreSQL for a fleet, the same SQL for both.

The subset: `INSERT … ON CONFLICT`, `RETURNING`, `text | integer | double precision | {blob}` columns, epoch
seconds as float, JSON as text, named `:parameters`. Times come from the caller, never from the database.

Two words say how a write is made, and both are safe when left out:
- `durable=False`: may be lost when the machine (not the process) dies within moments of it. For rows that
  only report, such as the audit of reads; it saves the fsync, which costs more than the rest of the write.
- `quiet=True`: leaves `change_mark` as it is. For rows that nobody caches, such as audit and calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from linkspan.errors import Internal

Row = dict[str, Any]
Parameters = Mapping[str, Any]
T = TypeVar("T")
NOTHING: Parameters = MappingProxyType({})


class StoreFault(Internal):
    """The database cannot do it now: full, read-only, busy or damaged. Nothing of the write was kept."""


class OutcomeUnknown(StoreFault):
    """The connection was lost in the very moment of keeping: a write was kept whole, or not at all."""


class Transaction(Protocol):
    """What runs inside `Database.transaction`: plain calls, no waiting for anything but the database."""

    def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        ...

    def execute(self, sql: str, parameters: Parameters = NOTHING) -> int:
        """Run a statement and answer how many rows it touched."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """Run a statement for every row."""
        ...


class Reader(Protocol):
    """What can be asked: a database, or a copy of one."""

    async def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT."""
        ...


class Database(Protocol):
    """A store that several processes may share.

    Every method raises `StoreFault` when the database is full, read-only, busy for too long or damaged.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages: never with a password."""
        ...

    @property
    def column_types(self) -> Mapping[str, str]:
        """What `{blob}`, `{serial}` and `{text}` in a migration stand for."""
        ...

    async def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        ...

    async def execute(
        self, sql: str, parameters: Parameters = NOTHING, *, durable: bool = True, quiet: bool = False
    ) -> int:
        """Run one statement in a transaction of its own and answer how many rows it touched."""
        ...

    async def execute_many(
        self, sql: str, rows: Sequence[Parameters], *, durable: bool = True, quiet: bool = False
    ) -> None:
        """Run one statement for every row, all in one transaction."""
        ...

    async def transaction(
        self,
        work: Callable[[Transaction], T],
        *,
        durable: bool = True,
        quiet: bool = False,
        alone: bool = False,
    ) -> T:
        """Run `work` in one write transaction, as if nobody else wrote; it is rolled back when `work` raises.

        Where two collide, one is run again from its beginning: `work` does nothing but ask the database, and
        what it answered before is forgotten. `alone` lets no other such transaction begin meanwhile, in any
        process, and takes all the time it needs: for migrations.
        """
        ...

    def change_mark(self) -> int | None:
        """A number that moves with every write that is not `quiet`, whoever made it; made for every call.

        Read it before the rows that are to be cached, and keep them for as long as it stays the same. None
        where it cannot be told: then nothing may be cached across calls.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is queued and close."""
        ...
