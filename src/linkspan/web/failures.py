"""The one shape of every failure over REST: ours, and Truto's keys beside it.

`error` is ours, an object, where Truto has a word there: one name cannot be both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import to_json
from starlette.responses import JSONResponse
from starlette.types import Scope

from linkspan.errors import Forbidden, InvalidArgument, LinkspanError, QuotaExceeded, RateLimited
from linkspan.web.passing import request_id_of

UNTOLD: Final = 30.0
"""Seconds that who is refused is told to wait where nobody says for how long."""
SPENT: Final = 3_600.0
"""Seconds after which a spent budget is worth another look; waiting alone does not fill it."""
_OURS: Final = ("internal", "unauthenticated", "not_linked", "egress_refused")


def is_remote(error: LinkspanError) -> bool:
    """Tell whether it was the product that failed or refused, and not we."""
    if error.code in _OURS:
        return False
    return error.upstream_status is not None or error.code.startswith("upstream_")


def told(
    error: LinkspanError, request_id: str, *, status: int | None = None, own: Mapping[str, Any] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    """Answer status, body and headers of a failure.

    `status` is answered instead of the error's own. `own` are words of the product that its own clients read
    in `error`, in place of ours.
    """
    error.request_id = request_id
    answered = status or error.status
    wait = _wait(error, answered)
    remote = is_remote(error)
    body = error.to_dict()
    if status is not None:
        body["error"]["status"] = status
    body["error"]["retry_after"] = wait
    body["error"] |= own or {}
    body |= {
        "statusCode": answered,
        "code": error.code,
        "message": error.message,
        "request_id": request_id,
        "is_remote_error": remote,
        "truto_is_remote_error": remote,
    }
    if wait is not None:
        body["retry_after"] = wait
    if error.raw_response is not None:
        body["raw_response"] = error.raw_response
    insight = _insight(error, wait)
    if insight:
        body["insight"] = insight
    headers = {"content-type": "application/json"}
    if answered == HTTPStatus.UNAUTHORIZED and not remote:
        headers["WWW-Authenticate"] = 'Bearer realm="linkspan"'
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return answered, to_json(body), headers


def alone(error: LinkspanError, scope: Scope) -> JSONResponse:
    """Answer a failure in our own shape, without Truto's keys: for scripts of our pages, and products."""
    error.request_id = request_id_of(scope)
    headers = {"Cache-Control": "no-store", "X-Request-Id": error.request_id}
    return JSONResponse(error.to_dict(), error.status, headers)


def _wait(error: LinkspanError, status: int) -> float | None:
    """Answer how long to wait: of 429 always, of others where it is known."""
    if error.retry_after is not None or status != HTTPStatus.TOO_MANY_REQUESTS:
        return error.retry_after
    return SPENT if isinstance(error, QuotaExceeded) else UNTOLD


def _insight(error: LinkspanError, wait: float | None) -> dict[str, Any]:
    """Answer what a program can act on without reading the sentence, under Truto's words for it."""
    found: dict[str, Any] = {}
    if isinstance(error, RateLimited):
        found["rate_limit_error"] = {"description": "Wait, then call again.", "value": {"retry_after": wait}}
    details: Any = error.details
    if isinstance(error, Forbidden) and isinstance(details, Mapping) and details.get("missing_scopes"):
        scopes = {"missing_scopes": details["missing_scopes"]}
        found["forbidden_error"] = {"description": "Link the account again with these.", "value": scopes}
    if isinstance(error, InvalidArgument) and isinstance(details, list):
        missing = [one["path"] for one in details if "required" in str(one.get("message", "")).lower()]
        if missing:
            found["missing_required_fields"] = {"description": "Give these too.", "value": missing}
    return found
