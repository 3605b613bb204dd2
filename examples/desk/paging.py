"""Cursor pages: `?limit=25&cursor=…` in, `{"meta": {"next_cursor", "total"}}` out."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desk.errors import Fault, invalid
from desk.store import Row, Store

DEFAULT_LIMIT = 25
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many items, and after which one."""

    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """An order in which no two rows are equal: a column, then a unique one."""

    column: str
    unique: str = "number"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, where the next ones begin, and how many there are in all."""

    rows: list[Row]
    next_cursor: str | None
    total: int

    def to_dict(self, name: str, shape: Callable[[Row], Row]) -> dict[str, Any]:
        """`{NAME: [...], "meta": {...}}`."""
        meta = {"next_cursor": self.next_cursor, "total": self.total}
        return {name: [shape(row) for row in self.rows], "meta": meta}


def read_page(query: Mapping[str, str]) -> PageRequest:
    """Read `limit` and `cursor`. Raises 422 for a limit that is no number from 1 to 100."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise invalid(Fault("limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    return PageRequest(int(text), query.get("cursor") or None)


def select_page(
    store: Store, table: str, where: list[str], parameters: dict[str, Any], sort: Sort, request: PageRequest
) -> Page:
    """Select one page. A row that comes or goes meanwhile never shifts another one in or out of sight.

    `table`, `where` and `sort` are ours; whatever a caller said is in `parameters`.
    """
    total = store.query(f"select count(*) as n from {table} where {' and '.join(where)}", parameters)[0]["n"]
    place = f"({sort.column}, {sort.unique})"
    clauses = list(where)
    if request.cursor is not None:
        value, unique = _open(request.cursor, sort)
        clauses.append(f"{place} {'<' if sort.descending else '>'} (:at_value, :at_unique)")
        parameters = parameters | {"at_value": value, "at_unique": unique}
    way = "desc" if sort.descending else "asc"
    rows = store.query(
        f"select * from {table} where {' and '.join(clauses)}"
        f" order by {sort.column} {way}, {sort.unique} {way} limit {request.limit + 1}",
        parameters,
    )
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    return Page(rows, _seal(rows[-1], sort) if more else None, total)


def _seal(row: Row, sort: Sort) -> str:
    text = json.dumps([sort.column, row[sort.column], row[sort.unique]], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _open(cursor: str, sort: Sort) -> tuple[float | int | str, float | int | str]:
    try:
        column, value, unique = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        column, value, unique = None, None, None
    if column != sort.column or not isinstance(value, int | float | str) or not isinstance(unique, int | str):
        raise invalid(Fault("cursor", "is not one that this list gave; start again without it"))
    return value, unique
