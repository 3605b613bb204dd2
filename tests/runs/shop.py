"""A shop whose tickets become pull requests with the real Codex: what the tests of whole runs share.

Real are Codex, git behind TLS, the desk, our server with its model proxy and its MCP endpoint, and the
journal. The model is scripted, so it shows nothing of how well a real one would mend the shop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from linkspan import spec
from linkspan.app import App, build
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.app_server.process import at_work_in
from linkspan.codex.engine import Engine
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.runs.context import Reader
from linkspan.runs.outlet import Parts
from linkspan.runs.publishing import GatewayForge
from linkspan.runs.write_back import WriteBack
from linkspan.settings import CodexSettings, Settings, parse_egress
from linkspan.store.runs import Run
from linkspan.text.outgoing import Outgoing
from linkspan.vault.redact import Redactor
from linkspan.working import work_with
from tests.codex.conftest import served
from tests.fakes.forge import Forge
from tests.runs.conftest import ACME, BO
from tests.runs.test_crashes import TOKEN, desk_at
from tests.servers import codex as codex_cli
from tests.servers.authority import Authority
from tests.servers.git import File, GitServer, git_server
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel
from tests.servers.serving import serving

Sleep = Callable[[float], Awaitable[object]]
KEY = "key-canary-of-acme"
REPOSITORY = "acme/harbour"
HARBOUR = ROOT / "examples/harbour"
MEND = r"""
set -e
cat AGENTS.md >/dev/null
sed -i 's/    return ready.replace(hour=ready.hour + 1, minute=0, second=0, microsecond=0)/'\
'    return ready.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)/' cafe/orders.py
sed -i 's/        self.assertEqual(pickup_time(noon).hour, 13)/&\n'\
'        late = datetime(2026, 11, 23, 22, 55, tzinfo=UTC)\n'\
'        self.assertEqual(pickup_time(late).hour, 0)/' test_cafe.py
python3 -m unittest 2>&1 | tail -1
"""
SUMMARY = "Orders after 22:40 asked for hour 24. Pickup is now the next full hour, past midnight too."


@dataclass
class Shop:
    """Everything that a ticket needs to become a pull request."""

    app: App
    desk: Any
    forge: Forge
    git: GitServer
    model: ScriptedModel
    url: str
    authority: Authority
    tools: list[Path]

    async def until(self, run: Run, *states: str) -> Run:
        """Answer the run in one of these states, or at its end."""
        async with asyncio.timeout(90):
            while True:
                found = await self.app.runs.find(ACME, run.id)
                if found.state in states or found.is_finished:
                    return found
                await self.app.runs.bell.wait(0.2)

    def comments(self, ticket: str) -> list[str]:
        """Answer what was said of a ticket by our account."""
        rows = self.desk.store.query(
            "SELECT body_markdown FROM comments WHERE org = 'acme' AND parent = ? AND author = 'codex'"
            " AND body_markdown LIKE '%Codex run run%' ORDER BY id",
            [ticket],
        )
        return [row["body_markdown"] for row in rows]

    def branches(self) -> set[str]:
        """Answer the branches that the git server has beside main."""
        return set(self.git.branches(REPOSITORY)) - {"main"}

    def pull_requests(self, run: Run) -> list[Any]:
        """Answer the pull requests of a run's branch that the forge has, open or not."""
        there = self.forge.repositories[REPOSITORY].pulls
        return [each for each in there if each["head"]["ref"] == f"codex/{run.id}"]

    def said(self, run: Run) -> list[str]:
        """Answer what the desk's tickets, any of them, were told by a run; without the line that names it."""
        rows = self.desk.store.query(
            "SELECT body_markdown FROM comments WHERE body_markdown LIKE ? ORDER BY id", [f"%{run.id}%"]
        )
        return [row["body_markdown"].rpartition("\n\n")[0] for row in rows]

    def at_work(self, run: Run) -> list[int]:
        """Answer the processes that work in a run's folder."""
        return list(at_work_in(self.app.settings.home / "work/acme/runs" / run.id))


