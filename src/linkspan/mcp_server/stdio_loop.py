"""The second part of stdio: everything is loaded, calls run side by side, until the input ends.

The end of the input lets calls in flight finish and writes their answers; so does SIGTERM. A line that is no
message is answered as JSON-RPC wants and changes nothing: a client does not start us a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

from linkspan import spec
from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError
from linkspan.mcp_server import prepared
from linkspan.mcp_server.calls import outline
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.lines import Handshake, Lines, Output
from linkspan.mcp_server.listing import keep_prepared
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.ports import Gateway
from linkspan.mcp_server.questions import Sealer
from linkspan.mcp_server.session import Session, refuse
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog

LINGER: Final = 60.0
"""Seconds that calls in flight may still take after the input has ended."""


class Standing(Protocol):
    """All that serves one tenant."""

    @property
    def gateway(self) -> Gateway:
        """What answers calls."""
        ...

    @property
    def sealer(self) -> Sealer:
        """What protects what a client has to bring back."""
        ...

    @property
    def principal(self) -> Principal:
        """Who calls."""
        ...

    async def aclose(self) -> None:
        """Finish what is queued and close."""
        ...


class Composition(Protocol):
    """The composition root, as far as stdio needs it."""

    async def open_stdio(
        self, settings: Settings, catalog: Catalog, changed: Callable[[Catalog], None]
    ) -> Standing:
        """Open everything for the one tenant; `changed` is called after each hot reload.

        Raises `ConfigurationError`, among others for several tenants with none named.
        """
        ...


def run(
    settings: Settings,
    compose: Callable[[], Composition],
    catalog: Catalog | None,
    handshake: Handshake,
    lines: Lines,
    output: Output,
) -> int:
    """Load the rest and serve until the input ends; answer the exit code.

    `catalog` is None when nothing was compiled yet, because what was prepared at an earlier start holds.
    """
    try:
        return asyncio.run(_serve(settings, compose, catalog, handshake, lines, output))
    except LinkspanError as error:
        sys.stderr.write(f"{error.for_model()}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as cause:
        sys.stderr.write(f"Error: stdio stopped: {outline(cause)}\n")
        return 1
    finally:
        output.close()


async def _serve(
    settings: Settings,
    compose: Callable[[], Composition],
    catalog: Catalog | None,
    handshake: Handshake,
    lines: Lines,
    output: Output,
) -> int:
    loop = asyncio.get_running_loop()
    incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, incoming.put_nowait, None)

    def arrived(line: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to answer
            loop.call_soon_threadsafe(incoming.put_nowait, line)

    lines.attach(arrived)
    hub = Hub()

    def changed(other: Catalog) -> None:
        keep_prepared(settings, other)
        hub.lists_changed()

    try:
        stale = False
        if catalog is None:
            assert settings.config is not None  # noqa: S101
            path = prepared.cache_path(settings.home, settings.config)
            before = prepared.read(path, os.environ)
            catalog = spec.load([settings.config], os.environ)
            stale = keep_prepared(settings, catalog) != before
        standing = await compose().open_stdio(settings, catalog, changed)
    except LinkspanError as error:
        while not incoming.empty():
            refuse(incoming.get_nowait(), error, output)
        raise
    methods = Methods(
        standing.gateway,
        new_id=lambda: f"req_{os.urandom(8).hex()}",
        clock=time.time,
        max_result_bytes=settings.max_result_bytes,
        written=hub.updated,
        sealer=standing.sealer,
    )
    session = Session(methods, standing.principal, handshake, output, hub)
    if stale and handshake.client is not None:
        hub.lists_changed()
    try:
        while (line := await incoming.get()) is not None:
            session.take(line)
        await session.finish(LINGER)
    finally:
        await standing.aclose()
    return 0
