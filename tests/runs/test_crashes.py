"""Workers that are killed: whatever dies when, there is one branch, one pull request, one comment a kind.

They are counted at the git server, at the forge and at the desk, not in our tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from desk.app import build as build_desk
from desk.app import desk_of
from desk.store import Store
from linkspan.app import App
from linkspan.codex.app_server.process import at_work_in
from linkspan.errors import NotFound
from linkspan.store.runs import Run
from tests.fakes.forge import Forge
from tests.runs.conftest import ACME, BO, RECIPES
from tests.runs.dying import POINTS, opened
from tests.servers.authority import Authority
from tests.servers.git import GitServer, git, git_server
from tests.servers.node import ROOT
from tests.servers.serving import serving, wait_until
from tests.store.engines import Engine, Postgres

pytestmark = pytest.mark.e2e
TOKEN = "canary-forge-token"
PATIENCE = 60.0
SEED = int(os.environ.get("LINKSPAN_SEED") or random.SystemRandom().randrange(10**9))
STATES = ("queued", "preparing", "running", "waiting_approval", "publishing")
KILLS = int(os.environ.get("LINKSPAN_RUN_KILLS") or 3)


@dataclass
class Town:
    """A desk, a forge and a git server, an application that asks, and workers that die."""

    app: App
    desk: Any
    forge: Forge
    git: GitServer
    command: list[str]
    log: Path
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def worker(self, point: str = "-") -> subprocess.Popen[bytes]:
        """Start a worker that dies at a point."""
        name = f"wrk_{len(self.workers)}"
        words = [word if word != "POINT" else point for word in self.command]
        with self.log.open("ab") as output:
            made = subprocess.Popen(
                words,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "WORKER": name,
                    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "src", ROOT / "examples"))),
                },
                start_new_session=True,
            )
        self.workers[name] = made
        return made

    @property
    def living(self) -> list[str]:
        """The names of the workers that live."""
        return [name for name, worker in self.workers.items() if worker.poll() is None]

    def kill(self, name: str) -> None:
        """Kill a worker."""
        self.workers[name].kill()
        self.workers[name].wait()

    async def start(self, number: int = 103) -> Run:
        """Ask for a run on a ticket."""
        return await self.app.runs.start(BO, "mend", source="api", entity_id=f"HC-{number}", key=f"{number}")

    async def find(self, run: Run) -> Run:
        """Answer a run as it is; approve what it asks."""
        found = await self.app.runs.find(ACME, run.id)
        if found.state == "waiting_approval":
            with contextlib.suppress(NotFound):
                question = await self.app.runs.open_approval(BO, run.id)
                await self.app.runs.decide(BO, run.id, question.id, "approve")
        return found

    async def until_dead(self, worker: subprocess.Popen[bytes], run: Run) -> None:
        """Approve what is asked until the worker has died."""
        async with asyncio.timeout(PATIENCE):
            while worker.poll() is None:
                await self.find(run)
                await asyncio.sleep(0.05)
        assert worker.returncode == -signal.SIGKILL, self.log.read_text()[-3000:]

    async def until_in(self, run: Run, state: str) -> None:
        """Wait until a run is in a state, or beyond it; approve what is asked on the way."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.app.runs.find(ACME, run.id)
                if found.is_finished or STATES.index(found.state) >= STATES.index(state):
                    return
                if found.state == "waiting_approval":
                    await self.find(run)
                await asyncio.sleep(0.01)

    async def until_done(self, run: Run) -> Run:
        """Approve what is asked until the run has ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (found := await self.find(run)).is_finished:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{found}\n{self.log.read_text()[-3000:]}") from None
        return found

    def comments(self, number: int = 103) -> list[str]:
        """Answer what the runs have said of a ticket, as the desk has it."""
        rows = self.desk.store.query(
            "SELECT body_markdown FROM comments WHERE org = 'acme' AND kind = 'ticket' AND parent = ?"
            " AND author = 'codex' AND body_markdown LIKE '%Codex run run%' ORDER BY id",
            [f"HC-{number}"],
        )
        return [row["body_markdown"].rpartition("\n")[2].split()[3].rstrip(",.") for row in rows]

    def pull_requests(self, run: Run) -> list[Any]:
        """Answer the pull requests of a run's branch, as the forge has them."""
        there = self.forge.repositories["acme/cafe"].pulls
        return [each for each in there if each["head"]["ref"] == run.branch]

    def assert_once(self, run: Run, number: int = 103, *, runs: int = 1) -> None:
        """Count at the git server, at the forge and at the desk, which was told of so many runs."""
        branches = [name for name in self.git.branches("acme/cafe") if name != "main"]
        assert branches.count(str(run.branch)) == 1
        assert self.git.show("acme/cafe", f"{run.branch}:calc.py") == "total = 3"
        path = self.git.root / "acme/cafe.git"
        assert git(path, "rev-list", "--count", f"main..{run.branch}") == "1", "one commit on top of main"
        assert len(self.pull_requests(run)) == 1
        assert self.comments(number) == ["started", "finished"] * runs
        work = self.app.settings.home / "work"
        assert not (work / "acme/runs" / run.id).exists()
        wait_until(
            lambda: not list(at_work_in(work)), what="the end of what the dead had started", seconds=30
        )


