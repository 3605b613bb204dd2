"""A run that has ended, told to the operator: a line in the log, and the counts."""

from __future__ import annotations

import logging

from linkspan.runs.about import in_a_line
from linkspan.store.runs import Run
from linkspan.telemetry import Telemetry

log = logging.getLogger("linkspan.runs")


def tell_ended(run: Run, telemetry: Telemetry) -> None:
    """Tell how a run went, without a word of what it was about."""
    log.info("%s", in_a_line(run))
    ended = run.finished or run.updated
    telemetry.meters.run_ended(
        recipe=run.recipe,
        engine=run.engine,
        state=run.state,
        seconds=ended - run.created,
        queued=(run.started or ended) - run.created,
    )