def files_of(folder: Path) -> dict[str, File]:
    """Answer the files of a folder, as a commit has them."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@asynccontextmanager
async def shop_at(
    seeded: tuple[Path, dict[str, Any]],
    folder: Path,
    *,
    tools: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Shop]:
    """The sample product, its code at a forge, and Linkspan that serves; nobody works.

    `tools` is put beside what tools.yaml says.
    """
    for name in ("tls", "repositories"):
        (folder / name).mkdir()
    authority, model = Authority(folder / "tls"), ScriptedModel()
    forge = Forge(tokens={TOKEN: "acme"})
    home = ROOT / ".work" / f"shop-{uuid.uuid4().hex[:12]}"  # Codex refuses a home below /tmp
    with (
        git_server(folder / "repositories", authority) as server,
        desk_at(seeded, folder) as (desk_url, desk),
        serving(forge.app()) as forge_url,
        serving(model) as model_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository(REPOSITORY, files_of(HARBOUR))
        forge.url, forge.git_url, forge.branches = forge_url, server.url, server.branches
        forge.repository(REPOSITORY)
        places = folder / "places.yaml"
        connectors = {
            "github": {"base_url": forge_url, "git": {"base_url": server.url}},
            "openai": {"base_url": f"{model_url}/v1"},
        }
        places.write_text(json.dumps({"connectors": connectors, **(tools or {})}))  # without anchors
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        words = [ROOT / "tools.yaml", places]
        app = await build(settings, catalog=spec.load(words, {}), clock=clock)
        try:
            await app.tenants.add("acme")
            desk_token = seeded[1]["tokens"]["acme"]["codex"]
            known = app.catalog.connectors
            await app.accounts.link(
                ACME, known["desk"], settings={"site": desk_url}, secrets={"token": desk_token}
            )
            await app.accounts.link(ACME, known["github"], secrets={"token": TOKEN})
            await app.accounts.link(ACME, known["openai"], secrets={"token": KEY})
            await app.recipes.enable(BO, "fix_ticket", {"repository": REPOSITORY, "style": "Be brief."})
            async with served(app) as url:
                yield Shop(app, desk, forge, server, model, url, authority, words)
        finally:
            await app.aclose()
            shutil.rmtree(home, ignore_errors=True)


@asynccontextmanager
async def begun_anew(shop: Shop) -> AsyncIterator[App]:
    """Another application over the same home, as after a restart: what it knows is what is written down."""
    app = await build(shop.app.settings, catalog=spec.load(shop.tools, {}))
    try:
        yield app
    finally:
        await app.aclose()


@asynccontextmanager
async def working(
    shop: Shop,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
    engine: Engine | None = None,
) -> AsyncIterator[None]:
    """Work the shop's runs in this process, with the real Codex where no other engine is given.

    `sleep` is what it waits with for products that are down.
    """
    async with working_at(shop.app, shop.url, shop.authority, clock=clock, sleep=sleep, engine=engine):
        yield


@asynccontextmanager
async def working_at(
    app: App,
    url: str,
    authority: Authority,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
    engine: Engine | None = None,
) -> AsyncIterator[None]:
    """Work the runs of an application that serves at a URL, in this process."""
    proxy = EgressProxy(EgressGuard(app.settings.egress), random=os.urandom)
    parts = parts_at(app, url, authority, proxy, clock=clock, sleep=sleep)
    if engine is not None:
        parts = replace(parts, engines={"app_server": engine})
    task = asyncio.create_task(work_with(app, parts, worker="wrk_shop"))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await proxy.aclose()


@contextlib.contextmanager
def a_worker(shop: Shop, log: Path, point: str = "-") -> Iterator[subprocess.Popen[bytes]]:
    """A process that works runs with the real Codex; it is killed at that point or at the block's end."""
    words = [shop.app.settings.home, "-", shop.authority.root, point, *shop.tools]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "src", ROOT / "examples")))
    env = {**os.environ, "PYTHONPATH": path, "CODEX": codex_cli.npm_command()[1], "SERVING_URL": shop.url}
    command = [sys.executable, "-m", "tests.runs.dying", *map(str, words)]
    with (
        log.open("ab") as output,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output) as made,
    ):
        try:
            yield made
        finally:
            made.kill()


def parts_at(
    app: App,
    url: str,
    authority: Authority,
    proxy: EgressProxy,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
) -> Parts:
    """Answer the parts of a worker whose Codex reaches us at a URL."""
    mask = Redactor().mask
    outgoing = Outgoing(mask, frozenset({urlsplit(url).netloc.lower()}))
    reader = Reader(app.gateway, random=os.urandom, sleep=sleep)
    work = app.settings.home / "work"
    binary = codex_cli.npm_command()[1]
    return Parts(
        db=app.database,
        kept=app.kept,
        tokens=app.run_tokens,
        reader=reader,
        write_back=WriteBack(
            reader,
            lambda: app.catalog,
            clean=outgoing.said,
            plain=outgoing.plain,
            bare=outgoing.bare,
            base=url,
        ),
        engines={"app_server": AppServer(CodexSettings(binary=binary))},
        places=GitPlaces(work, proxy, clock=clock, git=Git(ca_file=authority.root)),
        forge=GatewayForge(app.gateway, app.accounts, base=url, mask=mask, random=os.urandom, sleep=sleep),
        bell=app.runs.bell,
        work=work,
        base_url=url,
        clock=clock,
        mask=mask,
        clean=outgoing.text,
    )
