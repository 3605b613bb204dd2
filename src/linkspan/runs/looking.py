"""Looking for work again and again, in a process that goes on when a look fails."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from linkspan.errors import LinkspanError
from linkspan.runs.bell import Bell

log = logging.getLogger("linkspan.runs")


async def keep_looking(what: str, look: Callable[[], Awaitable[object]], bell: Bell, seconds: float) -> None:
    """Look until cancelled, when it rings and each `seconds`; at once again after a ring during a look.

    What fails is logged once, with what that means and what happens next, and once more when it works again.
    """
    is_failing = False
    while True:
        rung = bell.rung
        try:
            await look()
        except LinkspanError as error:
            if not is_failing:
                log.error(
                    "%s cannot be looked for, so nothing new is begun here: %s (tried again every %g s)",
                    what,
                    error.message.rstrip("."),
                    seconds,
                )
            is_failing = True
        except Exception:
            if not is_failing:
                log.exception("looking for %s failed by a fault of ours; it is tried again", what)
            is_failing = True
        else:
            if is_failing:
                log.warning("%s can be looked for again", what)
            is_failing = False
        await bell.wait(seconds, since=None if is_failing else rung)
