"""The recipe of examples/roundup against a real tracker: what a run writes back into its bug."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.settings import Settings, parse_egress
from linkspan.store.runs import Run
from tests.fakes.engine import ScriptedEngine
from tests.fakes.forge import Forge
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, FORGE_TOKEN
from tests.runs.working import parts_of, working
from tests.servers.node import ROOT
from tests.servers.roundup import Tracker, tracker
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
FILE = ROOT / "examples" / "roundup" / "tools.yaml"


@dataclass
class Office:
    """A tracker, and Linkspan with a worker whose engine is scripted."""

    app: App
    tracker: Tracker
    engine: ScriptedEngine
    places: FakePlaces
    forge: FakeForge

    async def until(self, run: Run, state: str) -> Run:
        """Answer the run in that state; another end is told."""
        while True:
            found = await self.app.runs.find(ACME, run.id)
            if found.state == state:
                return found
            assert not found.is_finished, found.error_message
            await self.app.runs.bell.wait(0.1)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Everything, with the recipe turned on."""
    forge = Forge(tokens={FORGE_TOKEN: "acme"})
    forge.repository("acme/harbour")
    with tracker(tmp_path / "tracker") as made, serving(forge.app()) as forge_url:
        made.add_user("codex", "codex-canary")
        places = tmp_path / "places.yaml"
        places.write_text(yaml.safe_dump({"connectors": {"github": {"base_url": forge_url}}}))
        settings = Settings(home=tmp_path / "home", egress=parse_egress("127.0.0.0/8"))
        app = await build(settings, catalog=spec.load([FILE, places], {}))
        await app.tenants.add("acme")
        known = app.catalog.connectors
        await app.accounts.link(
            ACME,
            known["roundup"],
            settings={"origin": made.origin},
            secrets={"username": "codex", "password": "codex-canary"},
        )
        await app.accounts.link(ACME, known["github"], secrets={"token": FORGE_TOKEN})
        await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/harbour"})
        office = Office(app, made, ScriptedEngine(), FakePlaces(tmp_path / "home" / "work"), FakeForge())
        async with working(app, parts_of(app, office)):
            yield office
        await app.aclose()


async def test_a_bug_is_told_of_its_run(office: Office) -> None:
    """When work begins, with another status, and how it ended; once each."""
    bug = office.tracker.create_bug("The till does not add up", "Two soups cost one.")
    run = await office.app.runs.start(BO, "fix_ticket", source="api", entity_id=bug, key="k")
    await office.until(run, "waiting_approval")
    (task,) = office.engine.tasks
    assert "Two soups cost one." in task.materials[1].text
    assert office.tracker.bug(bug)["status"] == "open"
    question = await office.app.runs.open_approval(BO, run.id)
    await office.app.runs.decide(BO, run.id, question.id, "approve")
    done = await office.until(run, "succeeded")
    _reported, started, finished = [text for _who, text in office.tracker.messages(bug)]
    assert started.startswith("Codex has started: ")
    assert f"Codex run {done.id} started, asked for by bo." in started
    assert "The till adds up again." in finished
    assert "It waits for a review: https://forge.example/acme/cafe/pull/7" in finished
    assert office.forge.opened[run.id].title == f"The till does not add up (bug {bug})"
