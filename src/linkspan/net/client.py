"""The policy over a transport: what is sent again, how long is waited, which redirect is followed.

- A request that never left is sent again, whatever it does. After that only what may be repeated is:
  lost connections and 502, 503, 504. An answer "too many calls" refused the work, so it may always be
  repeated, after the time that it names.
- Waiting stays inside a budget; a longer wait is told to the caller as `RateLimited`.
- Redirects of GET and HEAD are followed inside the account's origins; credentials stay with the first one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from linkspan.errors import NeedsReauth, RateLimited, UpstreamError, UpstreamTimeout
from linkspan.net.limits import RateLimit, TooMany, in_words, read_rate_limit, retry_after, tightest
from linkspan.net.messages import CHECK_BASE_URL, ConnectionFailed, Request, Response, Transport
from linkspan.net.pacing import Pace
from linkspan.net.urls import origin_of, resolve
from linkspan.telemetry import SILENT, Meters

MAX_ATTEMPTS = 3
MAX_REDIRECTS = 5
UNTOLD_WAIT = 30.0
"""Seconds that a caller is told to wait when the product refused a call and named no time."""
UNKNOWN_OUTCOME = "It is not known whether the change was made: read it back before trying again."

LimitRule = Callable[[Response], float | str | bool | None]
"""A connector's rule for "too many calls": False when an answer is none; else seconds to wait, or a text as
in Retry-After; None or True when no time is told beyond the headers."""

SpentRule = Callable[[Response], bool]
"""Tells whether an answer, of the status of a limit perhaps, says that a quota is spent: no wait helps."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({"name", "refused", "unreachable", "lost"})
_UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer, and what its headers say about the vendor's limit."""

    response: Response
    rate_limit: RateLimit | None = None


