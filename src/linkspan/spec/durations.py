"""Durations as the language writes them."""

from __future__ import annotations

import re
from typing import Final

DURATION: Final = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)")
"""What a duration looks like as a whole."""
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> float:
    """Answer the seconds of `30s`, `5m`, `2h`, `7d`."""
    unit = duration.lstrip("0123456789.")
    return float(duration[: -len(unit)]) * _UNITS[unit]
