"""Rate-limit headers as products send them, and everything that Retry-After was ever seen to be."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkspan.net.limits import LONGEST, RateLimit, in_words, limit_of_queries, read_rate_limit, retry_after

NOW = 1_795_000_000.0  # Wed, 18 Nov 2026 11:06:40 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        # RFC 9110 §10.2.3: seconds, or a date in one of three forms (§5.6.7)
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("Wed, 18 Nov 2026 11:07:40 GMT", 60),
        ("Wednesday, 18-Nov-26 11:07:40 GMT", 60),
        ("Wed Nov 18 11:07:40 2026", 60),
        ("Wed, 18 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        # numbers
        ("3.0", 3),
        ("1.337", 1.337),
        ("30, 30", 30),
        (5, 5),
        (2.5, 2.5),
        # points in time
        ("1795000060", 60),
        ("1795000060.25", 60.25),
        ("1795000060000", 60),
        ("1795000060000000", 60),
        ("1795000060000000000", 60),
        ("1794999000", 0),
        # Go durations, and words
        ("6m0s", 360),
        ("1s", 1),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("500µs", 0.0005),
        ("30 s", 30),
        ("30 seconds", 30),
        ("2 Minutes", 120),
        ("1 minute 30 seconds", 90),
        ("200 milliseconds", 0.2),
        # ISO 8601, RFC 3339, Ruby, JavaScript
        ("2026-11-18T11:07:40Z", 60),
        ("2026-11-18T11:07Z", 20),
        ("2026-11-18T12:07:40.000+01:00", 60),
        ("2026-11-18 11:07:40", 60),
        ("2026-11-18 04:07:40 -0700", 60),
        ("Wed Nov 18 2026 12:07:40 GMT+0100 (Central European Standard Time)", 60),
        # at most a day
        ("86401", LONGEST),
        ("999999999", LONGEST),
        ("1e9999999", None),
        ("9" * 90, LONGEST),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST),
        # nothing that can be read
        ("", None),
        (" ", None),
        ("-1", None),
        ("-0.5", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        (math.nan, None),
        (math.inf, None),
        ("soon", None),
        ("60 apples", None),
        ("1m -3s", None),
        ("Wed, 99 Nov 2026 11:07:40 GMT", None),
        ("2026-13-45T99:99Z", None),
        ("1" * 5000, None),
        ("\x00", None),
        (None, None),
    ],
)  # fmt: skip
def test_retry_after_value(value: Any, seconds: float | None) -> None:
    """Every form becomes seconds from now, bounded, or None."""
    told = retry_after(value, NOW)
    assert told == (None if seconds is None else pytest.approx(seconds))


SAMPLES: list[tuple[str, dict[str, str], RateLimit | None]] = [
    (
        "GitHub",
        {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4999",
            "x-ratelimit-used": "1",
            "x-ratelimit-resource": "core",
            "x-ratelimit-reset": "1795002400",
        },
        RateLimit(5000, 4999, NOW + 2400),
    ),
    (
        "GitLab",
        {
            "ratelimit-limit": "600",
            "ratelimit-observed": "6",
            "ratelimit-remaining": "594",
            "ratelimit-reset": "1795000060",
            "ratelimit-resettime": "Wed, 18 Nov 2026 11:07:40 GMT",
            "ratelimit-name": "throttle_authenticated_api",
        },
        RateLimit(600, 594, NOW + 60),
    ),
    (
        "OpenAI: the tighter of requests and tokens",
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-remaining-tokens": "976",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        RateLimit(160000, 976, NOW + 360),
    ),
    (
        "Azure OpenAI, when it does not know",
        {
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-reset-tokens": "0",
        },
        RateLimit(None, None, NOW),
    ),
    (
        "Anthropic",
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-18T11:07:40Z",
        },
        RateLimit(50, 49, NOW + 60),
    ),
    (
        "Jira",
        {
            "x-ratelimit-limit": "100",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-nearlimit": "true",
            "x-ratelimit-reset": "2026-11-18T11:08Z",
            "ratelimit-reason": "jira-burst-based",
        },
        RateLimit(100, 0, NOW + 80),
    ),
    (
        "Roundup",
        {
            "x-ratelimit-limit": "20",
            "x-ratelimit-limit-period": "60",
            "x-ratelimit-remaining": "19",
            "x-ratelimit-reset": "3",
        },
        RateLimit(20, 19, NOW + 3),
    ),
    (
        "Linear",
        {
            "x-complexity": "42",
            "x-ratelimit-requests-limit": "5000",
            "x-ratelimit-requests-remaining": "4000",
            "x-ratelimit-requests-reset": "1795003600000",
            "x-ratelimit-complexity-limit": "250000",
            "x-ratelimit-complexity-remaining": "249958",
            "x-ratelimit-complexity-reset": "1795003600000",
        },
        RateLimit(5000, 4000, NOW + 3600),
    ),
    (
        "Zendesk",
        {
            "x-rate-limit": "700",
            "ratelimit-limit": "700",
            "x-rate-limit-remaining": "699",
            "ratelimit-remaining": "699",
            "ratelimit-reset": "41",
            "zendesk-ratelimit-tickets-index": "total=100; remaining=9; resets=41",
        },
        RateLimit(100, 9, NOW + 41),
    ),
    ("Zendesk, the account", {"x-rate-limit": "700", "x-rate-limit-remaining": "699"}, RateLimit(700, 699)),
    (
        "Sentry",
        {
            "x-sentry-rate-limit-limit": "40",
            "x-sentry-rate-limit-remaining": "39",
            "x-sentry-rate-limit-reset": "1795000001",
            "x-sentry-rate-limit-concurrentlimit": "25",
            "x-sentry-rate-limit-concurrentremaining": "24",
        },
        RateLimit(40, 39, NOW + 1),
    ),
    (
        "PagerDuty",
        {"ratelimit-limit": "960", "ratelimit-remaining": "959", "ratelimit-reset": "60"},
        RateLimit(960, 959, NOW + 60),
    ),
    (
        "Discord",
        {
            "x-ratelimit-limit": "5",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1795000001.337",
            "x-ratelimit-reset-after": "1.337",
            "x-ratelimit-bucket": "abcd1234",
            "x-ratelimit-scope": "user",
        },
        RateLimit(5, 0, NOW + 1.337),
    ),
    (
        "HubSpot",
        {
            "x-hubspot-ratelimit-daily": "250000",
            "x-hubspot-ratelimit-daily-remaining": "249999",
            "x-hubspot-ratelimit-interval-milliseconds": "10000",
            "x-hubspot-ratelimit-max": "100",
            "x-hubspot-ratelimit-remaining": "99",
        },
        RateLimit(100, 99),
    ),
    (
        "Datadog",
        {
            "x-ratelimit-limit": "300",
            "x-ratelimit-name": "logs",
            "x-ratelimit-period": "3600",
            "x-ratelimit-remaining": "299",
            "x-ratelimit-reset": "1200",
        },
        RateLimit(300, 299, NOW + 1200),
    ),
    (
        "Okta and X",
        {"x-rate-limit-limit": "600", "x-rate-limit-remaining": "598", "x-rate-limit-reset": "1795000060"},
        RateLimit(600, 598, NOW + 60),
    ),
    (
        "Akamai",
        {
            "x-ratelimit-limit": "60",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-next": "2026-11-18T11:06:50Z",
        },
        RateLimit(60, 0, NOW + 10),
    ),
    (
        "WHOOP and others: policies after the limit",
        {
            "x-ratelimit-limit": "100, 100;window=60, 10000;window=86400",
            "x-ratelimit-remaining": "98",
            "x-ratelimit-reset": "3",
        },
        RateLimit(100, 98, NOW + 3),
    ),
    (
        "draft-ietf-httpapi-ratelimit-headers-07",
        {"ratelimit": "limit=100, remaining=50, reset=5", "ratelimit-policy": "100;w=60"},
        RateLimit(100, 50, NOW + 5),
    ),
    (
        "draft-ietf-httpapi-ratelimit-headers-10",
        {
            "ratelimit-policy": '"burst";q=100;w=60,"daily";q=1000;w=86400',
            "ratelimit": '"burst";r=5;t=30, "daily";r=800;t=4000',
        },
        RateLimit(100, 5, NOW + 30),
    ),
    ("draft, one policy", {"ratelimit": '"default";r=0;t=30;pk=:cHsR=:'}, RateLimit(None, 0, NOW + 30)),
    ("nothing", {"content-type": "application/json", "x-request-id": "1"}, None),
    ("words only", {"x-figma-rate-limit-type": "low", "x-ratelimit-resource": "core"}, None),
    ("garbage", {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "", "x-ratelimit-reset": "?"}, None),
    ("another word", {"x-generate-limits": "1", "x-rates": "5"}, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "limit"), [pytest.param(headers, limit, id=name) for name, headers, limit in SAMPLES]
)
def test_rate_limit_headers(headers: dict[str, str], limit: RateLimit | None) -> None:
    """What products send is understood without naming them."""
    found = read_rate_limit(headers, NOW)
    assert (found is None) is (limit is None)
    if found is not None and limit is not None:
        assert (found.limit, found.remaining) == (limit.limit, limit.remaining)
        assert found.reset_at == (None if limit.reset_at is None else pytest.approx(limit.reset_at))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "93"}, 93),
        ({"retry-after": "93", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795002400"}, 93),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "-1", "retry-after": "1"}, 1),
        ({"retryafter": "17"}, 17),
        ({"x-ratelimit-retry-after": "17"}, 17),
        ({"retry-after": "nonsense", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}, 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795002400"}, 2400),
        ({"x-ratelimit-reset": "1795002400"}, 2400),
        ({"x-ratelimit-remaining": "7", "x-ratelimit-reset": "1795002400"}, None),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            360,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "10",
                "x-ratelimit-reset-requests": "8.64s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "2s",
            },
            2,
        ),
        ({"ratelimit": '"burst";r=0;t=30, "daily";r=800;t=4000'}, 30),
        ({"x-ratelimit-remaining": "0"}, None),
        ({"content-type": "text/plain"}, None),
        ({}, None),
    ],
)
def test_retry_after_headers(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After counts first, then the limits that are used up; a limit with calls left tells nothing."""
    told = retry_after(headers, NOW)
    assert told == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("skew", [-7200, -30, 0, 30, 7200])