class Client:
    """Sends requests over a transport by the rules above. Knows no tenant; safe for concurrent calls."""

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        max_bytes: int = 10 * 2**20,
        meters: Meters = SILENT.meters,
    ) -> None:
        """`jitter` answers numbers from 0 up to 1; `max_bytes` is the largest answer that is read."""
        self._meters = meters
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._max_bytes = max_bytes

    async def send(
        self,
        request: Request,
        *,
        repeatable: bool,
        origins: Sequence[str],
        sensitive_headers: Collection[str] = (),
        timeout: float = 30.0,
        budget: float = 20.0,
        rate_limited: LimitRule | None = None,
        is_spent: SpentRule | None = None,
        max_bytes: int | None = None,
        pace: Pace | None = None,
    ) -> Reply:
        """Send until there is an answer that waiting does not better, at most three times.

        `origins` (`scheme://host:port`, the port always written) is where the request may go at all;
        `sensitive_headers` (names in any case) stay with the first of them. `timeout` is for one exchange,
        `budget` for everything beside it: no call takes longer than both together. `rate_limited` adds to
        what is understood by itself: status 429, and 403 with nothing remaining; `is_spent` takes from it
        what is an answer like others, and nothing that later requests are held back for. `max_bytes` is the
        largest answer that is read, if other than usual. `pace` says when a request's turn is: the budget is
        waited for that, too.

        An answer of any status is an answer. Raises `NeedsReauth` for another origin, `RateLimited` when the
        product wants more patience than the budget has, `UpstreamError` for a redirect that is not followed,
        and `ConnectionFailed`, `EgressRefused`, `TooLarge` and `UpstreamTimeout` for want of an answer.
        """
        if origin_of(request.url) not in origins:
            raise NeedsReauth(
                f"The account was not linked for {origin_of(request.url)}; nothing was sent",
                hint="Link it again for this address, or put base_url back.",
            )
        began = self._clock()
        most = max_bytes or self._max_bytes
        rules, limits = (rate_limited, is_spent), (timeout, budget)
        call = _Call(request, repeatable, origins, sensitive_headers, *limits, *rules, began, most, pace)
        outcome, limit = await self._exchange(call, timeout)
        if (
            isinstance(outcome, Response)
            and outcome.status < 300
            and (rate_limited is None or rate_limited(outcome) is False)
        ):
            return Reply(outcome, limit)
        return await self._go_on(call, outcome, limit)

    def now(self) -> float:
        """Answer the time that it goes by, in epoch seconds."""
        return self._clock()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _exchange(
        self, call: _Call, timeout: float
    ) -> tuple[Response | ConnectionFailed, RateLimit | None]:
        """Send once, when it is its turn; answer what came, and what it says of limits."""
        request, pace = call.request, call.pace
        turn = None
        if pace is not None:
            since = self._clock()
            turn = await pace.enter(call.patience, again=call.attempts > 1)
            waited = max(0.0, self._clock() - since)
            call.patience -= waited
            if waited > 0.005:  # else it was its turn at once
                self._meters.waited(request.use.connector, "budget", waited)
        try:
            response = await self._transport.exchange(request, timeout=timeout, max_bytes=call.max_bytes)
        except (ConnectionFailed, UpstreamTimeout) as failure:
            return _unanswered(failure, repeatable=call.repeatable), None
        else:
            now = self._clock()
            if turn is None:
                return response, read_rate_limit(response.headers, now)
            if call.says_spent(response):
                return response, None
            limit = tightest(turn.answered(response.status, response.headers, now))
            told = call.limit(response, now) if response.status >= 400 or call.rule is not None else None
            if told is not None:
                turn.refused(told.wait)
            return response, limit
        finally:
            if turn is not None:
                turn.end()

    async def _go_on(
        self, call: _Call, outcome: Response | ConnectionFailed, limit: RateLimit | None
    ) -> Reply:
        """Repeat, wait, follow, until the outcome stands."""
        while True:
            now = self._clock()
            if isinstance(outcome, ConnectionFailed):
                wait, why = self._backoff(call), "connection"
                repeatable = outcome.reason in _PASSING and (call.repeatable or not outcome.sent)
                if not repeatable or not call.may_wait(wait, now):
                    raise outcome
            elif (told := call.limit(outcome, now)) is not None:
                # A little later than told: clocks differ, and others were told the same.
                why = "rate_limit"
                named = told.wait
                wait = self._backoff(call, 1.0) if named is None else named + self._backoff(call)
                if not call.may_wait(wait, now):
                    refused = _rate_limited(outcome, named, now)
                    refused.rate_limit = limit
                    raise refused
            elif outcome.status in _REDIRECTS and "location" in outcome.headers:
                call.follow(outcome)
                wait, why = None, ""
            elif outcome.status in _UNAVAILABLE and call.repeatable:
                wait = max(self._backoff(call), retry_after(outcome.headers.get("retry-after"), now) or 0.0)
                why = "unavailable"
                if not call.may_wait(wait, now):
                    return Reply(outcome, limit)
            else:
                return Reply(outcome, limit)
            if wait is not None:
                call.attempts += 1
                call.patience -= wait
                self._meters.waited(call.request.use.connector, why, wait)
                await self._sleep(wait)
            outcome, limit = await self._exchange(call, call.time_left(self._clock()))

    def _backoff(self, call: _Call, first: float = 0.1) -> float:
        """Twice as long each time, spread so that callers who failed together do not come back together."""
        longest: float = first * 2**call.attempts
        return longest * (0.5 + self._jitter() / 2)


