"""What a page of the console is made of: facts, tables, forms and texts, one after another.

All text is text: the one template that writes these escapes each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode

from linkspan.store.outbox import iso

Tone = Literal["", "good", "bad", "works", "asks", "waits"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Something in a table or among facts."""

    text: str
    href: str | None = None
    tone: Tone = ""
    code: bool = False
    time: str | None = None
    """The moment that the text says, for machines."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button of its own, in a row."""

    label: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    about: str = ""
    """What it is about, for those who hear the page."""


Value = Cell | Action | str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    title: str
    pairs: Sequence[tuple[str, Value]]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind, the first cell being what a row is."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    empty: str
    note: str = ""
    more: str | None = None
    """Where it goes on."""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form."""

    name: str
    label: str
    value: str = ""
    form: Literal["text", "select", "area", "check", "time"] = "text"
    options: Sequence[tuple[str, str]] = ()
    hint: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A form; with `get` its fields stand in the address, as filters do."""

    title: str
    path: str
    fields: Sequence[Field]
    button: str
    note: str = ""
    method: Literal["get", "post"] = "post"
    kind: Literal["form"] = "form"


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it is: JSON, a line to paste, a sentence."""

    title: str
    text: str
    note: str = ""
    code: bool = True
    tone: Tone = ""
    kind: Literal["text"] = "text"


Block = Facts | Table | Form | Text


def moment(seconds: float | None, *, form: str = "%Y-%m-%d %H:%M") -> Cell | None:
    """Answer a time as people read it."""
    if seconds is None:
        return None
    return Cell(datetime.fromtimestamp(seconds, UTC).strftime(form), time=iso(seconds))


def seconds_of(text: str) -> float | None:
    """Answer the time that somebody gave, in UTC where they named no zone; None for none and for no time."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (given if given.tzinfo is not None else given.replace(tzinfo=UTC)).timestamp()


def age(seconds: float | None, now: float) -> str:
    """Answer how long ago something was, in days."""
    if seconds is None:
        return "unknown"
    days = int((now - seconds) // 86_400)
    return "today" if days < 1 else f"{days} day{'' if days == 1 else 's'}"


def onward(path: str, query: Mapping[str, str | None]) -> str:
    """Answer an address with what is given of a query."""
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
