"""What a product says of its limit, in the same three headers whoever it is."""

from __future__ import annotations

import math

from linkspan.net.limits import RateLimit


def limit_headers(limit: RateLimit | None, now: float) -> dict[str, str]:
    """Answer `ratelimit-limit`, `-remaining` and `-reset` (seconds from now), as far as they are known."""
    if limit is None:
        return {}
    headers: dict[str, str] = {}
    if limit.limit is not None:
        headers["ratelimit-limit"] = str(limit.limit)
    if limit.remaining is not None:
        headers["ratelimit-remaining"] = str(limit.remaining)
    if limit.reset_at is not None:
        headers["ratelimit-reset"] = str(max(0, math.ceil(limit.reset_at - now)))
    return headers