@dataclass(slots=True)
class _Call:
    """A call that did not go straight: what was tried, and how much patience is left."""

    request: Request
    repeatable: bool
    origins: Sequence[str]
    sensitive_headers: Collection[str]
    timeout: float
    patience: float
    rule: LimitRule | None
    spent: SpentRule | None
    began: float
    max_bytes: int
    pace: Pace | None = None
    attempts: int = 1
    redirects: int = 0
    budget: float = 0.0

    def __post_init__(self) -> None:
        self.budget = self.patience

    def may_wait(self, seconds: float, now: float) -> bool:
        """Tell whether another attempt fits into what the caller grants."""
        return (
            self.attempts < MAX_ATTEMPTS
            and seconds <= self.patience
            and now + seconds < self.began + self.timeout + self.budget
        )

    def time_left(self, now: float) -> float:
        """Answer the seconds that the next attempt may take."""
        return max(0.001, min(self.timeout, self.began + self.timeout + self.budget - now))

    def limit(self, response: Response, now: float) -> TooMany | None:
        """Answer what the product says of too many calls; None if it says nothing of the kind."""
        return None if self.says_spent(response) else limit_of(response, self.rule, now)

    def says_spent(self, response: Response) -> bool:
        """Tell whether the product says that a quota is spent: so no more than that is learned from it."""
        may_say = response.status >= 400 or self.rule is not None
        return may_say and self.spent is not None and self.spent(response)

    def follow(self, response: Response) -> None:
        """Turn a redirect into the next request (RFC 9110 §15.4), or raise `UpstreamError`."""
        here = origin_of(self.request.url)
        if self.request.method not in {"GET", "HEAD"}:
            raise _redirect(response, here, f"a {self.request.method}, which may not be sent on")
        try:
            target = resolve(self.request.url, response.headers["location"])
        except ValueError as error:
            raise _redirect(response, here, "the request to an address that is none") from error
        there = origin_of(target)
        if there not in self.origins:
            raise _redirect(response, here, f"the request to {there}, which is not part of this account")
        self.redirects += 1
        if self.redirects > MAX_REDIRECTS:
            raise _redirect(response, here, f"the request more than {MAX_REDIRECTS} times")
        if there == here:
            self.request = replace(self.request, url=target)
        else:
            sensitive = {name.lower() for name in self.sensitive_headers}
            kept = {
                name: value for name, value in self.request.headers.items() if name.lower() not in sensitive
            }
            self.request = Request(
                self.request.method, target, kept, ca=self.request.ca, use=self.request.use
            )


def _unanswered(failure: ConnectionFailed | UpstreamTimeout, *, repeatable: bool) -> ConnectionFailed:
    """Say of a change that may have been made that nobody knows; a time-out is final."""
    if not repeatable and (isinstance(failure, UpstreamTimeout) or failure.sent):
        failure.hint = UNKNOWN_OUTCOME
    if isinstance(failure, UpstreamTimeout):
        raise failure
    return failure


def _redirect(response: Response, here: str, what: str) -> UpstreamError:
    return UpstreamError(
        f"{here} redirected {what} (status {response.status})",
        hint=CHECK_BASE_URL,
        upstream_status=response.status,
    )


def limit_of(response: Response, rule: LimitRule | None, now: float) -> TooMany | None:
    """Answer what an answer says that refuses more calls; None if it says something else.

    `rule` is the product's own, beside what is understood by itself.
    """
    told = rule(response) if rule is not None else False
    if told is False and not _is_limit(response, now):
        return None
    named = None if isinstance(told, bool) else retry_after(told, now)
    return TooMany(named if named is not None else retry_after(response.headers, now))


def _is_limit(response: Response, now: float) -> bool:
    """429 (RFC 6585 §4), and a 403 with a time or with nothing remaining, as GitHub answers."""
    if response.status != 403:
        return response.status == 429
    limit = read_rate_limit(response.headers, now)
    return "retry-after" in response.headers or (limit is not None and limit.remaining == 0)


def _rate_limited(response: Response, wait: float | None, now: float) -> RateLimited:
    host = urlsplit(response.url).hostname
    if wait is None:
        return RateLimited(
            f"{host} refuses more calls for now and does not say for how long",
            hint=f"Try again in {in_words(UNTOLD_WAIT)} or later.",
            retry_after=UNTOLD_WAIT,
            upstream_status=response.status,
        )
    at = time.strftime("%H:%M:%S UTC", time.gmtime(now + wait))
    return RateLimited(
        f"{host} refuses more calls for now",
        hint=f"Try again in {in_words(wait)}, at {at}.",
        retry_after=wait,
        upstream_status=response.status,
    )
