"""Any vendor's rate-limit headers, and Retry-After in all its forms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a vendor said about its limit. `reset_at` is in epoch seconds."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: float | None = None
