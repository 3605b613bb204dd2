"""What Prometheus reads of a process that works."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from linkspan.errors import LinkspanError
from linkspan.measuring import reader
from linkspan.net.messages import ConnectionFailed, Request, Response
from linkspan.net.watched import WatchedTransport
from linkspan.telemetry import CallEnded, Telemetry
from linkspan.telemetry.meters import Standing, Use
from linkspan.telemetry.prometheus import OTHER, PrometheusMeters
from linkspan.telemetry.scraping import metrics_app
from linkspan.web.observed import Observed
from tests.telemetry.conftest import House, Open

pytestmark = pytest.mark.anyio
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


CALL = CallEnded("acme", "service:codex", "t", "e", "c", None, "mcp", "ok", 200, 0.1, "req-1", writes=False)


def read(text: str) -> Figures:
    """Answer every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(figures: Figures, name: str, **labels: str) -> float:
    """Answer the sum of the samples of that name that have these labels."""
    wanted = set(labels.items())
    found = [value for (each, there), value in figures.items() if each == name and wanted <= set(there)]
    assert found, f"no {name} with {labels}"
    return sum(found)


async def scrape(house: House, meters: PrometheusMeters) -> str:
    """Answer what Prometheus reads."""
    app = metrics_app(meters, reader(house.app, lambda: None, time.time))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://metrics") as http:
        answer = await http.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await http.get("/healthz")).text == "ok\n"
    return answer.text


async def test_calls_errors_waits_and_requests_are_counted(opening: Open) -> None:
    """By tenant, connector, entity, tool, door and outcome."""
    meters = PrometheusMeters()
    async with opening(Telemetry(meters)) as house:
        await house.tool("list_tickets")
        house.tracker.faults += [JSONResponse({}, 429, {"Retry-After": "0"})]
        await house.tool("get_ticket", tenant="globex", id="1")
        await house.tool("get_ticket", id="99")
        await house.tool("comment_on_ticket", id="1", body="private word of a customer")
        house.tracker.faults += [JSONResponse({}, 429, {"Retry-After": "900"})]
        limited = await house.tool("list_tickets")
        assert limited["structuredContent"]["error"]["code"] == "rate_limited"
        await house.http.get("/nothing")
        text = await scrape(house, meters)
    figures = read(text)
    assert of(figures, "linkspan_calls_total", tool="list_tickets", via="mcp", outcome="ok") == 1
    assert of(figures, "linkspan_calls_total", connector="tracker", outcome="rate_limited") == 1
    assert of(figures, "linkspan_calls_total", entity="ticket", outcome="not_found") == 1
    assert of(figures, "linkspan_tenant_calls_total", tenant="globex", connector="tracker") == 1
    assert of(figures, "linkspan_tenant_calls_total", tenant="acme") == 4
    assert of(figures, "linkspan_call_duration_seconds_count", connector="tracker", via="mcp") == 5
    assert of(figures, "linkspan_upstream_requests_total", connector="tracker", code="429") == 2
    assert of(figures, "linkspan_upstream_requests_total", connector="tracker", use="api", code="404") == 1
    assert of(figures, "linkspan_upstream_waits_total", connector="tracker", reason="rate_limit") == 1
    assert of(figures, "linkspan_http_requests_total", face="mcp", method="POST", code="200") == 5
    assert of(figures, "linkspan_http_requests_total", face="api", code="404") == 1
    assert of(figures, "linkspan_http_requests_open", face="mcp") == 0
    assert of(figures, "linkspan_accounts", connector="tracker", state="active") == 2
    assert of(figures, "linkspan_store_up") == 1
    assert of(figures, "process_resident_memory_bytes") > 0
    assert "private" not in text


async def test_a_socket_is_counted_by_how_it_was_answered_and_while_it_is_open() -> None:
    """So are streams, which like it stay open for hours: they are what fills a process."""
    meters = PrometheusMeters()
    seen: list[float] = []

    def is_open() -> float:
        return of(read(meters.exposition(None).decode()), "linkspan_http_requests_open", face="sessions")

    async def talk(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(is_open())
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"{}"})

    async def hang_up(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})

    async def receive() -> Message:
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(_message: Message) -> None:
        pass

    for app in (talk, refuse, hang_up):
        scope = {"type": "websocket", "path": "/t/acme/codex"}
        await Observed(app, Telemetry(meters))(scope, receive, send)
    figures = read(meters.exposition(None).decode())
    counted = [
        of(figures, "linkspan_http_requests_total", face="sessions", code=each)
        for each in ("101", "401", "403")
    ]
    assert (seen, counted, is_open()) == ([1], [1, 1, 1], 0)


