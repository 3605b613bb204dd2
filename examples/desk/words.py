"""How pages name things: states in words, moments as "3 hours ago"."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

STATE_WORDS = {
    "open": "Open",
    "wip": "In progress",
    "review": "In review",
    "fixed": "Fixed",
    "reopened": "Reopened",
    "wontfix": "Won't fix",
    "firing": "Firing",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
    "draft": "Draft",
    "ready": "Ready to build",
}
_STEPS = ((60, "second"), (3600, "minute"), (86400, "hour"), (86400 * 30, "day"), (86400 * 365, "month"))


def ago(moment: str, now: float) -> str:
    """`3 hours ago`, for a moment in ISO 8601."""
    seconds = max(now - datetime.fromisoformat(moment).timestamp(), 0)
    if seconds < 45:
        return "just now"
    size = 1
    for limit, name in _STEPS:
        if seconds < limit:
            count = max(round(seconds / size), 1)
            return f"{count} {name}{'s' * (count != 1)} ago"
        size = limit
    return datetime.fromisoformat(moment).strftime("%-d %B %Y")


def date(moment: str) -> str:
    """`23 November 2026, 09:30 UTC`."""
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC")


def cleaned(html: str) -> Markup:
    """HTML that was cleaned when it came in (markup.py), as it is."""
    return Markup(html)


def initials(name: str) -> str:
    """Two letters for a round badge."""
    words = name.split()
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper() if words else "?"


def tone(name: str) -> int:
    """A number from 0 to 4 that stays with the name."""
    return sum(map(ord, name)) % 5


FILTERS: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "cleaned": cleaned,
    "date": date,
    "initials": initials,
    "tone": tone,
}
