"""Any vendor's rate-limit headers, and Retry-After in all its forms.

There is a standard for waiting (RFC 9110 §10.2.3), a draft for limits (draft-ietf-httpapi-ratelimit-headers),
and what every vendor does: seconds, milliseconds, epochs, dates of every shape, Go durations; one limit or
several at once. The names follow a pattern, though: a word or two, `ratelimit`, and what it is about. So no
vendor is named here. Nothing raises, nothing is negative, and no wait is longer than a day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

LONGEST = 86_400.0
"""Seconds that a wait is cut to: who is told to come back in a year asks again tomorrow."""

_LONGEST_VALUE = 1_024
"""Characters of a header that are read: no vendor needs as many, and more may be meant to hold us up."""
_EPOCH = 1_000_000_000.0
"""From here on a number is a point in time (September 2001) and not a duration (32 years)."""
_WAITS = ("retry-after", "x-retry-after", "retryafter", "x-ratelimit-retry-after")
_WAITS_MS = ("retry-after-ms", "x-ms-retry-after-ms")
_SCOPES = ("x-ratelimit-resource", "x-ratelimit-bucket", "ratelimit-name", "x-ratelimit-name")
_KINDS = {
    "limit": "limit",
    "total": "limit",
    "max": "limit",
    "q": "limit",
    "remaining": "remaining",
    "r": "remaining",
    "reset": "reset",
    "resets": "reset",
    "next": "reset",
    "t": "reset",
}
_UNITS = {
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs"), 1e-6),
    "ns": 1e-9,
}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_AMOUNT = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)\s*({_UNIT})\s*")
_DURATION = re.compile(rf"(?:{_AMOUNT.pattern})+")
_INTEGER = re.compile(r"\s*(\d{1,15})(?![\d])")
_PAIR = re.compile(r"(?<![\w-])([a-z][\w-]*+)\s*+=\s*+\"?([^\s\",;]++)", re.IGNORECASE)
_NAME = re.compile(r"\s*(?:\"([^\"]*)\"|([a-z*][\w*.:/-]*+)(?!\s*+=))\s*+;", re.IGNORECASE)
_ZONE = re.compile(r"(?:(?<=\s)GMT)?([+-]\d{2}):?(\d{2})\s*(?:\([^)]*\))?\s*\Z")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a vendor said about its limit. `reset_at` is in epoch seconds."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None


class _Window:
    """One of the limits that an answer tells of; `reset` is in seconds from now."""

    __slots__ = ("limit", "remaining", "reset")

    def __init__(self) -> None:
        self.limit: int | None = None
        self.remaining: int | None = None
        self.reset: float | None = None


def _tightness(limit: RateLimit) -> tuple[bool, float]:
    """Sort the limit that will be used up first to the front, and what is no limit to the end."""
    if limit.remaining is None:
        return True, float(limit.reset_at is None)
    return False, limit.remaining / limit.limit if limit.limit else float(limit.remaining)


def read_rate_limit(headers: Mapping[str, str], now: float) -> RateLimit | None:
    """Answer what the headers of an answer say about a limit, or None when they say nothing.

    Of several limits (per minute and day, requests and tokens) it is the one closest to its end. Header
    names are in lower case; `now` is in epoch seconds.
    """
    return tightest(read_rate_limits(headers, now))


def read_rate_limits(headers: Mapping[str, str], now: float) -> dict[str, RateLimit]:
    """Answer every limit that the headers of an answer tell of, under what it is about."""
    return {
        about: RateLimit(window.limit, window.remaining, None if window.reset is None else now + window.reset)
        for about, window in _windows(headers, now).items()
        if window.limit is not None or window.remaining is not None or window.reset is not None
    }


def tightest(limits: Mapping[str, RateLimit]) -> RateLimit | None:
    """Answer the one of several limits that is closest to its end; None for none."""
    return min(limits.values(), key=_tightness, default=None)


def limit_of_queries(body: object, now: float) -> RateLimit | None:
    """Answer what a GraphQL answer says of its cost in `extensions.cost.throttleStatus`: points that refill.

    None where it says nothing, or nothing that can be read.
    """
    for name in ("extensions", "cost", "throttleStatus"):
        body = body.get(name) if isinstance(body, dict) else None
    if not isinstance(body, dict):
        return None
    numbers: list[float] = []
    for word in ("maximumAvailable", "currentlyAvailable", "restoreRate"):
        number = body.get(word)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1e12:
            return None
        numbers.append(float(number))
    most, left, rate = numbers
    wait = min((most - left) / rate, LONGEST) if rate and most > left else 0.0
    return RateLimit(int(most), int(left), now + wait)


def scope_of_limits(headers: Mapping[str, str]) -> str:
    """Answer which part of a product the limits of an answer are of, where it says; else nothing."""
    for name in _SCOPES:
        if name in headers:
            return headers[name][:100]
    return ""


@dataclass(frozen=True, slots=True)
class TooMany:
    """What an answer says that refuses more calls for now."""

    wait: float | None
    """Seconds for which it wants none; None where it names no time."""


def retry_after(told: Mapping[str, str] | str | float | None, now: float) -> float | None:
    """Answer how many seconds to wait, or None when nobody says or it cannot be read.

    Takes the headers of an answer that refused a call (names in lower case), or one value in any form. In
    headers it is Retry-After, else the time at which every limit that is used up is fresh again. `now` is in
    epoch seconds; where the headers have a `Date`, points in time are compared with that.
    """
    if not isinstance(told, Mapping):
        return _wait(str(told), now) if told is not None else None
    for name in _WAITS_MS:
        if name in told and (seconds := _wait(f"{told[name]}ms", now)) is not None:
            return seconds
    there = _their_now(told, now)
    for name in _WAITS:
        if name in told and (seconds := _wait(told[name], there)) is not None:
            return seconds
    windows = _windows(told, there).values()
    spent = [window.reset for window in windows if window.remaining == 0 and window.reset is not None]
    if not spent and all(window.remaining is None for window in windows):
        spent = [window.reset for window in windows if window.reset is not None]
    return max(spent, default=None)


def in_words(seconds: float) -> str:
    """Say a duration as people do, rounded up: `12 minutes`."""
    whole = max(1, math.ceil(seconds))
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if whole >= 2 * size or whole == size:
            return _counted(-(-whole // size), word)
    return _counted(whole, "second")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count > 1 else ''}"


def _windows(headers: Mapping[str, str], now: float) -> dict[str, _Window]:
    """Gather what belongs together: `x-ratelimit-limit-tokens` and `x-ratelimit-reset-tokens`."""
    windows: dict[str, _Window] = {}
    for name in headers:
        if "rate" not in name or (about := _about(name)) is None:
            continue
        subject, kind = about
        value = headers[name][:_LONGEST_VALUE]
        if kind is not None:
            _note(windows, subject, kind, value, now)
        elif "=" in value:
            for policy, key, told in _members(value):
                _note(windows, subject.partition("|")[0] + policy if policy else subject, key, told, now)
        elif subject.endswith("|") and value.isdecimal():
            _note(windows, subject, "limit", value, now)  # Zendesk's X-Rate-Limit
    return windows


@lru_cache(maxsize=512)
def _about(name: str) -> tuple[str, str | None] | None:
    """Take a header name apart: `x-ratelimit-remaining-tokens` is `remaining` of `x-|tokens`."""
    vendor, found, rest = name.replace("rate-limit", "ratelimit").partition("ratelimit")
    if not found:
        return None
    words = [word for word in rest.split("-") if word]
    for word in words:
        kind = _KINDS.get(word) if len(word) > 1 else None
        if kind is not None:
            others = "-".join(other for other in words if other not in {word, "after", "at"})
            return f"{vendor}|{others}", kind
    return f"{vendor}|{rest.removeprefix('-policy')}", None


def _members(value: str) -> Iterator[tuple[str, str, str]]:
    """Read `"burst";r=50;t=30, "daily";r=9` (RFC 9651) and `limit=100, remaining=50, reset=5`."""
    policy = ""
    for member in value.split(","):
        named = _NAME.match(member)
        if named is not None:
            policy = f"={named.group(1) or named.group(2)}"
        for key, told in _PAIR.findall(member):
            kind = _KINDS.get(key.lower())
            if kind is not None:
                yield policy, kind, told


def _note(windows: dict[str, _Window], subject: str, kind: str, value: str, now: float) -> None:
    """Keep the first value of a kind that can be read; most are whole numbers and take the short way."""
    window = windows.get(subject)
    if window is None:
        window = windows[subject] = _Window()
    if kind == "reset":
        if window.reset is None:
            window.reset = _wait(value, now)
        return
    if value.isdecimal() and len(value) < 16:
        count = int(value)
    elif (found := _INTEGER.match(value)) is not None:
        count = int(found.group(1))
    else:
        return
    if kind == "limit":
        if window.limit is None:
            window.limit = count
    elif window.remaining is None:
        window.remaining = count


def _wait(value: str, now: float) -> float | None:
    """Read a wait in any form; None for what is none."""
    if value.isdecimal() and len(value) < 11:
        number = int(value)
        return min(float(number) if number < _EPOCH else max(0.0, number - now), LONGEST)
    text = value.strip()
    if text[:1].isdigit():
        text = text.partition(",")[0].rstrip()
    if not text or len(text) > 100:
        return None
    try:
        wait: float | None = _from_number(float(text), now)
    except ValueError:
        lower = text.lower()
        if _DURATION.fullmatch(lower):
            wait = sum(float(amount) * _UNITS[unit] for amount, unit in _AMOUNT.findall(lower))
        else:
            moment = _moment(text)
            wait = None if moment is None else max(0.0, moment - now)
    return min(wait, LONGEST) if wait is not None and 0 <= wait < math.inf else None


def _from_number(number: float, now: float) -> float:
    """Seconds, or a point in time as seconds, milliseconds, microseconds or nanoseconds since 1970."""
    if not _EPOCH <= number < _EPOCH * 1e12:
        return number
    while number >= _EPOCH * 100:
        number /= 1000
    return max(0.0, number - now)


def _moment(text: str) -> float | None:
    """Read a date: RFC 9110 §5.6.7 in its three forms, ISO 8601, and what JavaScript and Ruby print."""
    plain = _ZONE.sub(r" \1\2", text)
    for read, form in ((datetime.fromisoformat, text), (_spaced_iso, plain), (parsedate_to_datetime, plain)):
        try:
            moment = read(form)
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def _spaced_iso(text: str) -> datetime:
    return datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d{4}\Z)", "", text))


def _their_now(headers: Mapping[str, str], now: float) -> float:
    """Answer what the vendor's clock said, since its points in time are told by it."""
    told = headers.get("date")
    moment = _moment(told) if told and len(told) <= 100 else None
    return moment if moment is not None else now
