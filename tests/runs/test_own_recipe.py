"""The recipe on docs/recipes/own.md, as it is written there: due on Monday, worked, approved, told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.applications import Starlette

from linkspan import spec
from linkspan.app import App, build
from linkspan.settings import Settings
from linkspan.working import work_with
from tests.fakes.asgi import AsgiTransport
from tests.fakes.engine import ScriptedEngine
from tests.fakes.forge import Forge
from tests.fakes.places import FakeForge, FakePlaces
from tests.fakes.slack import TOKEN as SLACK_TOKEN
from tests.fakes.slack import Slack
from tests.runs.conftest import ACME, BO, FORGE_TOKEN, House, by_host
from tests.runs.working import PATIENCE, Works, parts_of
from tests.servers.node import ROOT

BERLIN = ZoneInfo("Europe/Berlin")
SUNDAY = datetime(2027, 1, 17, 18, 0, tzinfo=BERLIN).timestamp()
MONDAY = datetime(2027, 1, 18, 6, 0, tzinfo=BERLIN).timestamp()


def written() -> str:
    """Answer the tools.yaml of the page."""
    page = (ROOT / "docs" / "recipes" / "own.md").read_text(encoding="utf-8")
    return page.partition("```yaml\n")[2].partition("```")[0]


@pytest.fixture
async def monday(tmp_path: Path) -> AsyncIterator[tuple[App, Slack, list[float]]]:
    """Linkspan with the page's file, before its products."""
    (tmp_path / "tools.yaml").write_text(written())
    forge = Forge(url="https://api.github.com", git_url="https://github.com", tokens={FORGE_TOKEN: "acme"})
    forge.repository("acme/shop")
    slack, now = Slack(), [SUNDAY]
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([tmp_path / "tools.yaml"], {}),
        transport=AsgiTransport(by_host({"api.github.com": forge.app(), "slack.com": slack.app()})),
        clock=lambda: now[0],
    )
    await app.tenants.add("acme")
    for name, token in (("github", FORGE_TOKEN), ("slack", SLACK_TOKEN)):
        connector = app.catalog.connectors[name]
        await app.accounts.link(ACME, connector, secrets={"token": token}, verify=app.verifier)
    yield app, slack, now
    await app.aclose()


def test_the_page_has_the_file_of_the_example() -> None:
    """But for the line that editors read."""
    file = (ROOT / "examples" / "weekly_update" / "tools.yaml").read_text(encoding="utf-8")
    assert file.partition("\n")[2] == written()


async def test_every_monday_somebody_has_something_to_look_at(monday: tuple[App, Slack, list[float]]) -> None:
    """Nobody presses anything: due at six in Berlin, worked, shown to a person, published, told in Slack."""
    app, slack, now = monday
    given: dict[str, Any] = {"repository": "acme/shop", "channel": "C024BE91L"}
    await app.recipes.enable(BO, "weekly_update", given)
    await app.schedules.work_due()
    due = await app.schedules.find(ACME, "weekly_update")
    assert due is not None
    assert due.due == MONDAY
    places = FakePlaces(app.settings.home / "work")
    house = House(app, None, AsgiTransport(Starlette()), now)
    works = Works(house, ScriptedEngine(), places, FakeForge())
    at_work = asyncio.create_task(work_with(app, parts_of(app, works), worker="wrk_own", polling=0.05))
    try:
        now[0] = MONDAY
        async with asyncio.timeout(PATIENCE):
            while not (found := await app.runs.list(BO)):
                app.runs.bell.ring()
                await app.runs.bell.wait(0.05)
        (run,) = found
        await works.until(run.id, "waiting_approval")
        question = await app.runs.open_approval(BO, run.id)
        await app.runs.decide(BO, run.id, question.id, "approve")
        done = await works.until(run.id)
    finally:
        at_work.cancel()
        await asyncio.gather(at_work, return_exceptions=True)
    assert (done.state, done.source, done.error_message) == ("succeeded", "schedule", None)
    assert done.pull_request is not None
    (task,) = works.engine.tasks
    assert task.network == ("packages.example",)
    (asked, told) = slack.said
    assert asked[0] == told[0] == "C024BE91L"
    assert asked[1].startswith("Dependencies are updated; somebody looks at it, please: https://")
    assert told[1] == done.pull_request["url"]
