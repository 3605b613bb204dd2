"""The button of the desk's pages: a product's own server asks for runs, and its people watch and approve."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from desk.app import build as build_desk
from desk.codex import Codex
from desk.store import Store
from linkspan.codex.engine import Host, Question, Task
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, DESK, NOW, House
from tests.runs.working import Works, parts_of, working

NOTE = "A script stands in for the model."


@dataclass
class Browser:
    """Somebody of acme who has signed in at the desk."""

    client: httpx2.AsyncClient
    works: Works

    async def page(self, path: str = "/tickets/HC-103") -> str:
        """Read a page."""
        return (await self.client.get(path)).raise_for_status().text

    async def press(self, act: str, path: str = "/tickets/HC-103") -> httpx2.Response:
        """Press a button with all that its form holds."""
        page = await self.page(path)
        assert f'value="{act}"' in page
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        return await self.client.post("/tickets/HC-103/codex", data={**form, "act": act})


@pytest.fixture
async def browser(house: House, tmp_path: Path) -> AsyncIterator[Browser]:
    """The desk's pages before a Linkspan that serves and works."""
    await house.enable("mend")
    made = await house.app.tokens.create(ACME, subject="desk", scopes=["read", "write", "run.approve"])
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    store = Store(tmp_path / "desk.sqlite", clock=lambda: NOW)
    async with served(house.app) as url, working(house.app, parts_of(house.app, works)):
        codex = Codex(url, {"acme": made.text.reveal()}, recipe="mend", model_note=NOTE)
        pages = build_desk(store, DESK, post=None, codex=codex)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=pages), base_url=DESK) as client:
            await client.post("/sign-in", data={"user": "acme/priya"})
            yield Browser(client, works)
    store.close()


async def test_from_the_button_to_the_pull_request(browser: Browser) -> None:
    """Pressed, watched, approved and done, all on the desk's pages; Linkspan knows who pressed."""
    assert NOTE in await browser.page()
    answer = await browser.press("start")
    assert answer.headers["location"] == "/tickets/HC-103/codex"
    ((run),) = await browser.works.house.app.runs.list(BO)
    assert (run.person, run.asker, run.source) == ("priya", "desk", "api")
    await browser.works.until(run.id, "waiting_approval")
    page = await browser.page("/tickets/HC-103/codex")
    assert "It waits for somebody to approve it" in page
    assert "Publish a pull request to acme/cafe?" in page
    assert "The till adds up again." in page
    assert "refresh" not in page
    assert "<script" not in page
    await browser.press("approve", "/tickets/HC-103/codex")
    done = await browser.works.until(run.id)
    assert done.state == "succeeded"
    page = await browser.page("/tickets/HC-103/codex")
    assert "It is done" in page
    assert 'href="https://forge.example/acme/cafe/pull/7"' in page
    (asked,) = await browser.works.house.app.runs.approvals(BO, run.id)
    assert (asked.decision, asked.person) == ("approve", "priya")


async def test_a_question_of_codex_names_the_files(browser: Browser) -> None:
    """Those that it would change outside of the checkout, as text; and the permissions it asks for."""

    async def ask(task: Task, host: Host) -> None:
        about = {"changes": [{"path": "/srv/<b>.txt"}], "permissions": {"fileSystem": {"write": ["/srv/c"]}}}
        await host.decide(Question("q1", "file_change", "May I?", about))

    browser.works.engine.acts = [ask]
    await browser.press("start")
    (run,) = await browser.works.house.app.runs.list(BO)
    await browser.works.until(run.id, "waiting_approval")
    page = await browser.page("/tickets/HC-103/codex")
    assert "<li><code>/srv/&lt;b&gt;.txt</code></li>" in page
    assert "/srv/c" in page


async def test_a_run_is_declined_or_cancelled_on_the_page(browser: Browser) -> None:
    """A page that waits for something refreshes itself; after the end there is the button again."""
    await browser.press("start")
    (run,) = await browser.works.house.app.runs.list(BO)
    await browser.works.until(run.id, "waiting_approval")
    assert 'value="start"' not in await browser.page()
    await browser.press("decline", "/tickets/HC-103/codex")
    await browser.works.until(run.id)
    assert "priya declined to publish it." in await browser.page("/tickets/HC-103/codex")
    assert 'value="start"' in await browser.page()


async def test_who_may_only_read_has_no_button(browser: Browser) -> None:
    """Nor does a form of their own start one; other organisations have neither button nor page."""
    nothing = await browser.client.post("/tickets/HC-103/codex", data={"csrf": "x", "act": "start"})
    assert nothing.status_code == 403
    for who, path, status in (("acme/otto", "/tickets/HC-103", 403), ("globex/nadia", "/tickets/GX-12", 404)):
        await browser.client.post("/sign-in", data={"user": who})
        page = await browser.client.get(path)
        assert "Fix with Codex" not in page.text
        token = re.search(r'name="csrf" value="([^"]*)"', (await browser.client.get("/tickets")).text)
        assert token
        forged = {"csrf": token[1], "act": "start"}
        assert (await browser.client.post(f"{path}/codex", data=forged)).status_code == status
    assert await browser.works.house.app.runs.list(BO) == []


async def test_the_desk_goes_on_without_linkspan(house: House, tmp_path: Path) -> None:
    """The ticket is shown, and a sentence in the button's place."""
    store = Store(tmp_path / "desk.sqlite", clock=lambda: NOW)
    pages = build_desk(store, DESK, post=None, codex=Codex("http://127.0.0.1:9", {"acme": "lsk"}))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=pages), base_url=DESK) as client:
        await client.post("/sign-in", data={"user": "acme/priya"})
        page = (await client.get("/tickets/HC-103")).text
    assert "Linkspan cannot be reached at the moment." in page
    assert "Fix with Codex" not in page
    store.close()
