"""What `serve` and `work` tell the operator's own tools, as the settings say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from linkspan.app import App
from linkspan.errors import ConfigurationError
from linkspan.reload import Reloader
from linkspan.settings import Settings
from linkspan.store import workers
from linkspan.store.gauges import gauges
from linkspan.telemetry import Meters, Telemetry, Tracer
from linkspan.telemetry.lines import LogLines
from linkspan.telemetry.meters import Standing

if TYPE_CHECKING:
    from linkspan.telemetry.scraping import Read

log = logging.getLogger("linkspan")
_ALIVE = 30.0
"""Seconds since its last sign of life within which a worker counts."""


def telemetry_of(settings: Settings) -> Telemetry:
    """Answer what the settings ask for. Raises `ConfigurationError`."""
    meters = Meters()
    if settings.metrics is not None:
        from linkspan.telemetry.prometheus import PrometheusMeters

        meters = PrometheusMeters(most_tenants=settings.metrics_tenants)
    return Telemetry(meters, _tracer(settings), LogLines(settings.log_calls))


def _tracer(settings: Settings) -> Tracer:
    if settings.traces is None:
        return Tracer()
    try:
        from linkspan.telemetry.otel import OtelTracer, exporter_to
    except ImportError as error:
        raise ConfigurationError(
            f"LINKSPAN_TRACES needs what the extra linkspan[otel] brings ({error.name} is missing)",
            hint="Install it: pip install 'linkspan[otel]'",
        ) from error
    return OtelTracer(exporter_to(settings.traces), share=settings.traces_share)


def reader(app: App, reloader: Callable[[], Reloader | None], clock: Callable[[], float]) -> Read:
    """Answer what reads the state of the installation, anew at each scrape."""

    async def read() -> Standing:
        now = clock()
        found = await gauges(app.database)
        living = await workers.living(app.database, seen_after=now - _ALIVE)
        looking = reloader()
        return Standing(
            runs=found.runs,
            oldest_queued=_since(found.queued_since, now),
            workers=len(living),
            accounts=found.accounts,
            outbox=found.outbox,
            oldest_delivery=_since(found.delivery_due, now),
            arrivals=found.arrivals,
            audit_waiting=app.audit.waiting,
            tools_yaml_is_good=looking is None or looking.error is None,
        )

    return read


@contextlib.asynccontextmanager
async def measured(telemetry: Telemetry, settings: Settings, read: Read) -> AsyncIterator[None]:
    """Answer `/metrics` while the block runs, where the settings ask for it; then send the last spans.

    Raises `ConfigurationError` when the port cannot be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, telemetry.tracer.close)
        if settings.traces is not None:
            log.info("traces go to %s", settings.traces)
        if settings.metrics is not None:
            await stack.enter_async_context(_answered(telemetry, settings.metrics, read))
        yield


@contextlib.asynccontextmanager
async def _answered(telemetry: Telemetry, at: tuple[str, int], read: Read) -> AsyncIterator[None]:
    from linkspan.telemetry.prometheus import PrometheusMeters
    from linkspan.telemetry.scraping import serve_metrics

    assert isinstance(telemetry.meters, PrometheusMeters)  # noqa: S101
    host, port = at
    listener = _listen(host, port)
    log.info("metrics for Prometheus at http://%s:%d/metrics", host, listener.getsockname()[1])
    answering = asyncio.create_task(serve_metrics(listener, telemetry.meters, read))
    try:
        yield
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot answer metrics on {host}:{port} ({error.strerror})",
            hint="Each process has its own port: choose another one with --metrics or LINKSPAN_METRICS.",
        ) from error


def _since(moment: float | None, now: float) -> float:
    return 0.0 if moment is None else max(now - moment, 0.0)
