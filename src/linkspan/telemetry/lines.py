"""One line a call in the log, for an operator to read; as JSON it has the same as fields."""

from __future__ import annotations

import logging
from typing import Final, Literal

from linkspan.telemetry.ended import CallEnded

log = logging.getLogger("linkspan.calls")
Which = Literal["all", "changes", "none"]
_GOOD: Final = frozenset({"ok", "dry_run"})
_OURS: Final = frozenset({"internal"})
_THEIRS: Final = frozenset({"upstream_error", "upstream_timeout", "needs_reauth", "rate_limited"})


class Lines:
    """Writes nothing."""

    is_on = False

    def call(self, ended: CallEnded, trace_id: str | None = None) -> None:
        """Tell of a call that has ended."""


class LogLines(Lines):
    """Writes a line for all calls, or for those that change something or fail."""

    is_on = True

    def __init__(self, which: Which) -> None:
        self._all = which == "all"
        self.is_on = which != "none"

    def call(self, ended: CallEnded, trace_id: str | None = None) -> None:
        """Write a line; what went wrong here is an error, what went wrong at a product a warning."""
        outcome = ended.outcome
        if not (self._all or ended.writes or outcome not in _GOOD):
            return
        level = logging.INFO
        if outcome in _OURS:
            level = logging.ERROR
        elif outcome in _THEIRS:
            level = logging.WARNING
        if not log.isEnabledFor(level):
            return
        principal = " ".join(ended.principal.split())[:120]
        milliseconds = round(ended.seconds * 1000, 1)
        fields = {
            "request_id": ended.request_id,
            "tenant": ended.tenant,
            "principal": principal,
            "tool": ended.tool,
            "connector": ended.connector,
            "account": ended.account,
            "via": ended.via,
            "outcome": outcome,
            "upstream_status": ended.status,
            "duration_ms": milliseconds,
            "trace_id": trace_id,
        }
        told = {name: value for name, value in fields.items() if value is not None and value != ""}
        log.log(
            level,
            "call %s of %s by %s at %s: %s%s in %.1f ms (%s, request %s)",
            ended.tool,
            ended.tenant,
            principal,
            ended.connector or "linkspan",
            outcome,
            f" {ended.status}" if ended.status is not None else "",
            milliseconds,
            ended.via,
            ended.request_id,
            extra={"fields": told},
        )
