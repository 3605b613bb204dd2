"""What a vendor's value is turned into: texts, whole numbers, dates. Nothing here raises."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

Converter = Callable[[Any], Any]

_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\Z")
_MOMENT = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})[T ._](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*"
    r"(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\Z"
)
_BASIC_DATE = re.compile(r"((?:19|20)\d{2})(0[1-9]|1[0-2])([0-3]\d)\Z")
_BASIC_MOMENT = re.compile(
    r"(\d{4})(\d{2})(\d{2})[T ](\d{2})(\d{2})(\d{2})?(?:[.,](\d{1,9}))?(Z|z|[+-]\d{2}(?::?\d{2})?)?\Z"
)
_DOT_NET = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/\Z")
_LONGEST_DATE = 200
"""Characters that a date may have: a longer text is none, and is not searched for one."""
_AS_SHOWN = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z\Z"
)
"""What is a date whatever the month: it needs no further look."""
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d+)?\Z")
_WHOLE = re.compile(r"[-+]?\d{1,30}\Z")
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def string(value: Any) -> Any:
    """A scalar as text: numbers as written in JSON, mappings and lists as compact JSON; None stays."""
    if value.__class__ is str or value is None:
        return value
    if isinstance(value, str):
        return str(value)
    try:
        return str(value) if value.__class__ is int else _write(value)
    except (TypeError, ValueError, RecursionError):
        return None


def text(value: Any) -> Any:
    r"""Plain text or Markdown as it came, with `\n` line breaks; a list of texts becomes lines."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    value = string(value)
    if value is not None and "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    return value


def integer(value: Any) -> Any:
    """A whole number from a number or from digits; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and _WHOLE.match(value.strip()):
        return int(value)
    return None


def number(value: Any) -> Any:
    """A number from a number or from its digits; None for everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER.match(value.strip()):
        return float(value)
    return None


