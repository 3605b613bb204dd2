"""What tests of outbound HTTP share: real servers on loopback, and a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from linkspan.net.egress import EgressGuard
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import parse_egress

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(
    scope="session",
    params=[("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
    ids=["asyncio", "uvloop"],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: the command line has the first, `linkspan serve` the second."""
    loop: tuple[str, dict[str, bool]] = request.param
    return loop


class Servers:
    """Starts servers on ports of 127.0.0.1 that the system chooses; answers their origins."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def http(self, handler: Handler) -> str:
        """A server that answers every path and method with the handler."""
        runner = web.ServerRunner(web.Server(handler), handle_signals=False, shutdown_timeout=0.0)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def raw(self, handler: RawHandler, tls: ssl.SSLContext | None = None) -> str:
        """A server that does with each connection what the handler says."""
        server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
        self._stack.push_async_callback(self._stop, server)
        return f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    @staticmethod
    async def _stop(server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    """Real servers, stopped after the test."""
    async with AsyncExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    """A transport whose operator allows loopback."""
    made = AiohttpTransport(EgressGuard(parse_egress("127.0.0.0/8")))
    yield made
    await made.aclose()


@dataclass
class Clock:
    """A wall clock that only sleeping moves."""

    now: float = 1_795_000_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()
