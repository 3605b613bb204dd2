"""Spans for OpenTelemetry, sent by OTLP over HTTP. Needs the extra `linkspan[otel]`.

Attributes are names, numbers and addresses of hosts. Exceptions are not recorded, since their words may quote
what a customer wrote.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from linkspan import __version__
from linkspan.telemetry.tracer import Attributes, Kind, Span, Tracer

_KINDS: Final = {
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "internal": trace.SpanKind.INTERNAL,
}
_SAMPLED: Final = trace.TraceFlags(trace.TraceFlags.SAMPLED)


def exporter_to(url: str) -> SpanExporter:
    """Answer what sends spans to a collector: `/v1/traces` below its URL, as OTLP has it."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    whole = url if url.endswith("/v1/traces") else f"{url}/v1/traces"
    return OTLPSpanExporter(endpoint=whole, timeout=10)


class OtelTracer(Tracer):
    """Makes spans and hands them to an exporter, in batches from a thread of its own."""

    is_on = True

    def __init__(self, exporter: SpanExporter, *, share: float = 1.0) -> None:
        """`share` of traces are kept, by their id: all spans of one, at every process, or none."""
        self._ids = _Ids()
        ids: Any = self._ids
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "linkspan", "service.version": __version__}),
            sampler=TraceIdRatioBased(share),
            id_generator=ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("linkspan", __version__)
        self._headers = TraceContextTextMapPropagator()

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: Kind = "internal",
        headers: Mapping[str, str] | None = None,
        run: str | None = None,
    ) -> AbstractContextManager[Span]:
        """Begin a span that ends with the block."""
        above: Context | None = None
        links: list[trace.Link] = []
        if run is not None:
            here, whole = trace.get_current_span().get_span_context(), _context_of(run)
            if here.trace_id != whole.trace_id:
                above = trace.set_span_in_context(trace.NonRecordingSpan(whole), Context())
                links = [trace.Link(here)] if here.is_valid else []
        elif headers is not None:
            # What a caller says of its own systems beside that (tracestate, baggage) goes no further.
            said = {name: headers[name] for name in ("traceparent",) if name in headers}
            above = self._headers.extract(said, Context())
        return _OtelSpan(self._tracer.start_span(name, above, _KINDS[kind], attributes, links))

    def headers(self) -> dict[str, str]:
        """Answer `traceparent` of the span that is under way (W3C Trace Context, 3.2)."""
        here = trace.get_current_span().get_span_context()
        if not here.is_valid:
            return {}
        ids = f"{here.trace_id:032x}-{here.span_id:016x}"
        return {"traceparent": f"00-{ids}-{int(here.trace_flags):02x}"}

    def trace_id(self) -> str | None:
        """Answer the id of the trace that is under way."""
        here = trace.get_current_span().get_span_context()
        return f"{here.trace_id:032x}" if here.is_valid else None

    def run_ended(self, run: str, attributes: Attributes, *, began: float, ended: float, state: str) -> None:
        """Make the span of a whole run: its ids follow from the run's, at whichever worker it ends."""
        with self._ids.forced(_context_of(run)):
            span = self._tracer.start_span(
                "run", context=Context(), attributes=dict(attributes), start_time=int(began * 1e9)
            )
        if state != "succeeded":
            span.set_status(trace.StatusCode.ERROR, state)
        span.end(end_time=int(ended * 1e9))

    def close(self) -> None:
        """Send what waits; blocks until it is sent, or the collector's time is over."""
        self._provider.shutdown()


class _OtelSpan(Span):
    """A span, and its own block: `start_as_current_span` is three context managers and would record words."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, *_: object) -> None:
        detach(self._token)
        self._span.end()

    def set(self, name: str, value: str | float) -> None:
        self._span.set_attribute(name, value)

    def failed(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(trace.StatusCode.ERROR, code)


def _context_of(run: str) -> trace.SpanContext:
    """Answer where the spans of a run belong: every process finds the same by its id."""
    digest = hashlib.sha256(f"linkspan run {run}".encode()).digest()
    ids = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    return trace.SpanContext(*ids, is_remote=True, trace_flags=_SAMPLED)


class _Ids:
    """Random ids, but for the one span whose ids are settled."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._settled = threading.local()

    @contextlib.contextmanager
    def forced(self, context: trace.SpanContext) -> Iterator[None]:
        """Give out these ids to what begins in the block."""
        self._settled.context = context
        try:
            yield
        finally:
            self._settled.context = None

    def generate_trace_id(self) -> int:
        """Answer an id for a trace."""
        settled = getattr(self._settled, "context", None)
        made: int = self._random.generate_trace_id() if settled is None else settled.trace_id
        return made

    def generate_span_id(self) -> int:
        """Answer an id for a span."""
        settled = getattr(self._settled, "context", None)
        made: int = self._random.generate_span_id() if settled is None else settled.span_id
        return made

    def is_trace_id_random(self) -> bool:
        """Tell that the lower bits of an id are as good as drawn: a digest's are."""
        return True
