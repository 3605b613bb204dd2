"""The one port to a database: SQLite embedded, PostgreSQL for a fleet, the same SQL for both.

The subset: `INSERT … ON CONFLICT`, `RETURNING`, `text | integer | double precision | {blob}` columns, epoch
seconds as float, JSON as text, named `:parameters`. Times come from the caller, never from the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

Row = dict[str, Any]
Parameters = Mapping[str, Any]
T = TypeVar("T")
NOTHING: Parameters = MappingProxyType({})


class Transaction(Protocol):
    """What runs inside `Database.transaction`: plain calls, no waiting for anything but the database."""

    def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        ...

    def execute(self, sql: str, parameters: Parameters = NOTHING) -> int:
        """Run a statement and answer how many rows it touched."""
        ...


class Database(Protocol):
    """A store that several processes may share."""

    async def query(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        ...

    async def execute(self, sql: str, parameters: Parameters = NOTHING) -> int:
        """Run one statement in a transaction of its own and answer how many rows it touched."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Parameters]) -> None:
        """Run one statement for every row, all in one transaction."""
        ...

    async def transaction(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one write transaction (BEGIN IMMEDIATE); it is rolled back when `work` raises."""
        ...

    def change_mark(self) -> int | None:
        """A number that changes whenever another connection committed, cheap enough for every call.

        None where the engine has none: then nothing may be cached across calls.
        """
        ...

    async def aclose(self) -> None:
        """Finish what is queued and close."""
        ...
