"""A run, told to the operator: its steps as a trace, its end as a line in the log and as counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from linkspan.runs.about import in_a_line
from linkspan.runs.lease import Lease
from linkspan.runs.verdicts import end_of
from linkspan.store.runs import Run
from linkspan.telemetry import Telemetry, Tracer

log = logging.getLogger("linkspan.runs")
Step = Callable[[Lease], Coroutine[Any, Any, dict[str, Any]]]


def traced(tracer: Tracer, name: str, step: Step) -> Step:
    """Answer a step that leaves a span in its run's trace."""

    async def followed(lease: Lease) -> dict[str, Any]:
        run = lease.run
        told = {"linkspan.run": run.id, "linkspan.tenant": run.tenant, "linkspan.recipe": run.recipe}
        with tracer.span(name, told, run=run.id) as span:
            verdict = await step(lease)
            end = end_of(verdict)
            if end is not None:
                span.failed(end.code or end.state)
            return verdict

    return followed if tracer.is_on else step


def tell_ended(run: Run, telemetry: Telemetry) -> None:
    """Tell how a run went, without a word of what it was about."""
    ended = run.finished or run.updated
    told = {
        "run": run.id,
        "tenant": run.tenant,
        "recipe": run.recipe,
        "engine": run.engine,
        "state": run.state,
        "error": run.error_code,
        "seconds": round(ended - run.created, 1),
        "tokens": run.total_tokens,
    }
    fields = {name: value for name, value in told.items() if value is not None}
    log.info("%s", in_a_line(run), extra={"fields": fields})
    attributes = {f"linkspan.{name}": value for name, value in fields.items()}
    telemetry.tracer.run_ended(run.id, attributes, began=run.created, ended=ended, state=run.state)
    telemetry.meters.run_ended(
        recipe=run.recipe,
        engine=run.engine,
        state=run.state,
        seconds=ended - run.created,
        queued=(run.started or ended) - run.created,
    )
