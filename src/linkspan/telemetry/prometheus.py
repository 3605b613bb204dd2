"""Counts for Prometheus, in the names that its users expect: base units, `_total`, `_seconds`.

Labels are bounded. Connectors, entities and tools are those of tools.yaml; outcomes, states and faces are
closed lists; of tenants and models the first so many have their own name and the others are `_other`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from linkspan import __version__
from linkspan.telemetry.ended import CallEnded
from linkspan.telemetry.meters import Meters, Standing, Use

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_TENANTS: Final = 100
MOST_MODELS: Final = 50
OTHER: Final = "_other"
"""No tenant can be called that."""
_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG: Final = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
_KINDS: Final = {"input_tokens": "input", "cached_input_tokens": "cached_input", "output_tokens": "output"}
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Bounded:
    """Lets the first so many names stand as they are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def name(self, name: str) -> str:
        """Answer the name to count under."""
        if name in self._known:
            return name
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class PrometheusMeters(Meters):
    """Counts in a registry of its own; `exposition` answers what it counted."""

    is_on = True

    def __init__(self, *, most_tenants: int = MOST_TENANTS) -> None:
        """`most_tenants` have their own name as a label: 0 for none, where nobody is to see who they are."""
        without_created: Callable[[], None] = disable_created_metrics
        without_created()  # a second series for each, which nobody asks for
        registry = CollectorRegistry()
        self._registry = registry
        self._tenants = Bounded(most_tenants)
        self._models = Bounded(MOST_MODELS)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"linkspan_{name}", what, labels, registry=registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"linkspan_{name}", what, labels, registry=registry)

        def histogram(name: str, what: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(f"linkspan_{name}", what, labels, buckets=buckets, registry=registry)

        gauge("build_info", "1, labelled by the version.", "version").labels(__version__).set(1)
        self._started = gauge("start_time_seconds", "When this process began to count.")
        self._started.set(time.time())
        self._calls = counter(
            "calls_total",
            "Calls of tools and requests passed on, by how they ended: ok, or an error code.",
            *("connector", "entity", "tool", "via", "outcome"),
        )
        self._tenant_calls = counter(
            "tenant_calls_total",
            "The same by tenant; beyond the first so many tenants, _other.",
            *("tenant", "connector", "outcome"),
        )
        self._internal = counter(
            "internal_errors_total", "Calls that ended by a fault of Linkspan itself; 0 from the start."
        )
        self._call_seconds = histogram(
            "call_duration_seconds",
            "How long calls took, product and waiting included.",
            ("connector", "entity", "via"),
            _QUICK,
        )
        self._limited = counter(
            "call_limit_refusals_total", "Calls that LINKSPAN_CALL_LIMITS refused.", "limit"
        )
        self._upstream = counter(
            "upstream_requests_total",
            "Exchanges with products that were answered, repeated ones too.",
            *("connector", "use", "method", "code"),
        )
        self._upstream_errors = counter(
            "upstream_errors_total",
            "Exchanges with products that no answer came of, by the error's code.",
            *("connector", "use", "error"),
        )
        self._upstream_seconds = histogram(
            "upstream_request_duration_seconds",
            "Until a product has answered: whole, or the head of what is streamed.",
            ("connector", "use"),
            _QUICK,
        )
        self._waits = counter(
            "upstream_waits_total",
            "Waits for a turn, or before a request was repeated.",
            "connector",
            "reason",
        )
        self._wait_seconds = counter(
            "upstream_wait_seconds_total", "Seconds of those waits.", "connector", "reason"
        )
        self._requests = counter("http_requests_total", "Requests to us, by door.", "face", "method", "code")
        self._request_seconds = histogram(
            "http_request_duration_seconds", "Until the answer began.", ("face",), _QUICK
        )
        self._session_requests = counter(
            "session_requests_total",
            "Requests within embedded sessions, by how they ended: ok, or an error code.",
            *("method", "outcome"),
        )
        self._open = gauge(
            "http_requests_open", "Requests and sockets that are being answered now, streams too.", "face"
        )
        self._runs_ended = counter(
            "runs_ended_total", "Runs that ended, by how.", "recipe", "engine", "state"
        )
        self._run_seconds = histogram(
            "run_duration_seconds", "From asked for to the end.", ("recipe",), _LONG
        )
        self._queued_seconds = histogram(
            "run_queue_duration_seconds", "How long runs waited for their turn.", ("recipe",), _LONG
        )
        self._tokens = counter(
            "model_tokens_total",
            "Tokens that models used for runs; cached_input is a part of input.",
            *("tenant", "model", "kind"),
        )
        self._deliveries = counter(
            "webhook_attempts_total",
            "Attempts to deliver webhooks: delivered, failed or dead.",
            "outcome",
        )
        for outcome in ("delivered", "failed", "dead"):
            self._deliveries.labels(outcome)  # a first one is then an increase, and no new series
        self._arrivals = counter(
            "hook_deliveries_total",
            "Proved deliveries of products: accepted, repeated, or nothing that a recipe waits for.",
            *("connector", "outcome"),
        )
        self._runs = gauge("runs", "Runs that have not ended, in the installation.", "state")
        self._oldest = gauge("run_queue_oldest_seconds", "How long the first of the queue has waited.")
        self._workers = gauge("workers", "Processes that work runs and were heard of lately.")
        self._accounts = gauge("accounts", "Linked accounts, in the installation.", "connector", "state")
        self._outbox = gauge("webhook_deliveries", "Deliveries that wait, and dead letters.", "state")
        self._late = gauge("webhook_oldest_due_seconds", "By how much the first that is due is late.")
        self._hook_queue = gauge("hook_queue_length", "Events of products that wait to be worked.")
        self._audit = gauge("audit_rows_waiting", "Audit rows of this process that are not written yet.")
        self._file = gauge("tools_yaml_good", "1 where tools.yaml as it is now is served, else 0.")
        self._readable = gauge("store_up", "1 where the database answered this scrape, else 0.")

    def call(self, ended: CallEnded) -> None:
        """Count a call."""
        at, entity, via, outcome = ended.connector, ended.entity, ended.via, ended.outcome
        self._calls.labels(at, entity, ended.tool, via, outcome).inc()
        self._tenant_calls.labels(self._tenants.name(ended.tenant), at, outcome).inc()
        self._call_seconds.labels(at, entity, via).observe(max(ended.seconds, 0.0))
        if outcome == "internal":
            self._internal.inc()

    def limited(self, limit: str) -> None:
        """Count a refusal of ours."""
        self._limited.labels(limit).inc()

    def exchange(self, use: Use, method: str, status: int | None, error: str, seconds: float) -> None:
        """Count an exchange."""
        if status is None:
            self._upstream_errors.labels(use.connector, use.kind, error).inc()
        else:
            code = str(status) if 100 <= status < 600 else OTHER
            self._upstream.labels(use.connector, use.kind, _method(method), code).inc()
        self._upstream_seconds.labels(use.connector, use.kind).observe(seconds)

    def waited(self, connector: str, why: str, seconds: float) -> None:
        """Count a wait."""
        self._waits.labels(connector, why).inc()
        self._wait_seconds.labels(connector, why).inc(seconds)

    def request(self, face: str, method: str, status: int, seconds: float) -> None:
        """Count a request to us."""
        self._requests.labels(face, _method(method), str(status)).inc()
        self._request_seconds.labels(face).observe(seconds)

    def session_request(self, method: str, outcome: str) -> None:
        """Count a request within a session."""
        self._session_requests.labels(method, outcome).inc()

    def answering(self, face: str, change: Literal[1, -1]) -> None:
        """Count one more that is open, or one less."""
        self._open.labels(face).inc(change)

    def run_ended(self, *, recipe: str, engine: str, state: str, seconds: float, queued: float) -> None:
        """Count a run."""
        self._runs_ended.labels(recipe, engine, state).inc()
        self._run_seconds.labels(recipe).observe(max(seconds, 0.0))
        self._queued_seconds.labels(recipe).observe(max(queued, 0.0))

    def tokens(self, tenant: str, model: str, used: Mapping[str, int]) -> None:
        """Count what a model used."""
        whose, which = self._tenants.name(tenant), self._models.name(model)
        for name, kind in _KINDS.items():
            if used.get(name):
                self._tokens.labels(whose, which, kind).inc(used[name])

    def delivery(self, outcome: str) -> None:
        """Count an attempt."""
        self._deliveries.labels(outcome).inc()

    def arrival(self, connector: str, outcome: str) -> None:
        """Count what was delivered."""
        self._arrivals.labels(connector, outcome).inc()

    def exposition(self, standing: Standing | None) -> bytes:
        """Answer everything in Prometheus' text format; without `standing` the database did not answer."""
        self._readable.set(standing is not None)
        for several in (self._runs, self._accounts, self._outbox):
            several.clear()
        if standing is not None:
            self._stand(standing)
        text: bytes = generate_latest(self._registry)
        return text

    def _stand(self, standing: Standing) -> None:
        for state, count in standing.runs.items():
            self._runs.labels(state).set(count)
        for (connector, state), count in standing.accounts.items():
            self._accounts.labels(connector, state).set(count)
        for state, count in standing.outbox.items():
            self._outbox.labels(state).set(count)
        self._oldest.set(standing.oldest_queued)
        self._workers.set(standing.workers)
        self._late.set(standing.oldest_delivery)
        self._hook_queue.set(standing.arrivals)
        self._audit.set(standing.audit_waiting)
        self._file.set(standing.tools_yaml_is_good)


def _method(name: str) -> str:
    """Answer a method as a label: anybody may send any word for one."""
    return name if name in _METHODS else OTHER
