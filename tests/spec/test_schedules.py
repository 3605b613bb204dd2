"""When recipes are due: durations from a moment, cron on somebody's clock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from linkspan.spec.schedules import Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Answer epoch seconds of a time on a clock."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def following(schedule: Schedule, time: float, count: int) -> list[str]:
    """Answer the next moments, as that clock shows them."""
    told = []
    for _ in range(count):
        time = schedule.after(time, since=0.0)
        told.append(datetime.fromtimestamp(time, ZoneInfo(schedule.zone)).isoformat(" ", "minutes"))
    return told


@pytest.mark.parametrize("time", [1000.0, 1000.5, 1599.9])
def test_a_duration_counts_from_its_beginning(time: float) -> None:
    """However late one looks, and never at once."""
    assert Schedule("10m").after(time, since=1000.0) == 1600.0


def test_many_missed_moments_are_one() -> None:
    """The next one is still in step."""
    assert Schedule("10m").after(1000.0 + 6005, since=1000.0) == 1000.0 + 6600


def test_monday_at_six_is_at_six_in_summer_and_winter() -> None:
    """On the clock of the zone, whatever it is in UTC."""
    schedule = Schedule("0 6 * * 1", "Europe/Berlin")
    assert following(schedule, at("2026-10-20T12:00"), 2) == [
        "2026-10-26 06:00+01:00",
        "2026-11-02 06:00+01:00",
    ]
    assert following(schedule, at("2027-03-23T12:00"), 1) == ["2027-03-29 06:00+02:00"]


def test_a_time_that_the_clock_leaves_out_or_shows_twice_is_due_once() -> None:
    """When the clock goes on, and at the first of the two."""
    schedule = Schedule("30 2 * * *", "Europe/Berlin")
    assert following(schedule, at("2027-03-27T12:00"), 2) == [
        "2027-03-28 03:00+02:00",
        "2027-03-29 02:30+02:00",
    ]
    assert following(schedule, at("2026-10-24T12:00"), 2) == [
        "2026-10-25 02:30+02:00",
        "2026-10-26 02:30+01:00",
    ]
    hourly = following(Schedule("0 * * * *", "Europe/Berlin"), at("2026-10-25T01:00"), 3)
    assert hourly == ["2026-10-25 02:00+02:00", "2026-10-25 02:00+01:00", "2026-10-25 03:00+01:00"]