async def test_what_we_refuse_is_counted_by_its_limit(opening: Open) -> None:
    """So an operator sees which one is too narrow."""
    meters = PrometheusMeters()
    async with opening(Telemetry(meters)) as house:
        for _ in range(21):
            await house.tool("list_tickets")
        figures = read(await scrape(house, meters))
    assert of(figures, "linkspan_call_limit_refusals_total", limit="tool") == 1


async def test_a_product_that_does_not_answer_is_counted_by_the_error() -> None:
    """There is no status to count it by."""
    meters = PrometheusMeters()
    wire = WatchedTransport(Gone(), Telemetry(meters))
    request = Request("GET", "https://tracker.example/api", use=Use("api", "tracker", "GET /api"))
    with pytest.raises(ConnectionFailed):
        await wire.exchange(request, timeout=1, max_bytes=1)
    figures = read(meters.exposition(None).decode())
    assert of(figures, "linkspan_upstream_errors_total", connector="tracker", error="upstream_error") == 1


class Gone:
    """A product that nobody reaches."""

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        raise ConnectionFailed("nobody listens there", reason="refused", sent=False)

    def stream(self, request: Request, **_: Any) -> Any:
        raise ConnectionFailed("nobody listens there", reason="refused", sent=False)

    async def aclose(self) -> None:
        pass


async def test_metrics_are_no_door_of_tenants(opening: Open) -> None:
    """What all tenants do is for the operator alone, whatever token asks."""
    async with opening(Telemetry(PrometheusMeters())) as house:
        for path in ("/metrics", "/t/acme/metrics"):
            told = {"Authorization": f"Bearer {house.tokens['acme']}"}
            answer = await house.http.get(path, headers=told)
            assert answer.status_code == 404
            assert "linkspan_" not in answer.text


async def test_a_database_that_does_not_answer_is_a_metric_itself() -> None:
    """A scrape that failed would hide everything else just then."""
    meters = PrometheusMeters()

    async def broken() -> Standing:
        raise LinkspanError("no database")

    app = metrics_app(meters, broken)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://metrics") as http:
        figures = read((await http.get("/metrics")).text)
    assert of(figures, "linkspan_store_up") == 0
    assert not [name for name, _labels in figures if name == "linkspan_runs"]


def test_labels_are_bounded_whatever_comes() -> None:
    """A thousand tenants, models and methods make no thousand series."""
    meters = PrometheusMeters(most_tenants=3)
    for number in range(1_000):
        ended = replace(CALL, tenant=f"tenant-{number}")
        meters.call(ended)
        meters.tokens("acme", f"model-{number}", {"input_tokens": 2, "output_tokens": 1})
        meters.exchange(Use("api", "c"), f"M{number}", 200 + number, "", 0.1)
        meters.request("mcp", f"M{number}", 200, 0.1)
    text = meters.exposition(Standing()).decode()
    figures = read(text)
    assert of(figures, "linkspan_tenant_calls_total", tenant=OTHER) == 998  # acme is one of the three
    assert of(figures, "linkspan_model_tokens_total", kind="input") == 2_000
    assert of(figures, "linkspan_upstream_requests_total", method=OTHER) == 1_000
    assert len(figures) < 800


def test_names_are_as_prometheus_users_expect() -> None:
    """Our prefix, base units, and `_total` on counters alone."""
    text = PrometheusMeters().exposition(Standing()).decode()
    kinds = dict(re.findall(r"^# TYPE (linkspan_\w+) (\w+)$", text, re.MULTILINE))
    assert len(kinds) > 20
    for name, kind in kinds.items():
        if name.endswith("_created"):
            continue
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|minutes|hours|kb|mb)(_|$)", name), name
        assert kind != "histogram" or name.endswith("_seconds"), name
