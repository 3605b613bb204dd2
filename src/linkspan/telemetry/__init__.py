"""What the operator's own tools are told of a process: counts for Prometheus, spans for OpenTelemetry.

Everything here has names as its labels (tenant, connector, entity, tool, status), and never a value that
somebody typed, a product answered, or a secret. Where neither is asked for, nothing is imported, and a call
costs a few methods that do nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from linkspan.telemetry.meters import Meters
from linkspan.telemetry.tracer import Tracer

__all__ = ["SILENT", "Meters", "Telemetry", "Tracer"]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Both of a process."""

    meters: Meters = field(default_factory=Meters)
    tracer: Tracer = field(default_factory=Tracer)

    @property
    def is_on(self) -> bool:
        """Whether anybody listens."""
        return self.meters.is_on or self.tracer.is_on


SILENT = Telemetry()
