"""What the operator's own tools are told of a run."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from linkspan.telemetry import Telemetry
from linkspan.telemetry.meters import Standing
from linkspan.telemetry.otel import OtelTracer
from linkspan.telemetry.prometheus import PrometheusMeters
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import BO, House
from tests.runs.working import Works, parts_of, working

pytestmark = pytest.mark.slow


async def test_a_run_is_one_trace_of_its_steps_and_one_line_and_is_counted(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """From what was asked to its end, without a word of what it was about."""
    caplog.set_level(logging.INFO, "linkspan.runs")
    exporter, meters = InMemorySpanExporter(), PrometheusMeters()
    telemetry = Telemetry(meters, OtelTracer(exporter))
    await house.enable("look")
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, works, telemetry=telemetry)):
        run = await works.until((await works.start("look")).id)
    telemetry.tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    whole = spans.pop("run")
    assert {"gather", "begin", "prepare", "codex", "collect", "publish", "finish"} <= set(spans)
    assert {span.parent.span_id for span in spans.values() if span.parent} == {whole.context.span_id}
    assert {span.context.trace_id for span in spans.values()} == {whole.context.trace_id}
    assert dict(whole.attributes or {})["linkspan.state"] == run.state == "succeeded"
    (line,) = [record for record in caplog.records if "ended: succeeded" in record.getMessage()]
    assert line.__dict__["fields"]["run"] == run.id
    text = meters.exposition(Standing()).decode()
    assert 'linkspan_runs_ended_total{engine="app_server",recipe="look",state="succeeded"} 1.0' in text
    assert 'linkspan_run_duration_seconds_count{recipe="look"} 1.0' in text


async def test_a_run_that_ends_in_the_queue_is_told_too(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """No worker ever had it."""
    caplog.set_level(logging.INFO, "linkspan.runs")
    await house.enable("look")
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    run = await works.start("look")
    await house.app.runs.cancel(BO, run.id)
    (line,) = [record for record in caplog.records if "ended: cancelled" in record.getMessage()]
    assert line.__dict__["fields"]["run"] == run.id
