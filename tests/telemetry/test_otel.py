"""Traces as a collector gets them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import JSONResponse

from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.calls import CallInfo
from linkspan.telemetry import Telemetry
from linkspan.telemetry.otel import OtelTracer
from tests.telemetry.conftest import Open

pytestmark = pytest.mark.anyio
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector:
    """A tracer, and the spans that it has sent."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(self._exporter, **options)

    def spans(self) -> list[ReadableSpan]:
        """End the tracer and answer its spans, in the order of their beginning."""
        self.tracer.close()
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def parent_of(span: ReadableSpan) -> int | None:
    """Answer the id of the span that this one is a part of."""
    return span.parent.span_id if span.parent is not None else None


def id_of(span: ReadableSpan) -> int:
    """Answer a span's id."""
    assert span.context is not None
    return int(span.context.span_id)


def trace_of(span: ReadableSpan) -> str:
    """Answer the id of a span's trace."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


async def test_one_trace_leads_from_the_caller_to_the_product_and_back(opening: Open) -> None:
    """Request, call, exchange: each a part of the one before, and the caller's own trace around them."""
    collector = Collector()
    async with opening(Telemetry(tracer=collector.tracer)) as house:
        house.transport.sent.clear()
        headers = {"traceparent": CALLER, "tracestate": "vendor=private", "baggage": "customer=private"}
        await house.tool("get_ticket", id="1", headers=headers)
        (sent,) = house.transport.sent
    request, call, exchange = [span for span in collector.spans() if trace_of(span) == CALLER.split("-")[1]]
    assert [request.name, call.name, exchange.name] == ["POST mcp", "get_ticket", "GET"]
    assert [parent_of(request), parent_of(call), parent_of(exchange)] == [
        int(CALLER.split("-")[2], 16),
        id_of(request),
        id_of(call),
    ]
    assert sent.headers["traceparent"] == f"00-{CALLER.split('-')[1]}-{id_of(exchange):016x}-01"
    assert not {"tracestate", "baggage"} & {name.lower() for name in sent.headers}
    assert dict(exchange.attributes or {}) == {
        "http.request.method": "GET",
        "server.address": "tracker.example",
        "linkspan.use": "api",
        "linkspan.connector": "tracker",
        "url.template": "/tickets/{id}",
        "http.response.status_code": 200,
    }
    told = dict(call.attributes or {})
    assert (told["linkspan.tenant"], told["linkspan.outcome"]) == ("acme", "ok")


async def test_what_is_passed_on_is_a_part_of_the_trace_too(opening: Open) -> None:
    """Sent to the collector when it ends, however it ended; the next request is no part of it."""
    collector = Collector()
    async with opening(Telemetry(tracer=collector.tracer)) as house:
        headers = {"Authorization": f"Bearer {house.tokens['acme']}"}
        for path in ("/proxy/tracker/me", "/proxy/tracker/nothing"):
            await house.http.get(path, headers={**headers, "traceparent": CALLER})
    spans = [span for span in collector.spans() if trace_of(span) == CALLER.split("-")[1]]
    assert [span.name for span in spans] == ["GET proxy", "proxy_get", "GET"] * 2
    for request, passed, exchange in (spans[:3], spans[3:]):
        assert parent_of(request) == int(CALLER.split("-")[2], 16)
        assert (parent_of(passed), parent_of(exchange)) == (id_of(request), id_of(passed))
    told = [dict(span.attributes or {}) for span in spans if span.name == "proxy_get"]
    assert [each["linkspan.outcome"] for each in told] == ["ok", "not_found"]
    assert {each["linkspan.tenant"] for each in told} == {"acme"}


async def test_no_span_has_a_word_of_a_customer_or_a_secret(opening: Open) -> None:
    """Neither in names and attributes nor in what was raised."""
    collector = Collector()
    async with opening(Telemetry(tracer=collector.tracer)) as house:
        await house.tool("comment_on_ticket", id="private-id", body="private word of a customer")
        house.tracker.faults += [JSONResponse({"message": "private word of the product"}, 500)]
        await house.tool("list_tickets")
        await house.http.get("/unified/private/private?q=private")
    spans = collector.spans()
    assert {span.name for span in spans} >= {"comment_on_ticket", "list_tickets", "GET unified"}
    failed = next(span for span in spans if span.name == "list_tickets")
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "upstream_error"
    assert not failed.status.is_ok
    assert "private" not in "".join(span.to_json() for span in spans)


async def test_repeated_tries_are_seen_one_by_one(opening: Open) -> None:
    """A slow call shows why: it was told to wait."""
    collector = Collector()
    async with opening(Telemetry(tracer=collector.tracer)) as house:
        house.tracker.faults += [JSONResponse({}, 429, {"Retry-After": "0"})]
        await house.tool("get_ticket", id="1")
    call = next(span for span in collector.spans() if span.name == "get_ticket")
    tries = [span for span in collector.spans() if parent_of(span) == id_of(call)]
    assert [dict(span.attributes or {})["http.response.status_code"] for span in tries] == [429, 200]


async def test_a_run_is_one_trace_at_whichever_worker_its_parts_are_done(opening: Open) -> None:
    """Its ids follow from the run's, so that no process has to tell another one."""
    mine, other = Collector(), Collector()
    with other.tracer.span("codex", run="run_a"):
        pass
    async with opening(Telemetry(tracer=mine.tracer)) as house:
        tool = house.app.catalog.tool("get_ticket")
        assert tool is not None
        codex = Principal(Tenant("acme"), "run", "run_a", scopes=("read",))
        with mine.tracer.span("POST mcp", kind="server", headers={"traceparent": CALLER}):
            await house.app.gateway.call(codex, tool, {"id": "1"}, info=CallInfo("req-1"))
    now = time.time()
    other.tracer.run_ended("run_a", {"linkspan.state": "failed"}, began=now - 60, ended=now, state="failed")
    whole, step = other.spans()
    call = next(span for span in mine.spans() if span.name == "get_ticket")
    assert whole.parent is None
    assert (whole.name, whole.status.is_ok) == ("run", False)
    assert round(((whole.end_time or 0) - (whole.start_time or 0)) / 1e9) == 60
    assert parent_of(step) == parent_of(call) == id_of(whole)
    assert trace_of(whole) == trace_of(step) == trace_of(call)
    assert [f"{link.context.trace_id:032x}" for link in call.links] == [CALLER.split("-")[1]]


async def test_a_share_keeps_whole_traces_or_nothing(opening: Open) -> None:
    """None of a trace is none of its parts, whatever the caller wishes; its ids go on all the same."""
    collector = Collector(share=0.0)
    async with opening(Telemetry(tracer=collector.tracer)) as house:
        house.transport.sent.clear()
        await house.tool("get_ticket", id="1", headers={"traceparent": CALLER})
        (sent,) = house.transport.sent
    assert sent.headers["traceparent"].startswith(f"00-{CALLER.split('-')[1]}-")
    assert sent.headers["traceparent"].endswith("-00")
    assert collector.spans() == []
