"""How each of Codex's failures is told to people and programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.codex.app_server.failures import failure_of
from linkspan.codex.engine import Failure


@pytest.mark.parametrize(
    ("info", "code", "retryable"),
    [
        ("usageLimitExceeded", "quota_exceeded", False),
        ("rateLimitExceeded", "rate_limited", True),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "rate_limited", True),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, "unauthenticated", False),
        ({"httpConnectionFailed": {"httpStatusCode": 403}}, "forbidden", False),
        ({"httpConnectionFailed": {"httpStatusCode": 502}}, "upstream_error", True),
        ({"responseStreamDisconnected": {"httpStatusCode": None}}, "upstream_error", True),
        ("unauthorized", "needs_reauth", False),
        ("contextWindowExceeded", "too_large", False),
        ("serverOverloaded", "upstream_error", True),
        ("modelNotFound", "not_found", False),
        ("something of tomorrow", "upstream_error", False),
        (None, "upstream_error", False),
    ],
)
def test_kinds_become_codes_of_ours(info: Any, code: str, retryable: bool) -> None:
    """With a sentence, and a time where it may be tried again."""
    failure = failure_of({"message": "exceeded retry limit", "codexErrorInfo": info})
    assert (failure.code, failure.retryable) == (code, retryable)
    assert failure.message.endswith(".") or "exceeded retry limit" in failure.message
    assert (failure.retry_after is not None) == retryable


def test_what_our_proxy_refuses_comes_through_whole() -> None:
    """Code, sentence and time."""
    error = {
        "code": "rate_limited",
        "message": "Come back.",
        "retry_after": 90,
        "linkspan": {"retryable": True},
    }
    told = {"message": json.dumps({"error": error}), "codexErrorInfo": "other"}
    assert failure_of(told) == Failure("rate_limited", "Come back.", retryable=True, retry_after=90)


def test_a_request_that_the_vendor_does_not_take_is_told_in_its_words() -> None:
    """A 400 has the reason in it."""
    body = {"error": {"message": "Unsupported parameter: foo", "type": "invalid_request_error", "code": None}}
    failure = failure_of({"message": json.dumps(body), "codexErrorInfo": "other"})
    assert failure == Failure(
        "upstream_error", "OpenAI did not accept the request: Unsupported parameter: foo"
    )


@pytest.mark.parametrize("error", [None, {}, {"message": "{not json"}, {"message": '{"error": 3}'}])
def test_nothing_surprises(error: Any) -> None:
    """Whatever Codex says."""
    assert failure_of(error).message.startswith("Codex failed")
