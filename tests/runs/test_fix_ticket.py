"""The first job whole: a ticket of the desk becomes a pull request, with the real Codex.

Real are Codex, git behind TLS, the desk, our server with its model proxy and its MCP endpoint, and the
journal. The model is scripted, so this shows nothing of how well a real one would mend the shop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.app_server.process import at_work_in
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
from linkspan.vault.redact import Redactor
from linkspan.working import work_with
from tests.codex.conftest import served
from tests.fakes.forge import Forge
from tests.runs.conftest import ACME, BO
from tests.runs.test_crashes import TOKEN, desk_at
from tests.servers import codex as codex_cli
from tests.servers.authority import Authority
from tests.servers.git import GitServer, git_server
from tests.servers.node import ROOT
from tests.servers.scripted_model import Answer, ScriptedModel, function_call, message, shell
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e
KEY = "key-canary-of-acme"
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


@pytest.fixture
async def closed(seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[Shop]:
    """The sample product, its code at a forge, and Linkspan that serves; nobody works."""
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority, model = Authority(tmp_path / "tls"), ScriptedModel()
    forge = Forge(tokens={TOKEN: "acme"})
    home = ROOT / ".work" / f"shop-{uuid.uuid4().hex[:12]}"  # Codex refuses a home below /tmp
    files = {
        str(path.relative_to(HARBOUR)): path.read_text()
        for path in HARBOUR.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with (
        git_server(tmp_path / "repositories", authority) as server,
        desk_at(seeded, tmp_path) as (desk_url, desk),
        serving(forge.app()) as forge_url,
        serving(model) as model_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/harbour", files)
        forge.url, forge.git_url, forge.branches = forge_url, server.url, server.branches
        forge.repository("acme/harbour")
        places = tmp_path / "places.yaml"
        connectors = {
            "github": {"base_url": forge_url, "git": {"base_url": server.url}},
            "openai": {"base_url": f"{model_url}/v1"},
        }
        places.write_text(yaml.safe_dump({"connectors": connectors}))
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        tools = [ROOT / "tools.yaml", places]
        app = await build(settings, catalog=spec.load(tools, {}))
        await app.tenants.add("acme")
        desk_token = seeded[1]["tokens"]["acme"]["codex"]
        known = app.catalog.connectors
        await app.accounts.link(
            ACME, known["desk"], settings={"site": desk_url}, secrets={"token": desk_token}
        )
        await app.accounts.link(ACME, known["github"], secrets={"token": TOKEN})
        await app.accounts.link(ACME, known["openai"], secrets={"token": KEY})
        await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/harbour", "style": "Be brief."})
        async with served(app) as url:
            yield Shop(app, desk, forge, server, model, url, authority, tools)
        await app.aclose()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def shop(closed: Shop) -> AsyncIterator[Shop]:
    """The same, with a worker in this process."""
    proxy = EgressProxy(EgressGuard(closed.app.settings.egress), random=os.urandom)
    parts = parts_at(closed.app, closed.url, closed.authority, proxy)
    working = asyncio.create_task(work_with(closed.app, parts, worker="wrk_shop"))
    try:
        yield closed
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await proxy.aclose()


@contextlib.contextmanager
def a_worker(shop: Shop, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that works runs with the real Codex; it is killed at the end of the block."""
    words = [shop.app.settings.home, "-", shop.authority.root, "-", *shop.tools]
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


def parts_at(app: App, url: str, authority: Authority, proxy: EgressProxy) -> Parts:
    """Answer the parts of a worker whose Codex reaches us at a URL."""
    mask = Redactor().mask
    reader = Reader(app.gateway, random=os.urandom, sleep=asyncio.sleep)
    work = app.settings.home / "work"
    binary = codex_cli.npm_command()[1]
    return Parts(
        db=app.database,
        kept=app.kept,
        tokens=app.run_tokens,
        reader=reader,
        write_back=WriteBack(reader, lambda: app.catalog, clean=mask, base=url),
        engines={"app_server": AppServer(CodexSettings(binary=binary))},
        places=GitPlaces(work, proxy, clock=time.time, git=Git(ca_file=authority.root)),
        forge=GatewayForge(app.gateway, app.accounts, base=url, mask=mask, random=os.urandom),
        bell=app.runs.bell,
        work=work,
        base_url=url,
        clock=time.time,
        mask=mask,
        clean=mask,
    )


