"""Reading JSON bodies: every fault is named at once, and an unknown field is a fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from desk.errors import Fault, invalid

Rule = Callable[[Any], Any]
"""Takes what was sent, answers the value to use, or raises ValueError with what it must be."""


def read_fields(
    body: Mapping[str, Any], rules: Mapping[str, Rule], *, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Answer the fields that were sent, checked. Raises 422 that names every fault."""
    faults = [Fault(name, "is required") for name in required if body.get(name) is None]
    values: dict[str, Any] = {}
    missing = {fault.field for fault in faults}
    for name, sent in body.items():
        rule = rules.get(name)
        if rule is None:
            faults.append(Fault(name, f"is not a field; there are: {', '.join(rules)}"))
        elif name not in missing:
            try:
                values[name] = rule(sent)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
    if faults:
        raise invalid(*faults)
    return values


def text(*, longest: int, empty: bool = False) -> Rule:
    """A string, without surrounding space."""

    def check(sent: Any) -> str:
        if not isinstance(sent, str):
            raise ValueError("must be a string")
        value = sent.strip()
        if not value and not empty:
            raise ValueError("must not be empty")
        if len(value) > longest:
            raise ValueError(f"must have at most {longest:,} characters, has {len(value):,}")
        if "\x00" in value:
            raise ValueError("must not hold a NUL character")
        return value

    return check


def choice(words: tuple[str, ...]) -> Rule:
    """One of some words."""

    def check(sent: Any) -> str:
        if sent not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(sent)

    return check


def nullable(rule: Rule) -> Rule:
    """The same, or null."""
    return lambda sent: None if sent is None else rule(sent)


def words(*, most: int = 20, longest: int = 40) -> Rule:
    """A list of short different strings."""

    def check(sent: Any) -> list[str]:
        if not isinstance(sent, list) or not all(isinstance(word, str) and word.strip() for word in sent):
            raise ValueError("must be a list of words")
        found = list(dict.fromkeys(word.strip() for word in sent))
        if len(found) > most or any(len(word) > longest for word in found):
            raise ValueError(f"must have at most {most} words of at most {longest} characters")
        return found

    return check


def moment(name: str, sent: str) -> float:
    """Epoch seconds of a moment in ISO 8601 (no offset: UTC) or in epoch seconds. Raises 422."""
    try:
        if sent.replace(".", "", 1).isdigit():
            return float(sent)
        found = datetime.fromisoformat(sent[:11] + sent[11:].replace(" ", "+"))  # a + that was not encoded
        return found.replace(tzinfo=found.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise invalid(Fault(name, "must be a moment in ISO 8601")) from error


def whole(sent: Any) -> int:
    """A whole number from 1 to a million."""
    if isinstance(sent, bool) or not isinstance(sent, int) or not 1 <= sent <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1,000,000")
    return sent
