"""Faults of ours behind a page: whoever looks at it reads the number by which the log tells of the cause."""

from __future__ import annotations

import logging

from starlette.requests import Request

from linkspan.errors import Internal
from linkspan.web.passing import request_id_of


def fault(
    log: logging.Logger, request: Request, what: str, message: str = "Something went wrong inside Linkspan"
) -> Internal:
    """Write what was just caught into the log, and answer what a page says of it."""
    number = request_id_of(request.scope)
    log.exception("request %s: %s failed at %s", number, what, request.url.path)
    error = Internal(f"{message} (request {number})", hint="Its log says why, under that number.")
    error.request_id = number
    return error