@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "Wed, 18 Nov 2026 11:07:40 GMT"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795000060"},
    ],
)
def test_clocks_may_differ(headers: dict[str, str], skew: float) -> None:
    """Points in time are read by the clock that wrote them."""
    assert retry_after({**headers, "date": "Wed, 18 Nov 2026 11:06:40 GMT"}, NOW + skew) == 60


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"), (0.2, "1 second"), (1, "1 second"), (1.01, "2 seconds"), (60, "1 minute"),
        (61, "61 seconds"), (119.5, "2 minutes"), (150, "3 minutes"), (720, "12 minutes"), (3600, "1 hour"),
        (3700, "62 minutes"), (7200, "2 hours"), (7201, "3 hours"), (86_400, "1 day"),
    ],
)  # fmt: skip
def test_in_words(seconds: float, words: str) -> None:
    """A duration is said shortly and never too short."""
    assert in_words(seconds) == words


names = st.sampled_from(
    [
        "retry-after", "retry-after-ms", "x-ratelimit-retry-after", "date", "ratelimit", "ratelimit-policy",
        "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens", "x-rate-limit", "zendesk-ratelimit-x", "x-ratelimit-",
        "rate-limit-rate-limit",
    ]
)  # fmt: skip
pieces = st.sampled_from(
    [
        "0", "-", "1", "9" * 30, "e", ".", "nan", "inf", ";", ",", "=", '"', "q", "r", "t", "remaining",
        "reset", "s", "m", "h", "ms", "µ", ":", "T", "Z", "+", " ", "GMT", "Nov", "2026", "Wed", "Wednesday",
        "\\", "(", "\N{ARABIC-INDIC DIGIT THREE}", "²",
    ]
)  # fmt: skip
values = st.one_of(
    st.text(max_size=40),
    st.lists(pieces, max_size=14).map("".join),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)