@contextlib.contextmanager
def desk_at(seeded: tuple[Path, dict[str, Any]], folder: Path) -> Iterator[tuple[str, Any]]:
    """Serve a desk of one's own."""
    store = Store(Path(shutil.copy(seeded[0], folder)))
    desk = build_desk(store, "http://127.0.0.1:8650", post=None)
    with serving(desk) as url:
        yield url, desk_of(desk)
    store.close()


@pytest.fixture
async def town(engine: Engine, seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[Town]:
    """Everything, with the recipe turned on."""
    for name in ("tls", "repositories", "home"):
        (tmp_path / name).mkdir(exist_ok=True)
    authority = Authority(tmp_path / "tls")
    forge = Forge(tokens={TOKEN: "acme"})
    with (
        git_server(tmp_path / "repositories", authority) as server,
        desk_at(seeded, tmp_path) as (desk_url, desk),
        serving(forge.app()) as forge_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/cafe", {"calc.py": "total = 2\n"})
        forge.url, forge.git_url, forge.branches = forge_url, server.url, server.branches
        forge.repository("acme/cafe")
        connectors = {
            "github": {
                "base_url": forge_url,
                "git": {"base_url": server.url},
            }
        }
        file = tmp_path / "forge.yaml"
        file.write_text(yaml.safe_dump({"connectors": connectors}))
        tools = [ROOT / "tools.yaml", RECIPES, file]
        database = str(engine.place) if isinstance(engine, Postgres) else None
        home = tmp_path / "home"
        app = await opened(home, database, tools)
        tenant = await app.tenants.add("acme")
        catalog = app.catalog
        await app.accounts.link(
            tenant,
            catalog.connectors["desk"],
            settings={"site": desk_url},
            secrets={"token": seeded[1]["tokens"]["acme"]["codex"]},
        )
        await app.accounts.link(tenant, catalog.connectors["github"], secrets={"token": TOKEN})
        await app.recipes.enable(BO, "mend", {"repository": "acme/cafe"})
        made = Town(
            app,
            desk,
            forge,
            server,
            [
                *(sys.executable, "-m", "tests.runs.dying", str(home), str(database or "-")),
                *(str(authority.root), "POINT", *map(str, tools)),
            ],
            tmp_path / "workers.log",
        )
        try:
            yield made
        finally:
            for worker in made.workers.values():
                if worker.poll() is None:
                    worker.kill()
                worker.wait()
            await app.aclose()


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_is_killed(town: Town, point: str) -> None:
    """At every moment of a run; the next worker takes it to its end, and all is there once."""
    run = await town.start()
    await town.until_dead(town.worker(point), run)
    assert (await town.app.runs.find(ACME, run.id)).state == POINTS[point]
    town.worker()
    done = await town.until_done(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    town.assert_once(done)


async def test_one_of_two_workers_is_killed_at_random(town: Town) -> None:
    """In one state of a run after another, the one that works it: it goes on at the other one.

    The seed is printed; LINKSPAN_SEED repeats it.
    """
    print(f"LINKSPAN_SEED={SEED}")  # noqa: T201
    chance = random.Random(SEED)
    hit = []
    for number in range(KILLS):
        while len(town.living) < 2:
            town.worker()
        aim = STATES[(number + SEED) % len(STATES)]
        ticket = 103 + number % 6
        run = await town.app.runs.start(
            BO, "mend", source="api", entity_id=f"HC-{ticket}", key=f"kill-{number}"
        )
        await town.until_in(run, aim)
        await asyncio.sleep(chance.uniform(0.0, 0.2))
        there = await town.app.runs.find(ACME, run.id)
        town.kill(there.worker or chance.choice(town.living))
        hit.append((await town.app.runs.find(ACME, run.id)).state)
        print(f"aimed at {aim}, killed in {hit[-1]}")  # noqa: T201
        if aim == "waiting_approval":
            assert hit[-1] == aim
        done = await town.until_done(run)
        assert (done.state, done.error_message) == ("succeeded", None), hit[-1]
        town.assert_once(done, ticket, runs=number // 6 + 1)
    if len(hit) >= 5 * len(STATES):
        assert set(hit) >= set(STATES), "each state was hit"
