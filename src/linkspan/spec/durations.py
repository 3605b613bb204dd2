"""Durations as the language writes them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> float:
    """Answer the seconds of `30s`, `5m`, `2h`, `7d`."""
    unit = duration.lstrip("0123456789.")
    return float(duration[: -len(unit)]) * _UNITS[unit]
