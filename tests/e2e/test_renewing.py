"""One account, many processes, tokens of five seconds, and a server that forgives nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import pytest

from linkspan.accounts.consent import Consents
from linkspan.accounts.refresh import LEASE
from linkspan.errors import NeedsReauth
from linkspan.store.accounts import Account
from tests.e2e.renewing import ACME, POINTS, call, opened
from tests.servers.node import ROOT
from tests.servers.oidc import Oidc, oidc
from tests.store.engines import Engine, Sqlite

pytestmark = pytest.mark.e2e
EXPIRIES: Final = int(os.environ.get("LINKSPAN_EXPIRIES", "5"))
KILLS: Final = int(os.environ.get("LINKSPAN_KILLS", "1"))
PROCESSES, TASKS = 8, 20
REDIRECT: Final = "http://127.0.0.1:8641/oauth/callback"


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@dataclass(frozen=True)
class Place:
    """Where several processes find the same account."""

    home: Path
    database: str | None
    tools: Path
    server: Oidc

    async def link(self) -> Account:
        """Link the account as a person does in a browser."""
        app = await opened(self.home, self.database, self.tools)
        try:
            if not await app.tenants.list():
                await app.tenants.add(ACME)
            consents = Consents(app.accounts, clock=time.time, random=os.urandom)
            connector = app.catalog.connectors["oidc"]
            consent = consents.begin(ACME, connector, redirect_uri=REDIRECT)
            back = await asyncio.to_thread(self.server.consent, consent.url)
            answer = dict(parse_qsl(urlsplit(back).query))
            return await consents.finish(consent, connector, answer, app.verifier)
        finally:
            await app.aclose()

    async def account(self) -> Account:
        """Answer the account as its row is now."""
        app = await opened(self.home, self.database, self.tools)
        try:
            (found,) = await app.accounts.list(ACME)
        finally:
            await app.aclose()
        return found

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a process that uses the account."""
        arguments = [str(self.home), self.database or "", str(self.tools), *words]
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.e2e.renewing", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Iterator[Place]:
    """A server, and an empty home on each engine."""
    with oidc(tmp_path, REDIRECT) as server:
        tools = tmp_path / "tools.yaml"
        tools.write_text(server.tools())
        is_file = isinstance(engine, Sqlite)
        yield Place(tmp_path / "home", None if is_file else str(engine.place), tools, server)


@contextlib.contextmanager
def users(place: Place) -> Iterator[list[subprocess.Popen[str]]]:
    """Run the processes until the block ends, ready to be let go."""
    started = [place.start("use", str(TASKS)) for _ in range(PROCESSES)]
    try:
        for process in started:
            line(process)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()


async def until(moment: float) -> None:
    """Wait for the server's clock, which nobody can set."""
    await asyncio.sleep(max(0.0, moment - time.time()))


def line(process: subprocess.Popen[str]) -> str:
    """Answer the next line that a process prints; one that died fails the test with what it said."""
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, process.communicate()[1]
    return said


async def test_a_token_is_renewed_once_whoever_needs_it(place: Place) -> None:
    """Eight processes with twenty calls each find a token at its end: one request, and no grant lost.

    Counted at the server; every call is answered, and all with the same token. A round that took longer than
    a token lives may see a second one.
    """
    account = await place.link()
    with users(place) as started:
        for number in range(EXPIRIES):
            is_good = number % 2 == 1  # every other time all find it due while it is still good
            await until((account.expires or 0.0) - (0.7 if is_good else -0.05))
            before = place.server.counts()["refreshed"]
            began = time.time()
            for process in started:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            answers = [json.loads(line(process)) for process in started]
            took = time.time() - began
            counts = place.server.counts()
            assert [each["errors"] for each in answers] == [[]] * PROCESSES
            assert (counts["refused"], counts["revoked"]) == (0, 0)
            later = await place.account()
            made = counts["refreshed"] - before
            assert later.version - account.version == made
            tokens = {token for each in answers for token in each["tokens"]}
            if took < 3.5:
                assert made == 1, f"{made} requests in a round of {took:.1f} s"
                assert is_good or len(tokens) == 1
            account = later
    assert account.state == "active"
    assert place.server.counts()["refreshed"] >= EXPIRIES


@pytest.mark.parametrize("point", POINTS)
async def test_a_process_that_dies_while_it_renews(place: Place, point: str) -> None:
    """Afterwards the account works, or says truthfully that it needs a new link."""
    for _kill in range(KILLS):
        account = await place.link()
        before = place.server.counts()
        await until(account.expires or 0.0)
        process = place.start(point)
        said, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"{said}{errors}"
        # The lease of the dead one is over by then.
        app = await opened(place.home, place.database, place.tools, later=LEASE + 1)
        try:
            try:
                await call(app)
                works = True
            except NeedsReauth:
                works = False
            (found,) = await app.accounts.list(ACME)
        finally:
            await app.aclose()
        after = place.server.counts()
        assert found.state == ("active" if works else "needs_reauth")
        if point in {"before the request", "written"}:
            assert works
            assert after["refused"] == before["refused"]
        else:
            # The server had rotated: only it knew the successor, and it says so.
            assert works == (after["refused"] == before["refused"])
        if not works:
            assert (await place.link()).id == account.id
            assert (await place.account()).state == "active"
