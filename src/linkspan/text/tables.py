"""Rows as CSV (RFC 4180), for programs of tables that take some texts for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_line(values: Iterable[Any]) -> bytes:
    """Answer one row. What a program of tables would compute is told as a text, by an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerow([_cell(value) for value in values])
    return written.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value
