"""What an operator sees of `linkspan serve` and `linkspan work` as processes: metrics, traces, log lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.canary import nothing_in
from tests.e2e.test_serve import Site
from tests.fakes.tracker import Tracker
from tests.servers.linkspan import PROGRAM
from tests.servers.serving import LOOPBACK, accepts, free_port, running, serving, wait_until

pytestmark = pytest.mark.e2e


class Collector:
    """Takes OTLP over HTTP, as an OpenTelemetry Collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(routes=[Route("/v1/traces", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        raw = await request.body()
        nothing_in(raw, "what the collector was sent")
        told = ExportTraceServiceRequest.FromString(raw)
        self.spans += [span for of in told.resource_spans for scope in of.scope_spans for span in scope.spans]
        return Response(b"", media_type="application/x-protobuf")


@contextmanager
def watched(folder: Path, *words: str, **environment: str) -> Iterator[tuple[int, Path, Collector, Site]]:
    """Run a command with everything on; yields its port for metrics, its log, and who takes its spans."""
    collector, port, log = Collector(), free_port(), folder / "watched.log"
    with serving(Tracker().app()) as product, serving(collector.app()) as spans:
        site = Site(folder, Tracker(), product)
        command = [PROGRAM, *words, "--metrics", str(port), "--traces", spans, "--log", "json"]
        env = {**site.linkspan.environment, "LINKSPAN_LOG_CALLS": "all", **environment}
        with running(command, log=log, env=env, ready=lambda: accepts(port), seconds=60):
            yield port, log, collector, site


def test_a_call_is_counted_traced_and_logged_and_metrics_are_no_door_of_tenants(tmp_path: Path) -> None:
    """All three name the same call; what waits to be sent is sent when the process is told to end."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    with watched(tmp_path, "serve", "--port", str(port)) as (metrics, log, collector, site):
        wait_until(lambda: accepts(port), what="the port", seconds=30)
        assert "error" not in site.endpoint(url).call("get_ticket", id="3")
        token = {"Authorization": f"Bearer {site.token}"}
        assert httpx2.get(f"{url}/metrics", headers=token).status_code == 404
        text = httpx2.get(f"http://{LOOPBACK}:{metrics}/metrics").text
        assert httpx2.get(f"http://{LOOPBACK}:{metrics}/t/acme/mcp", headers=token).status_code == 404
    counted = (
        'linkspan_calls_total{connector="tracker",entity="ticket",outcome="ok",tool="get_ticket",via="mcp"}'
    )
    assert f"{counted} 1.0" in text
    nothing_in(text, "the metrics")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = [each for each in lines if each["logger"] == "linkspan.calls"]
    assert (line["tenant"], line["tool"], line["outcome"]) == ("acme", "get_ticket", "ok")
    trace = bytes.fromhex(line["trace_id"])
    spans = {span.name: span for span in collector.spans if span.trace_id == trace}
    assert set(spans) == {"POST mcp", "get_ticket", "GET"}
    assert spans["GET"].parent_span_id == spans["get_ticket"].span_id
    told = {each.key: each.value.string_value for each in spans["get_ticket"].attributes}
    assert told["linkspan.request_id"] == line["request_id"]


def test_a_process_that_works_runs_has_metrics_and_health_of_its_own(tmp_path: Path) -> None:
    """It has no other port."""
    with watched(tmp_path, "work") as (metrics, log, _collector, _site):
        text = httpx2.get(f"http://{LOOPBACK}:{metrics}/metrics").text
        assert httpx2.get(f"http://{LOOPBACK}:{metrics}/healthz").text == "ok\n"
    assert 'linkspan_accounts{connector="tracker",state="active"} 1.0' in text
    assert all(json.loads(line)["time"] for line in log.read_text().splitlines())
