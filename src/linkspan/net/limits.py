"""Any vendor's rate-limit headers, and Retry-After in all its forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a vendor said about its limit. `reset_at` is in epoch seconds."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None


def read_rate_limit(headers: Mapping[str, str], now: float) -> RateLimit | None:
    """Answer what the headers of an answer say about a limit, or None when they say nothing.

    Header names are in lower case; `now` is in epoch seconds.
    """
    return None


def retry_after(told: Mapping[str, str] | str | float | None, now: float) -> float | None:
    """Answer how many seconds to wait, from a header value or from all headers; None when nobody says."""
    text = told.get("retry-after") if isinstance(told, Mapping) else told
    try:
        seconds = float(text) if text is not None else None
    except ValueError:
        return None
    return None if seconds is None or not 0 <= seconds <= 86_400 else seconds
