"""One of several processes that use one account: what tests/e2e/test_renewing.py starts.

python -m tests.e2e.renewing HOME DATABASE TOOLS use TASKS
    for each line on standard input, make TASKS calls at once and print what came of them
python -m tests.e2e.renewing HOME DATABASE TOOLS POINT
    make one call that has to renew the token, and die at that point of it
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.errors import LinkspanError
from linkspan.gateway.calls import CallInfo
from linkspan.net.egress import EgressGuard
from linkspan.net.messages import Request, Response, Streamed, StreamingTransport
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import Settings, parse_egress
from linkspan.store import accounts as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database

ACME: Final = Tenant("acme")
CODEX: Final = Principal(ACME, "service", "codex")
POINTS: Final = ("before the request", "request sent", "answer not written", "written")


async def opened(
    home: Path,
    database: str | None,
    tools: Path,
    *,
    transport: StreamingTransport | None = None,
    later: float = 0.0,
) -> App:
    """Build the application as a process of its own has it; its clock may be ahead."""
    egress = parse_egress("127.0.0.1/32")
    return await build(
        Settings(home=home, database=database, egress=egress),
        catalog=spec.load([tools], {}),
        transport=transport,
        clock=lambda: time.time() + later,
    )


async def call(app: App) -> str:
    """Ask who is signed in, as a tool call does."""
    tool = app.catalog.tools[0]
    await app.gateway.call(CODEX, tool, {}, info=CallInfo("req"))
    credential = await app.accounts.credential(CODEX, app.catalog.connectors["oidc"])
    return hashlib.sha256(credential.secrets["access_token"].reveal().encode()).hexdigest()[:12]


async def use(app: App, tasks: int) -> None:
    """Make calls whenever a line comes."""
    loop = asyncio.get_running_loop()
    say("ready")
    while await loop.run_in_executor(None, sys.stdin.readline):
        answers = await asyncio.gather(*(call(app) for _ in range(tasks)), return_exceptions=True)
        errors = [
            each.message if isinstance(each, LinkspanError) else repr(each)
            for each in answers
            if isinstance(each, BaseException)
        ]
        tokens = sorted({each for each in answers if isinstance(each, str)})
        say(json.dumps({"tokens": tokens, "errors": errors}))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def die() -> None:
    """End as a machine does that lost its power."""
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """A transport that does not survive a request for a token."""

    def __init__(self, point: str) -> None:
        self._point = point
        self._real = AiohttpTransport(EgressGuard(parse_egress("127.0.0.1/32")))

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        """Send one request, or die of it."""
        if not request.url.endswith("/token"):
            return await self._real.exchange(request, timeout=timeout, max_bytes=max_bytes)
        if self._point == "before the request":
            die()
        if self._point == "request sent":
            await self._send_and_die(request)
        answer = await self._real.exchange(request, timeout=timeout, max_bytes=max_bytes)
        if self._point == "answer not written":
            die()
        return answer

    def stream(self, request: Request, **options: Any) -> AbstractAsyncContextManager[Streamed]:
        """Nothing streams here."""
        return self._real.stream(request, **options)

    async def _send_and_die(self, request: Request) -> None:
        where = urlsplit(request.url)
        _reader, writer = await asyncio.open_connection(where.hostname, where.port)
        body = request.body or b""
        head = [f"POST {where.path} HTTP/1.1", f"Host: {where.netloc}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in request.headers.items()]
        writer.write("\r\n".join((*head, "", "")).encode() + body)
        await writer.drain()
        die()

    async def aclose(self) -> None:
        """Close the real one."""
        await self._real.aclose()


def die_after_writing() -> None:
    """Die as soon as renewed tokens are stored."""
    real = rows.renew

    async def renew(db: Database, account: Account) -> Account | None:
        await real(db, account)
        die()
        return None

    rows.renew = renew


async def main(words: Sequence[str]) -> None:
    """Do what the arguments say."""
    home, database, tools, what = words[:4]
    deadly = Deadly(what) if what in POINTS else None
    if what == "written":
        die_after_writing()
    app = await opened(Path(home), database or None, Path(tools), transport=deadly)
    try:
        await (use(app, int(words[4])) if what == "use" else call(app))
    finally:
        await app.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
