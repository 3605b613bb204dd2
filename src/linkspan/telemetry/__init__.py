"""What the operator's own tools are told of a process: counts for Prometheus, spans for OpenTelemetry, lines.

Everything here has names as its labels (tenant, connector, entity, tool, status), and never a value that
somebody typed, a product answered, or a secret. Where nothing is asked for, nothing is imported, and a call
costs a few methods that do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from linkspan.telemetry.ended import CallEnded
from linkspan.telemetry.lines import Lines
from linkspan.telemetry.meters import Meters
from linkspan.telemetry.tracer import Tracer

__all__ = ["SILENT", "CallEnded", "Lines", "Meters", "Telemetry", "Tracer"]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """All that a process tells."""

    meters: Meters = field(default_factory=Meters)
    tracer: Tracer = field(default_factory=Tracer)
    lines: Lines = field(default_factory=Lines)

    @property
    def watches(self) -> bool:
        """Whether requests, in and out, are to be looked at."""
        return self.meters.is_on or self.tracer.is_on

    def call_ended(self, ended: CallEnded) -> None:
        """Count a call, and write its line."""
        self.meters.call(ended)
        if self.lines.is_on:
            self.lines.call(ended, self.tracer.trace_id())


SILENT = Telemetry()