@given(st.dictionaries(names, values, max_size=6), st.floats(0, 4e9))
@example({"retry-after": "²"}, NOW)
@example({"ratelimit-limit": "\N{ARABIC-INDIC DIGIT ONE}"}, NOW)
@example({"date": "Mon, 01 Jan 0001 00:00:00 +2359", "retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, NOW)
def test_headers_never_harm(headers: dict[str, str], now: float) -> None:
    """Whatever headers say: nothing raises, no wait is negative, none is longer than a day."""
    wait = retry_after(headers, now)
    assert wait is None or 0 <= wait <= LONGEST
    limit = read_rate_limit(headers, now)
    if limit is not None:
        assert limit.limit is None or limit.limit >= 0
        assert limit.remaining is None or limit.remaining >= 0
        assert limit.reset_at is None or now <= limit.reset_at <= now + LONGEST


@given(st.one_of(values, st.floats(), st.integers()), st.floats(0, 4e9))
def test_values_never_harm(value: str | float, now: float) -> None:
    """The same for a value by itself."""
    wait = retry_after(value, now)
    assert wait is None or 0 <= wait <= LONGEST


def test_only_the_first_kilobyte_of_a_header_is_read() -> None:
    """No limit needs more; what is before counts."""
    assert read_rate_limit({"x-ratelimit": "limit=7, " + "a" * 20_000 + "=1, remaining=3"}, 0) == RateLimit(7)


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        (
            {"maximumAvailable": 1000.0, "currentlyAvailable": 950, "restoreRate": 50.0},
            RateLimit(1000, 950, NOW + 1),
        ),
        (
            {"maximumAvailable": 1000, "currentlyAvailable": 1000, "restoreRate": 0},
            RateLimit(1000, 1000, NOW),
        ),
        ({"maximumAvailable": 1000, "currentlyAvailable": -1, "restoreRate": 50}, None),
        ({"maximumAvailable": "many", "currentlyAvailable": True, "restoreRate": math.nan}, None),
        ({}, None),
        ([], None),
    ],
)
def test_the_cost_of_a_query(told: Any, limit: RateLimit | None) -> None:
    """What a GraphQL answer says of its points, and nothing where it is said otherwise."""
    body = {"data": {}, "extensions": {"cost": {"throttleStatus": told}}}
    assert limit_of_queries(body, NOW) == limit
    others: list[Any] = [None, [], {"extensions": {}}, {"extensions": {"cost": 5}}]
    for other in others:
        assert limit_of_queries(other, NOW) is None
