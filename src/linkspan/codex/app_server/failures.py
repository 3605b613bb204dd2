"""What became of a turn that failed, in words for people.

What our own model proxy refuses arrives whole: it answers 400, which Codex does not try again, and Codex
hands the body on as its message. Everything else is told by Codex's own kinds of error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from linkspan.codex.engine import Failure

_LONGEST: Final = 500
_WAIT: Final = 60.0
"""Seconds, where nobody says."""
_BY_KIND: Final[dict[str, tuple[str, str, bool]]] = {
    "contextWindowExceeded": (
        "too_large",
        "The work is larger than what the model can keep in mind; give it a smaller piece.",
        False,
    ),
    "sessionBudgetExceeded": ("quota_exceeded", "The budget of this run is spent.", False),
    "usageLimitExceeded": (
        "quota_exceeded",
        "The OpenAI account has no quota left: see its plan and billing.",
        False,
    ),
    "rateLimitExceeded": ("rate_limited", "OpenAI refuses more calls for now.", True),
    "serverOverloaded": ("upstream_error", "OpenAI has no capacity for this model at the moment.", True),
    "flexUnavailable": ("upstream_error", "OpenAI has no capacity for this model at the moment.", True),
    "modelNotFound": ("not_found", "The OpenAI account has no such model; choose another one.", False),
    "internalServerError": ("upstream_error", "OpenAI answered with failures of its own.", True),
    "unauthorized": ("needs_reauth", "OpenAI refused the credential of the account.", False),
    "cyberPolicy": ("forbidden", "OpenAI's policy does not allow this work.", False),
    "misalignmentPolicyViolation": ("forbidden", "OpenAI's policy stopped this work.", False),
    "tooManyDenials": (
        "forbidden",
        "Codex gave up: too much of what it asked for was declined.",
        False,
    ),
    "sandboxError": ("internal", "The sandbox of this machine could not run commands.", False),
}
_BY_STATUS: Final[dict[int, tuple[str, str, bool]]] = {
    401: ("unauthenticated", "The run's token for its model is not good any more.", False),
    402: _BY_KIND["usageLimitExceeded"],
    403: ("forbidden", "OpenAI does not allow this for the account.", False),
    404: _BY_KIND["modelNotFound"],
    413: _BY_KIND["contextWindowExceeded"],
    429: _BY_KIND["rateLimitExceeded"],
}


def failure_of(error: Mapping[str, Any] | None) -> Failure:
    """Answer the failure that Codex tells as `{message, codexErrorInfo, additionalDetails}`."""
    said = str((error or {}).get("message") or "")
    if (ours := _ours(said)) is not None:
        return ours
    kind, status = _kind((error or {}).get("codexErrorInfo"))
    known = _BY_KIND.get(kind) or _BY_STATUS.get(status or 0)
    if known is None and status is not None and status >= 500:
        known = _BY_KIND["internalServerError"]
    if known is None and kind in {"responseStreamDisconnected", "responseStreamConnectionFailed"}:
        known = ("upstream_error", "The connection to the model was lost, also when tried again.", True)
    if known is None:
        words = _words(said)
        return Failure("upstream_error", f"Codex failed: {words}" if words else "Codex failed.")
    code, message, is_retryable = known
    return Failure(code, message, is_retryable, _WAIT if is_retryable else None)


def code_of(error: Mapping[str, Any] | None) -> str:
    """Answer the code alone, for an event."""
    return failure_of(error).code


def _ours(said: str) -> Failure | None:
    """Read an error of our model proxy, or a vendor's 400, out of Codex's message."""
    start = said.find("{")
    if start < 0:
        return None
    try:
        error, _ = json.JSONDecoder().raw_decode(said[start:])
        error = error["error"]
        message, code = str(error["message"]), error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if "linkspan" not in error:
        return Failure("upstream_error", f"OpenAI did not accept the request: {_words(message)}")
    wait = error.get("retry_after")
    return Failure(str(code), message, bool(error["linkspan"].get("retryable")), wait)


def _kind(info: Any) -> tuple[str, int | None]:
    """Answer the kind and, where there is one, the HTTP status."""
    if isinstance(info, str):
        return info, None
    if isinstance(info, Mapping):
        for kind, detail in info.items():
            status = detail.get("httpStatusCode") if isinstance(detail, Mapping) else None
            return str(kind), status if isinstance(status, int) else None
    return "", None


def _words(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
