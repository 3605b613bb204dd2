"""Vendors' values in our shapes; nothing raises."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.spec import converters


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("2026-11-22T12:42:19Z", "2026-11-22T12:42:19Z"),
        ("2026-11-22.12:42:19", "2026-11-22T12:42:19Z"),
        ("2026-11-22 12:42:19", "2026-11-22T12:42:19Z"),
        ("2026/11/22 12:42", "2026-11-22T12:42:00Z"),
        ("2026-11-22T12:42:19.120+02:00", "2026-11-22T10:42:19.12Z"),
        ("2026-11-22T12:42:19.123456789Z", "2026-11-22T12:42:19.123456Z"),
        ("2026-11-22T12:42:19-0130", "2026-11-22T14:12:19Z"),
        ("2026-11-22T12:42:19+01", "2026-11-22T11:42:19Z"),
        ("2026-11-22 12:42:19 UTC", "2026-11-22T12:42:19Z"),
        ("Sun, 22 Nov 2026 12:42:19 +0100", "2026-11-22T11:42:19Z"),
        ("Sun, 22 Nov 2026 12:42:19 GMT", "2026-11-22T12:42:19Z"),
        ("2026-11-22", "2026-11-22"),
        ("2026-1-2", "2026-01-02"),
        (1795351339, "2026-11-22T12:42:19Z"),
        (1795351339000, "2026-11-22T12:42:19Z"),
        (1795351339.5, "2026-11-22T12:42:19.5Z"),
        ("1795351339", "2026-11-22T12:42:19Z"),
        (1795351339000000, "2026-11-22T12:42:19Z"),
        (1795351339000000000, "2026-11-22T12:42:19Z"),
        ("20261122T124219Z", "2026-11-22T12:42:19Z"),
        ("20261122T124219.5+0100", "2026-11-22T11:42:19.5Z"),
        ("20261122", "2026-11-22"),
        ("/Date(1795351339000)/", "2026-11-22T12:42:19Z"),
        ("/Date(1795351339000+0100)/", "2026-11-22T12:42:19Z"),
        ("Sun Nov 22 12:42:19 2026", "2026-11-22T12:42:19Z"),
        ("2026-11-22T12:42:19.000+0000", "2026-11-22T12:42:19Z"),
        ("next week", "next week"),
        ("2026-13-45", "2026-13-45"),
        ("2026-02-30T10:00:00Z", "2026-02-30T10:00:00Z"),
        ("", ""),
        (None, None),
        (True, "true"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_dates_of_every_shape(given_: Any, expected: Any) -> None:
    """A moment in UTC, a day as a day, and what is no date stays as it came."""
    assert converters.iso8601(given_) == expected


@pytest.mark.parametrize(
    ("given_", "string", "integer", "text"),
    [
        ("a", "a", None, "a"),
        ("12", "12", 12, "12"),
        (" 12 ", " 12 ", 12, " 12 "),
        (12, "12", 12, "12"),
        (1.0, "1.0", 1, "1.0"),
        (1.5, "1.5", None, "1.5"),
        (True, "true", None, "true"),
        (None, None, None, None),
        (["a", "b"], '["a","b"]', None, "a\nb"),
        ([1], "[1]", None, "[1]"),
        ({"a": "é"}, '{"a":"é"}', None, '{"a":"é"}'),
        ("a\r\nb\rc", "a\r\nb\rc", None, "a\nb\nc"),
        (b"\xff", None, None, None),
    ],
)
def test_texts_and_numbers(given_: Any, string: Any, integer: Any, text: Any) -> None:
    """Ids that are numbers become text, digits become numbers, line ends become line ends."""
    assert [converters.string(given_), converters.integer(given_), converters.text(given_)] == [
        string,
        integer,
        text,
    ]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iso8601", "2026-11-22T12:42:19Z"),
        ("day", "2026-11-22"),
        ("epoch", 1795351339),
        ("epoch_ms", 1795351339000),
        ("rfc5322", "Sun, 22 Nov 2026 12:42:19 +0000"),
    ],
)
def test_dates_on_their_way_out(name: str, expected: Any) -> None:
    """From a moment as ours are written; what is no date goes out as it is."""
    assert converters.SENDING[name]("2026-11-22T12:42:19Z") == expected
    assert converters.SENDING[name]("soon") == "soon"


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_moment_comes_back_from_every_shape(moment: datetime) -> None:
    """Seconds, milliseconds, ISO and mail dates of one moment are one moment."""
    moment = moment.replace(microsecond=0)
    written = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    seconds = int(moment.timestamp())
    shapes = [written, seconds, seconds * 1000, str(seconds * 1000), converters.rfc5322(written)]
    shapes += [moment.strftime(form) for form in ("%Y%m%dT%H%M%SZ", "%Y-%m-%d.%H:%M:%S", "%Y/%m/%d %H:%M:%S")]
    if seconds > 10**8:
        assert {converters.iso8601(shape) for shape in shapes} == {written}


@given(st.sampled_from(sorted(converters.SENDING)), ANYTHING | st.from_regex(r"[0-9 .:/TZ+-]{6,30}"))
def test_a_converter_never_raises(name: str, value: Any) -> None:
    """Whatever a vendor sends."""
    converters.SENDING[name](value)
