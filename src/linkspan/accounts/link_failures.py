"""What somebody is told who links an account in a browser: no command, no setting of the operator's.

`error_type` is Truto's word: `invalid_token`, `invalid_integration`, `connection_error`, `validation_error`,
`post_install_error`; `code` is ours. The rest is for the page: faults by field, things to choose from, and
both names where somebody else signed in than the account belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from linkspan.accounts.proving import IDENTITY_CHANGED
from linkspan.errors import (
    Conflict,
    EgressRefused,
    Forbidden,
    InvalidArgument,
    LinkspanError,
    NeedsReauth,
    RateLimited,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
)
from linkspan.store.database import StoreFault

Failure = Mapping[str, Any]


class LinkOver(Forbidden):
    """A link that is good no more, or not in this browser."""


_CHECK: Final = "Check what you entered and try again."
_AGAIN: Final = "Try again."
_LATER: Final = "Try again in a moment."
_ASK: Final = "Ask whoever sent you here."


def failure_of(error: LinkspanError, *, error_type: str | None = None) -> dict[str, Any]:
    """Answer what a page shows of an error. `error_type` is given where it is known better."""
    word, hint = _kind(error)
    told: dict[str, Any] = {
        "error_type": error_type or word,
        "code": error.code,
        "message": _sentence(error.message),
        "hint": hint,
        "retry_after": error.retry_after,
    }
    details = error.details
    if isinstance(details, Mapping):
        if details.get("reason") == IDENTITY_CHANGED:
            told |= _identity_changed(details)
        elif details.get("missing_scopes"):
            told["message"] = _sentence(f"{error.message} (missing: {', '.join(details['missing_scopes'])})")
    elif details is not None:
        choices = [each for each in details if "settings" in each]
        faults = {each["path"]: each["message"] for each in details if "path" in each}
        if choices:
            told |= {"error_type": "post_install_error", "choices": choices, "hint": "Choose one."}
        if faults:
            told |= {"fields": faults, "message": "Some of this does not fit yet."}
    if isinstance(error, EgressRefused):
        told["message"] = "That address cannot be reached from here: connections to it are not allowed."
    return told


def state_failure(state: str, message: str | None) -> dict[str, Any]:
    """Answer what a page shows of an account that was linked and is not usable yet."""
    return {
        "error_type": "post_install_error" if state == "post_install_error" else "validation_error",
        "code": "needs_reauth",
        "message": _sentence(message or "It is linked, but it cannot be used yet"),
        "hint": _LATER,
        "retry_after": None,
    }


def _kind(error: LinkspanError) -> tuple[str, str | None]:
    """Answer Truto's word for an error, and what is to be done next."""
    if isinstance(error, StoreFault):
        return "connection_error", f"Nothing was linked. {_of_store(error)}"
    if isinstance(error, Unauthenticated | LinkOver):
        return "invalid_token", error.hint
    if isinstance(error, InvalidArgument | NeedsReauth):
        return "validation_error", _CHECK
    if isinstance(error, Forbidden):
        return ("validation_error" if error.upstream_status else "connection_error"), error.hint or _ASK
    if isinstance(error, Conflict):
        return "validation_error", _AGAIN
    if isinstance(error, EgressRefused):
        return "connection_error", "Check the address. If it is right, ask whoever runs this service."
    if isinstance(error, RateLimited):
        return "connection_error", error.hint or _LATER
    if isinstance(error, UpstreamError | UpstreamTimeout):
        return "connection_error", _LATER
    return "connection_error", _ASK


def _of_store(error: StoreFault) -> str:
    given_back = error.hint is not None and error.hint.startswith("The grant was given back")
    lead = "What you consented to was given back. " if given_back else ""
    return f"{lead}Try again later, or tell whoever runs this service."


def _identity_changed(details: Mapping[str, Any]) -> dict[str, Any]:
    linked, given = details.get("linked") or "somebody else", details.get("given") or "somebody else"
    return {
        "code": IDENTITY_CHANGED,
        "message": f"This account is connected as {linked}, but you signed in as {given}.",
        "hint": f"Sign in there as {linked} and try again.",
        "linked": linked,
        "given": given,
    }


def _sentence(text: str) -> str:
    return text if text[-1:] in ".!?…" else f"{text}."
