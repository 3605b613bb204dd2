"""A bug of a real Roundup becomes a pull request that is merged: examples/roundup, with the real Codex.

Git is real as well, and the forge is somebody else's idea of GitHub (emulate), which is told of each push as
a forge that had git would know of it, and which signs and sends its webhooks itself. The model is scripted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
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
from tests.servers.emulate import ANOTHER, TOKEN, Emulate, WithGit, github
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
    codex: str
    """The id of its user at the tracker."""

    async def looked(self) -> None:
        """Wait for the worker's first look at the bugs, which tells of none."""
        async with asyncio.timeout(60):
            while not any(each.position for each in await self.app.watches.of_tenant(ACME)):
                await self.app.runs.bell.wait(0.1)

    async def newest(self, count: int) -> Run:
        """Answer the newest of so many runs, once there are as many."""
        async with asyncio.timeout(120):
            while len(found := await self.app.runs.list(BO)) < count:
                await self.app.runs.bell.wait(0.1)
        assert len(found) == count
        return max(found, key=lambda run: run.created)

    async def approved(self, run: Run) -> Run:
        """Let a person approve what it is about to publish, and answer it when it has succeeded."""
        await self.until(run, "waiting_approval")
        question = await self.app.runs.open_approval(BO, run.id)
        await self.app.runs.decide(BO, run.id, question.id, "approve")
        return await self.until(run, "succeeded")

    async def merged(self, bug: str) -> None:
        """Wait until what came of the merge is told at the bug."""
        async with asyncio.timeout(60):
            while self.tracker.bug(bug)["status"] != "closed":
                await self.app.runs.bell.wait(0.1)

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
        ExitStack() as stack,
        git_server(tmp_path / "repositories", authority) as server,
        tracker(tmp_path / "tracker") as made,
        github(tmp_path / "emulate", git_url=server.url) as forge,
        serving(model) as model_url,
    ):
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/shop", FILES)
        beside = WithGit(forge, server.branches)
        forge_url = stack.enter_context(serving(beside))
        server.pushed = beside.pushed
        codex = made.add_user("codex", "codex-canary")
        places = tmp_path / "places.yaml"
        connectors = {
            "github": {"base_url": forge_url, "git": {"base_url": server.url}},
            "openai": {"base_url": f"{model_url}/v1"},
            "roundup": {"watch": {"changes": {"every": "10s"}}},
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
            at_github = await app.accounts.link(
                ACME, known["github"], secrets={"token": TOKEN}, verify=app.verifier
            )
            await app.accounts.link(ACME, known["openai"], secrets={"token": KEY})
            await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/shop"})
            secret = await app.hook_secrets.of_account(ACME, at_github.id)
            async with served(app) as url, working_at(app, url, authority):
                forge.hook(f"{url}/hooks/account/{at_github.id}", secret.reveal())
                yield Office(app, made, forge, server, model, codex)
        finally:
            await app.aclose()
            shutil.rmtree(home, ignore_errors=True)


async def test_a_bug_becomes_a_pull_request(office: Office) -> None:
    """The worker's own look sees that it is assigned; a review is gone on from, and the merge is told."""
    office.model.prepare(
        [
            [function_call("list_comments", {"ticket": "1"}, namespace="mcp__linkspan")],
            [shell("", MEND)],
            [message("The till adds up again.")],
            [shell("", "sed -i 's/4 \\* soups/soups * 4/' till.py")],
            [message("The soups come first.")],
        ]
    )
    await office.looked()
    bug = office.tracker.create_bug("The till does not add up", "Two soups cost one.", assignee=office.codex)
    run = await office.newest(1)
    assert (run.entity_id, run.source) == (bug, "webhook:roundup")
    await office.until(run, "waiting_approval")
    first, *_, last = office.model.turns
    assert "Two soups cost one." in first.text
    assert "Two soups cost one." in last.outputs[-2]
    assert last.outputs[-1].strip().endswith("8")
    assert office.tracker.bug(bug)["status"] == "open"
    assert set(office.git.branches("acme/shop")) == {"main"}
    done = await office.approved(run)
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
    assert f"Codex run {run.id} started." in started
    assert "The till adds up again." in finished
    assert f"It waits for a review: {opened['html_url']}" in finished

    pull = f"/repos/acme/shop/pulls/{opened['number']}"
    review = {"event": "REQUEST_CHANGES", "body": "Soups first, please."}
    office.forge.ask("POST", f"{pull}/reviews", review, token=ANOTHER)
    again = await office.newest(2)
    again = await office.approved(again)
    assert done.thread_id is not None
    assert (again.thread_id, again.branch) == (done.thread_id, branch)
    assert "Soups first, please." in office.model.turns[-1].text
    assert "soups * 4" in office.git.show("acme/shop", f"{branch}:till.py")
    assert office.git.pushes == ["acme/shop"] * 2
    office.forge.ask("PATCH", pull, {"draft": False})
    office.forge.ask("PUT", f"{pull}/merge", {}, token=ANOTHER)
    await office.merged(bug)
    *_, going_on, finished, merged = [text for _who, text in office.tracker.messages(bug)]
    assert going_on.startswith("A reviewer asks for changes, and Codex goes on: ")
    assert "The soups come first." in finished
    assert merged.startswith(f"Merged: {opened['html_url']}")
    assert len(await office.app.runs.list(BO)) == 2
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