async def test_a_ticket_becomes_a_pull_request(shop: Shop) -> None:
    """It is read, mended and tested in the sandbox, approved, pushed, opened once, and the ticket is told."""
    shop.model.prepare(
        [
            [function_call("get_ticket", {"id": "HC-103"}, namespace="mcp__linkspan")],
            [shell("", MEND)],
            [message(SUMMARY)],
        ]
    )
    run = await shop.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    waiting = await shop.until(run, "waiting_approval")
    assert waiting.state == "waiting_approval", waiting.error_message
    assert shop.model.turns[-1].outputs[-1].strip().endswith("OK")
    assert "Ordering after 22:40" in shop.model.turns[0].text
    assert '"key":"HC-103"' in "".join(shop.model.turns[1].outputs[-1].split())
    assert list(shop.git.branches("acme/harbour")) == ["main"]
    question = await shop.app.runs.open_approval(BO, run.id)
    await shop.app.runs.decide(BO, run.id, question.id, "approve")
    done = await shop.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    branch = f"codex/{run.id}"
    assert set(shop.git.branches("acme/harbour")) == {"main", branch}
    assert "+ timedelta(hours=1)" in shop.git.show("acme/harbour", f"{branch}:cafe/orders.py")
    assert "Requested-by: bo" in shop.git.show("acme/harbour", branch)
    (opened,) = shop.forge.repositories["acme/harbour"].pulls
    assert opened["head"]["ref"] == branch
    assert opened["title"] == "Ordering after 22:40 fails with an error page (HC-103)"
    assert SUMMARY in opened["body"]
    started, finished = shop.comments("HC-103")
    assert started.startswith("Codex has started on this. Watch it: http://127.0.0.1")
    assert finished.startswith(f"{SUMMARY}\n\nIt waits for a review: http")
    ticket = shop.desk.store.one("SELECT state FROM tickets WHERE org = 'acme' AND key = 'HC-103'")
    assert ticket["state"] == "review"
    assert done.total_tokens > 0
    _artifact, transcript = await shop.app.runs.artifact(BO, run.id, "transcript")
    assert b"Tool `get_ticket on ticket HC-103: ok" in transcript
    assert not list(at_work_in(shop.app.settings.home / "work/acme/runs" / run.id))
    assert {request.headers["authorization"] for request in shop.model.requests} == {f"Bearer {KEY}"}


async def test_codex_changes_no_other_ticket(shop: Shop) -> None:
    """Whatever a ticket talks the model into: neither another ticket, nor a run of its own."""
    shop.model.prepare(
        [
            [function_call("comment_on_ticket", {"id": "HC-104", "body": "Hi"}, namespace="mcp__linkspan")],
            [
                function_call(
                    "start_codex_run", {"recipe": "fix_ticket", "id": "HC-104"}, namespace="mcp__linkspan"
                )
            ],
            [message("I could not.")],
        ]
    )
    run = await shop.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    done = await shop.until(run)
    assert (done.state, done.error_code) == ("failed", "nothing_to_publish")
    comment, start = shop.model.turns[-1].outputs[-2:]
    assert comment == "unsupported call: mcp__linkspancomment_on_ticket"
    assert start == "unsupported call: mcp__linkspanstart_codex_run"
    assert shop.comments("HC-104") == []
    assert [each.id for each in await shop.app.runs.list(BO)] == [run.id]
    assert shop.comments("HC-103")[-1].startswith("Codex could not finish this. Codex ended without changing")


async def test_a_worker_is_killed_while_codex_works(closed: Shop, tmp_path: Path) -> None:
    """No process of it is left, the next worker goes on with its conversation, and all is there once."""
    hold = [True]
    closed.model.prepare(
        [
            [shell("", MEND)],
            Answer([message("Thinking.")], until=lambda: not hold[0]),
            [message(SUMMARY)],
        ]
    )
    log = tmp_path / "workers.log"
    run = await closed.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    folder = closed.app.settings.home / "work/acme/runs" / run.id
    with a_worker(closed, log):
        async with asyncio.timeout(90):
            while len(closed.model.turns) < 2:  # noqa: ASYNC110 - it is asked in another thread
                await asyncio.sleep(0.1)
        assert list(at_work_in(folder))
    hold[0] = False
    await asyncio.to_thread(wait_until, lambda: not list(at_work_in(folder)), what="Codex's end", seconds=10)
    with a_worker(closed, log):
        waiting = await closed.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", (waiting.error_message, log.read_text()[-2000:])
        question = await closed.app.runs.open_approval(BO, run.id)
        await closed.app.runs.decide(BO, run.id, question.id, "approve")
        done = await closed.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    assert set(closed.git.branches("acme/harbour")) == {"main", f"codex/{run.id}"}
    assert len(closed.forge.repositories["acme/harbour"].pulls) == 1
    assert len(closed.comments("HC-103")) == 2
    assert not list(at_work_in(folder))
    mended = closed.git.show("acme/harbour", f"codex/{run.id}:test_cafe.py")
    assert mended.count("late = datetime") == 1
