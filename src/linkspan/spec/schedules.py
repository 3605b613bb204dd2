"""When a recipe starts by itself: each so often, or by five fields of cron on somebody's clock.

A duration counts from a moment that is written down, so that every replica finds the same moments, and a
restart shifts none of them. The fields of cron are as crontab(5) has them. Where a clock is put forward over
one of them, it is due when the clock goes on; where it is put back, an hour that is named is due once, and
each hour (`*`) at both of the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from linkspan.spec.durations import seconds

_DURATION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d)")
_SHORTEST: Final = 60.0
_FIELD: Final = re.compile(
    r"(?:[0-9*/,-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)+",
    re.IGNORECASE,
)
"""What crontab(5) has; the library knows more, such as random minutes, which no two replicas agree on."""


class BadScheduleError(ValueError):
    """What `every` says is neither a duration nor five fields of cron."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What `every` and `zone` say."""

    every: str
    zone: str = "UTC"

    def after(self, time: float, *, since: float) -> float:
        """Answer the first moment after that one, in epoch seconds; a duration counts from `since`."""
        if _DURATION.fullmatch(self.every):
            step = seconds(self.every)
            return since + ((time - since) // step + 1) * step
        from croniter import croniter  # type: ignore[import-untyped]

        zone = ZoneInfo(self.zone)
        found = time
        while True:
            found = float(croniter(self.every, datetime.fromtimestamp(found, zone)).get_next(float))
            is_shown_again = datetime.fromtimestamp(found, zone).fold == 1
            if not is_shown_again or "*" in self.every.split()[1]:
                return found


def check_schedule(every: str) -> None:
    """Raise `BadScheduleError` unless it is a duration of a minute at least, or five fields of cron."""
    if _DURATION.fullmatch(every):
        if seconds(every) < _SHORTEST:
            raise BadScheduleError("nothing is started more often than each minute")
        return
    fields = every.split()
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        raise BadScheduleError("must be a duration, such as 7d, or five fields of cron, such as 0 6 * * 1")
    from croniter import CroniterError, croniter

    try:
        croniter(every, datetime(2026, 1, 1, tzinfo=UTC)).get_next(float)
    except (CroniterError, ValueError, KeyError) as error:
        raise BadScheduleError(f"no fields of cron: {error}"[:200]) from None


def check_zone(zone: str) -> None:
    """Raise `BadScheduleError` unless there is such a time zone."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # not there, no name, a folder
        raise BadScheduleError(f"there is no time zone {zone!r}; write it as Europe/Berlin") from None
