"""What a field's words make: mapped lists, what is found in texts, dates in a product's own form.

`fields` puts the pieces together; here is how each of them is compiled. Nothing that is made here raises,
whatever an item holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from linkspan.spec import converters
from linkspan.spec import ticket_keys as keys_in_texts
from linkspan.spec.catalog import Getter, Json
from linkspan.spec.yaml import Path
from linkspan.text import formats

if TYPE_CHECKING:
    from linkspan.spec.leaves import Leaves

MOST_FOUND: Final = 50
"""How many different matches a field holds."""
_LONGEST_TEXT: Final = 10_000
"""Characters of a text in which matches are looked for."""
_SAMPLE: Final = datetime(2026, 11, 22, 13, 42, 19, tzinfo=UTC)


def each(things: Getter, shape: Callable[[Any], Json] | None) -> Getter:
    """Answer a getter of a mapped list; None where there is no list, or where `shape` is None (too deep)."""
    if shape is None:
        return lambda _item: None

    def mapped(item: Any) -> Any:
        found = things(item)
        if found.__class__ is dict:
            return [shape(found)]
        return [shape(thing) for thing in found] if found.__class__ is list else None

    return mapped


def matches(
    getter: Getter, pattern: re.Pattern[str], change: converters.Converter, *, single: bool
) -> Getter:
    """Answer a getter of what a pattern finds in a text or in a list of texts, each once, in their order.

    `change` makes one of texts that count as the same. With named groups each is a mapping of those that took
    part. `single` answers the first one alone.
    """
    has_names = bool(pattern.groupindex)

    def found(item: Any) -> Any:
        made: dict[str, Any] = {}
        for text in _texts(getter(item)):
            for match in pattern.finditer(text[:_LONGEST_TEXT]):
                word = change(match[0])
                if word and word not in made:
                    parts = match.groupdict().items()
                    named = {name: change(part) for name, part in parts if part is not None}
                    made[word] = named if has_names else word
                if made and (single or len(made) >= MOST_FOUND):
                    break
        values = list(made.values())[:MOST_FOUND]
        return (values[0] if values else None) if single else values

    return found


def ticket_keys(getter: Getter, prefixes: keys_in_texts.Prefixes, *, named: bool, single: bool) -> Getter:
    """Answer a getter of the keys of tickets in texts, in capitals; `named` makes mappings of them."""
    pattern = keys_in_texts.pattern_of(prefixes, named=named)
    return matches(getter, pattern, converters.READING["upper"], single=single)


def beside(item: Any, told: Any) -> Json:
    """Answer an item with the settings of the account beside its members, as `settings`."""
    return {**(item if item.__class__ is dict else {}), "settings": told}


def _texts(value: Any) -> Iterator[str]:
    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, str):
            yield part


def check_match(text: str, leaves: Leaves, path: Path) -> re.Pattern[str] | None:
    """Compile a pattern that is searched in texts from outside; one that could take forever is a problem."""
    pattern = leaves.pattern(path, text)
    if pattern is not None and _repeats_repetitions(text):
        message = "a repetition inside a repetition can search forever; write it without, or possessively"
        leaves.problems.add(path, "bad_pattern", message)
        return None
    return pattern


def _repeats_repetitions(text: str) -> bool:
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]

    unbounded = (constants.MAX_REPEAT, constants.MIN_REPEAT)

    def walk(tree: Any, inside: bool) -> bool:
        for part in tree if isinstance(tree, list | tuple | parser.SubPattern) else ():
            if not isinstance(part, tuple) or len(part) != 2:
                if isinstance(part, list | tuple | parser.SubPattern) and walk(part, inside):
                    return True
                continue
            operation, argument = part
            if operation in unbounded:
                loops = argument[1] is constants.MAXREPEAT or argument[1] > 50
                if (loops and inside) or walk(argument[2], inside or loops):
                    return True
            elif isinstance(argument, list | tuple | parser.SubPattern) and walk(argument, inside):
                return True
        return False

    return walk(parser.parse(text), inside=False)


def date_reader(pattern: str | None, zone: str | None, *, only: bool) -> converters.Converter:
    """Answer what reads a date written as `pattern` says, in `zone` where it names none; see `converters`.

    What is no date stays as it came, or is None where the field holds dates `only`.
    """
    read_other = converters.date if only else converters.iso8601
    place = ZoneInfo(zone) if zone is not None else None
    is_day = pattern is not None and not re.search(r"%[HIMScXsTRr]", pattern)

    def read(value: Any) -> Any:
        if pattern is None or not isinstance(value, str):
            return read_other(value, place)
        try:
            moment = datetime.strptime(value.strip(), pattern)
        except ValueError:
            return read_other(value, place)
        if is_day:
            return moment.strftime("%Y-%m-%d")
        return converters.shown(moment if moment.tzinfo else moment.replace(tzinfo=place or UTC))

    return read


def date_writer(pattern: str) -> converters.Converter:
    """Answer what writes a date as a product wants it: a form of `strftime`."""

    def write(value: Any) -> Any:
        moment = converters.moment(value)
        return moment.strftime(pattern) if moment is not None else value

    return write


def check_date(pattern: str, leaves: Leaves, path: Path) -> bool:
    """Tell a form of date that cannot be read back."""
    try:
        datetime.strptime(_SAMPLE.strftime(pattern), pattern)
    except (ValueError, re.error):
        leaves.problems.add(path, "bad_value", f"{pattern!r} is no form of a date, such as %d.%m.%Y %H:%M")
        return False
    if "%" not in pattern:
        leaves.problems.add(path, "bad_value", f"{pattern!r} is no form of a date, such as %d.%m.%Y %H:%M")
        return False
    return True


def check_zone(zone: str, leaves: Leaves, path: Path) -> bool:
    """Tell a name that is no time zone."""
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        from zoneinfo import available_timezones

        words = available_timezones()
        leaves.problems.add(
            path, "bad_value", f"there is no time zone {zone!r}", words=words, word=zone
        )  # fmt: skip
        return False
    return True


def from_markup(name: str) -> converters.Converter:
    """Answer what makes Markdown of a text in a product's markup."""
    convert, finish = formats.READING[name], converters.text
    return lambda value: finish(convert(value))
