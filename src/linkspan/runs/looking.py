"""Looking for work again and again, in a process that goes on when a look fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from linkspan.errors import LinkspanError
from linkspan.runs.bell import Bell

log = logging.getLogger("linkspan.runs")


async def keep_looking(what: str, look: Callable[[], Awaitable[object]], bell: Bell, seconds: float) -> None:
    """Look until cancelled, when it rings and each `seconds`. What fails is logged once, until it works."""
    is_failing = False
    while True:
        try:
            await look()
            is_failing = False
        except LinkspanError as error:
            if not is_failing:
                log.error("%s cannot be looked for: %s", what, error.message)
            is_failing = True
        except Exception:
            if not is_failing:
                log.exception("looking for %s failed", what)
            is_failing = True
        await bell.wait(seconds)
