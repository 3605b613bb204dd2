"""A bug of a real Roundup becomes a pull request: the recipe of examples/roundup, with the real Codex.

Git is real as well, and the forge is somebody else's idea of GitHub (emulate), which is told of each push as
a forge that had git would know of it. The model is scripted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.codex.app_server.process import at_work_in
from linkspan.runs.polling import Poller
from linkspan.runs.watching import Watches
from linkspan.settings import Settings, parse_egress
from linkspan.store.runs import Run
from tests.codex.conftest import served
from tests.fakes.forge import Forge
from tests.runs.conftest import ACME, BO
from tests.runs.shop import KEY, working_at
from tests.servers.authority import Authority
from tests.servers.emulate import TOKEN, Emulate, github
from tests.servers.git import GitServer, git_server
from tests.servers.node import ROOT
from tests.servers.roundup import Tracker, tracker
from tests.servers.scripted_model import ScriptedModel, function_call, message, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
FILE = ROOT / "examples" / "roundup" / "tools.yaml"
FILES = {"till.py": "def total(soups):\n    return 4\n", "AGENTS.md": "Be brief.\n"}
MEND = "sed -i 's/return 4/return 4 * soups/' till.py; python3 -c 'import till; print(till.total(2))'"


@dataclass
class Office:
    """A tracker, a forge with git, and Linkspan with a worker."""

    app: App
    tracker: Tracker
    forge: Emulate
    git: GitServer
    model: ScriptedModel

    async def until(self, run: Run, state: str) -> Run:
        """Answer the run in that state; another end is told."""
        async with asyncio.timeout(120):
            while True:
                found = await self.app.runs.find(ACME, run.id)
                if found.state == state:
                    return found
                assert not found.is_finished, found.error_message
                await self.app.runs.bell.wait(0.1)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Everything, with the recipe turned on."""
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority, model = Authority(tmp_path / "tls"), ScriptedModel()
    home = ROOT / ".work" / f"office-{uuid.uuid4().hex[:12]}"  # Codex refuses a home below /tmp
    with (
        git_server(tmp_path / "repositories", authority) as server,
        tracker(tmp_path / "tracker") as made,
        github(tmp_path / "emulate", git_url=server.url) as forge,
        serving(model) as model_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/shop", FILES)

        def tell(name: str) -> None:
            for branch in set(server.branches(name)) - {"main"}:
                forge.branch(branch)

        server.pushed = tell
        made.add_user("codex", "codex-canary")
        places = tmp_path / "places.yaml"
        connectors = {
            "github": {"base_url": forge.url, "git": {"base_url": server.url}},
            "openai": {"base_url": f"{model_url}/v1"},
        }
        places.write_text(yaml.safe_dump({"connectors": connectors}))
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        app = await build(settings, catalog=spec.load([FILE, places], {}))
        try:
            await app.tenants.add("acme")
            known = app.catalog.connectors
            await app.accounts.link(
                ACME,
                known["roundup"],
                settings={"origin": made.origin},
                secrets={"username": "codex", "password": "codex-canary"},
            )
            await app.accounts.link(ACME, known["github"], secrets={"token": TOKEN})
            await app.accounts.link(ACME, known["openai"], secrets={"token": KEY})
            await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/shop"})
            async with served(app) as url, working_at(app, url, authority):
                yield Office(app, made, forge, server, model)
        finally:
            await app.aclose()
            shutil.rmtree(home, ignore_errors=True)


async def test_a_bug_becomes_a_pull_request(office: Office) -> None:
    """It is told when work begins, with another status, and how it ended; once each."""
    bug = office.tracker.create_bug("The till does not add up", "Two soups cost one.")
    office.model.prepare(
        [
            [function_call("list_comments", {"ticket": bug}, namespace="mcp__linkspan")],
            [shell("", MEND)],
            [message("The till adds up again.")],
        ]
    )
    run = await office.app.runs.start(BO, "fix_ticket", source="api", entity_id=bug, key="k")
    await office.until(run, "waiting_approval")
    first, *_, last = office.model.turns
    assert "Two soups cost one." in first.text
    assert "Two soups cost one." in last.outputs[-2]
    assert last.outputs[-1].strip().endswith("8")
    assert office.tracker.bug(bug)["status"] == "open"
    assert set(office.git.branches("acme/shop")) == {"main"}
    question = await office.app.runs.open_approval(BO, run.id)
    await office.app.runs.decide(BO, run.id, question.id, "approve")
    done = await office.until(run, "succeeded")
    branch = f"codex/{run.id}"
    assert set(office.git.branches("acme/shop")) == {"main", branch}
    assert "4 * soups" in office.git.show("acme/shop", f"{branch}:till.py")
    assert office.git.pushes == ["acme/shop"]
    (opened,) = office.forge.ask("GET", "/repos/acme/shop/pulls?state=all")
    assert (opened["head"]["ref"], opened["base"]["ref"]) == (branch, "main")
    assert opened["title"] == f"The till does not add up (bug {bug})"
    assert opened["draft"]
    assert "The till adds up again." in opened["body"]
    _reported, started, finished = [text for _who, text in office.tracker.messages(bug)]
    assert started.startswith("Codex has started: ")
    assert f"Codex run {done.id} started, asked for by bo." in started
    assert "The till adds up again." in finished
    assert f"It waits for a review: {opened['html_url']}" in finished
    assert list(at_work_in(office.app.settings.home)) == []


async def test_a_bug_that_is_given_to_codex_starts_a_run(tmp_path: Path) -> None:
    """Or called in its last comment. What was there before starts nothing, nor nobody's; told once."""
    late = [-70.0]

    def clock() -> float:
        return time.time() + late[0]

    forge = Forge(tokens={TOKEN: "acme"})
    forge.repository("acme/shop")
    with tracker(tmp_path / "tracker") as made, serving(forge.app()) as forge_url:
        places = tmp_path / "places.yaml"
        places.write_text(yaml.safe_dump({"connectors": {"github": {"base_url": forge_url}}}))
        codex = made.add_user("codex", "codex-canary")
        settings = Settings(home=tmp_path / "home", egress=parse_egress("127.0.0.0/8"))
        app = await build(settings, catalog=spec.load([FILE, places], {}))
        await app.tenants.add("acme")
        await app.accounts.link(ACME, app.catalog.connectors["github"], secrets={"token": TOKEN})
        secrets = {"username": "codex", "password": "codex-canary"}
        there = {"origin": made.origin}
        await app.accounts.link(ACME, app.catalog.connectors["roundup"], settings=there, secrets=secrets)
        await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/shop", "askers": "admin"})
        poller = Poller(app.gateway, clock=clock, random=os.urandom)
        watches = Watches(
            app.database,
            poller,
            app.relay,
            catalog=lambda: app.catalog,
            bell=app.runs.bell,
            clock=clock,
            random=os.urandom,
        )
        made.create_bug("An old one", assignee=codex)
        await watches.look_once()
        nobodys = made.create_bug("Nobody's")
        bug = made.create_bug("The till does not add up", "Two soups cost one.", assignee=codex)
        called = made.create_bug("No receipt", "None is printed.", "@codex, please.")
        for _ in range(2):
            late[0] += 35
            await watches.look_once()
            while await app.arrivals.work_due():
                pass
        told = {(each.entity_id, each.does): str(each.outcome) for each in await app.arrivals.list(ACME)}
        runs = {run.entity_id: run for run in await app.runs.list(BO)}
        assert set(runs) == {bug, called}
        assert {run.source for run in runs.values()} == {"webhook:roundup"}
        no_call = "fix_ticket: the comment does not call @codex."
        assert told == {
            (nobodys, "start"): "fix_ticket: `when` is not so.",
            (nobodys, "mention"): no_call,
            (bug, "start"): f"fix_ticket: {runs[bug].id}.",
            (bug, "mention"): no_call,
            (called, "start"): "fix_ticket: `when` is not so.",
            (called, "mention"): f"fix_ticket: {runs[called].id}.",
        }
        assert runs[called].plan["comment"]
        await app.aclose()
