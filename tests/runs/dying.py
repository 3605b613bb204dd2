"""A worker as a process of its own, which dies where it is told to: what tests/runs/test_crashes.py starts.

python -m tests.runs.dying HOME DATABASE CA POINT TOOLS...
    DATABASE is `-` for SQLite in HOME; POINT is `-` to live
CODEX in the environment is a real Codex instead of a scripted engine, and SERVING_URL where it finds us;
WORKER is the worker's name
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from linkspan import spec
from linkspan.accounts.identifiers import identifier
from linkspan.app import App, build
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.engine import Engine, Host, Task
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.runs.context import Reader
from linkspan.runs.outlet import Parts
from linkspan.runs.publishing import GatewayForge
from linkspan.runs.write_back import WriteBack
from linkspan.settings import CodexSettings, Settings, parse_egress
from linkspan.vault.redact import Redactor
from linkspan.working import work_with
from tests.fakes.engine import ScriptedEngine, edit

BASE = "https://linkspan.example"
EGRESS = parse_egress("127.0.0.1/32")
POINTS = {
    "gather": "preparing",
    "before_started": "preparing",
    "after_started": "preparing",
    "prepare": "preparing",
    "prepared": "preparing",
    "codex": "running",
    "worked": "running",
    "collected": "running",
    "asked": "running",
    "publish": "publishing",
    "committed": "publishing",
    "pushed": "publishing",
    "opened": "publishing",
    "published": "publishing",
    "before_finished": "publishing",
    "after_finished": "publishing",
    "closing": "publishing",
}
"""Every moment of a run that goes well, and the state that it is in."""


async def opened(home: Path, database: str | None, tools: list[Path]) -> App:
    """Build the application as a process of its own has it."""
    settings = Settings(home=home, database=database, egress=EGRESS)
    return await build(settings, catalog=spec.load(tools, {}))


async def main(home: Path, database: str | None, authority: Path, point: str, tools: list[Path]) -> None:
    """Work runs until killed."""
    app = await opened(home, database, tools)

    def die(name: str) -> None:
        print(name, flush=True)  # noqa: T201
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    async def think(task: Task, host: Host) -> None:
        await asyncio.sleep(0.3)

    engine: Engine = ScriptedEngine([edit("calc.py", "total = 3\n"), think])
    if "CODEX" in os.environ:
        engine = AppServer(CodexSettings(binary=os.environ["CODEX"]))
    mask = Redactor().mask
    reader = Reader(app.gateway, random=os.urandom, sleep=asyncio.sleep)
    work = home / "work"
    parts = Parts(
        db=app.database,
        kept=app.kept,
        tokens=app.run_tokens,
        reader=reader,
        write_back=WriteBack(reader, lambda: app.catalog, clean=mask, plain=mask, bare=mask, base=BASE),
        engines={"app_server": engine},
        places=GitPlaces(
            work,
            EgressProxy(EgressGuard(EGRESS), random=os.urandom),
            clock=time.time,
            git=Git(ca_file=authority),
        ),
        forge=GatewayForge(app.gateway, app.accounts, base=BASE, mask=mask, random=os.urandom),
        bell=app.runs.bell,
        work=work,
        base_url=os.environ.get("SERVING_URL", BASE),
        clock=time.time,
        mask=mask,
        clean=mask,
        point=die,
    )
    worker = os.environ.get("WORKER") or f"wrk_{identifier(os.urandom)}"
    await work_with(app, parts, worker=worker, polling=0.05, beat=0.2, stale=1.5, look=0.1)


if __name__ == "__main__":
    home, database, authority, point, *tools = sys.argv[1:]
    asyncio.run(
        main(
            Path(home),
            None if database == "-" else database,
            Path(authority),
            point,
            [Path(each) for each in tools],
        )
    )