def boolean(value: Any) -> Any:
    """True or false from themselves, from 0 and 1, and from their words; None for everything else."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return {"true": True, "false": False, "1": True, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def mapping(value: Any) -> Any:
    """A mapping; None for everything else."""
    return value if isinstance(value, dict) else None


def sequence(value: Any) -> Any:
    """A list: an empty one for None, one of a single thing for what is none."""
    return [] if value is None else value if isinstance(value, list) else [value]


def iso8601(value: Any, zone: tzinfo | None = None) -> Any:
    """A moment as `2026-11-22T12:42:19Z`, a day as `2026-11-22`; what is no date stays as it came."""
    found = date(value, zone)
    if found is not None or value is None or value.__class__ in (str, int, float):
        return value if found is None else found
    return string(value)


def date(value: Any, zone: tzinfo | None = None) -> str | None:
    """A moment as `2026-11-22T12:42:19Z`, a day as `2026-11-22`; None for what is no date.

    Understands ISO 8601, extended and basic, with and without offset (none means `zone`, or UTC), the same
    with `.`, `_` or a space before the time (Roundup: `2026-11-22.12:42:19`), RFC 5322 and `ctime` dates,
    .NET's `/Date(1763815339000)/`, and epoch seconds, milliseconds, microseconds and nanoseconds.
    """
    if value.__class__ is str:
        return value if _AS_SHOWN.match(value) else _date_from_text(value, zone)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _date_from_number(value)
    return None


def _date_from_text(value: str, zone: tzinfo | None) -> str | None:
    if len(value) > _LONGEST_DATE:
        return None
    written = value.strip()
    try:
        if found := _DATE.match(written) or _BASIC_DATE.match(written):
            return datetime(*(int(part) for part in found.groups()), tzinfo=UTC).strftime("%Y-%m-%d")  # type: ignore[arg-type,misc]
        if _NUMBER.match(written) and len(written) >= 9:
            return _date_from_number(float(written))
        if found := _DOT_NET.match(written):
            return _date_from_number(float(found[1]) / 1000)
        return shown(_moment_from_text(written, zone))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _moment_from_text(written: str, zone: tzinfo | None) -> datetime:
    if found := _MOMENT.match(written) or _BASIC_MOMENT.match(written):
        year, month, day, hour, minute, second, fraction, offset = found.groups()
        return datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")), _zone(offset, zone),
        )  # fmt: skip
    moment = parsedate_to_datetime(written)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone or UTC)


def shifted(value: Any, seconds: float) -> Any:
    """A moment so many seconds later, or earlier; what is no date stays as it came."""
    found = moment(value)
    try:
        return value if found is None else shown(found + timedelta(seconds=seconds))
    except OverflowError:
        return value


def moment(value: Any) -> datetime | None:
    """The moment that a date of any of these shapes means; None for what is no date."""
    read = iso8601(value)
    if not isinstance(read, str):
        return None
    try:
        found = datetime.fromisoformat(read)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def epoch(value: Any) -> Any:
    """A date as seconds since 1970; what is no date stays as it came."""
    found = moment(value)
    return value if found is None else int(found.timestamp())


def epoch_ms(value: Any) -> Any:
    """A date as milliseconds since 1970; what is no date stays as it came."""
    found = moment(value)
    return value if found is None else int(found.timestamp() * 1000)


def day(value: Any) -> Any:
    """A date as `2026-11-22`; what is no date stays as it came."""
    found = moment(value)
    return value if found is None else found.strftime("%Y-%m-%d")


def rfc5322(value: Any) -> Any:
    """A date as `Sun, 22 Nov 2026 12:42:19 +0000`; what is no date stays as it came."""
    found = moment(value)
    return value if found is None else format_datetime(found.astimezone(UTC))


def lower(value: Any) -> Any:
    """A text, or each of several, in small letters."""
    return [lower(part) for part in value] if isinstance(value, list) else _cased(value, str.lower)


def upper(value: Any) -> Any:
    """A text, or each of several, in capitals."""
    return [upper(part) for part in value] if isinstance(value, list) else _cased(value, str.upper)


def _cased(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: _cased(part, change) for name, part in value.items()}
    return change(value) if isinstance(value, str) else value


_UNITS: Final = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6))
"""What a number of so many digits counts: seconds, milliseconds, microseconds; beyond, nanoseconds."""


def _date_from_number(seconds: float) -> str | None:
    unit = next((unit for longest, unit in _UNITS if abs(seconds) <= longest), 1e9)
    try:
        return shown(datetime.fromtimestamp(seconds / unit, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _zone(written: str | None, zone: tzinfo | None = None) -> tzinfo:
    if written is None:
        return zone or UTC
    if written.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    digits = written[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if written[0] == "-" else offset)


def shown(moment: datetime) -> str:
    """A moment as every date of ours is written: ISO 8601 in UTC."""
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z" if utc.year >= 1000 else utc.isoformat()


_BY_TYPE: Final[dict[str, Converter]] = {
    "string": string,
    "integer": integer,
    "number": number,
    "boolean": boolean,
    "array": sequence,
    "object": mapping,
}


def conforming(schema: dict[str, Any]) -> Converter | None:
    """Answer what makes a value fit a JSON Schema's `type`, `properties` and `items`; None if all do."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    convert = _BY_TYPE.get(kind) if isinstance(kind, str) else None
    members = {
        name: member
        for name, below in (schema.get("properties") or {}).items()
        if isinstance(below, dict) and (member := conforming(below)) is not None
    }
    if convert is mapping and members:
        return _members(members)
    items = schema.get("items")
    each = conforming(items) if isinstance(items, dict) else None
    if convert is sequence and each is not None:
        return _parts(each)
    return convert


def _parts(each: Converter) -> Converter:
    keeps_text = each is string

    def convert(value: Any) -> Any:
        made = []
        for part in value if value.__class__ is list else sequence(value):
            fitting = part if keeps_text and part.__class__ is str else each(part)
            if fitting is not None:
                made.append(fitting)
        return made

    return convert


def _members(members: dict[str, Converter]) -> Converter:
    entries = tuple((name, member, member is string) for name, member in members.items())

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        made = value.copy()
        for name, member, keeps_text in entries:
            part = made.get(name)
            if not (keeps_text and part.__class__ is str) and (part is not None or name in made):
                made[name] = member(part)
        return made

    return convert


READING: Final[dict[str, Converter]] = {
    "string": string,
    "integer": integer,
    "text": text,
    "markdown": text,
    "iso8601": iso8601,
    "lower": lower,
    "upper": upper,
}
"""By the words of a field's `as:`."""
SENDING: Final[dict[str, Converter]] = {
    **READING,
    "epoch": epoch,
    "epoch_ms": epoch_ms,
    "day": day,
    "rfc5322": rfc5322,
}
"""By the words of a reference's `as:`."""
