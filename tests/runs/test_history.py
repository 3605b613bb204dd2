"""What is kept of runs and conversations, and how it is found again and taken away."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from linkspan.codex.engine import Event, Host, Task
from linkspan.errors import InvalidArgument, NotFound
from linkspan.gateway.calls import CallInfo
from linkspan.runs.export import html_of, jsonl_of
from linkspan.store import run_terms
from linkspan.store import runs as rows
from linkspan.store.runs import Run
from tests.fakes.engine import ScriptedEngine, edit
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import BO, House
from tests.runs.working import Works, parts_of, working

pytestmark = pytest.mark.slow

NASTY = '<script src="https://evil.example/x.js"></script> & `ticks`'


@pytest.fixture
async def works(house: House) -> AsyncIterator[Works]:
    """A worker whose Codex reads the ticket by our tool, runs a command and changes a file."""
    await house.enable("patch")
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    made.engine.acts = [call(house), command(), edit("calc.py", "total = 3\n"), say(f"Née à Zürich. {NASTY}")]
    async with working(house.app, parts_of(house.app, made)):
        yield made


def call(house: House) -> Any:
    """Call a tool as Codex's own MCP client does, and tell it as an item."""

    async def act(task: Task, host: Host) -> None:
        tool = house.app.catalog.tool("get_ticket")
        assert tool is not None
        info = CallInfo("req-1", "mcp", "codex", f"thread-{task.run}", "turn-1", "call-1")
        await house.app.gateway.call(BO, tool, {"id": "HC-103"}, info=info)
        await house.app.audit.flush()
        item = {"type": "mcpToolCall", "id": "call-1", "tool": "get_ticket", "result": {"secret": "sesame"}}
        await host.tell(Event("item_completed", {"item": item}))

    return act


def command() -> Any:
    """Run a command that prints what is nobody's to find."""

    async def act(task: Task, host: Host) -> None:
        item = {
            "type": "commandExecution",
            "command": "pytest -q",
            "exitCode": 1,
            "aggregatedOutput": "xyzzy",
        }
        await host.tell(Event("item_completed", {"item": item}))

    return act


def say(text: str) -> Any:
    """Say something."""

    async def act(task: Task, host: Host) -> None:
        await host.tell(Event("item_completed", {"item": {"type": "agentMessage", "text": text}}))

    return act


async def ended(works: Works, recipe: str = "patch", **given: Any) -> Run:
    """Answer a run that has ended."""
    run = await works.start(recipe, **given)
    return await works.until(run.id)


async def test_a_transcript_is_kept_when_a_run_ends(works: Works) -> None:
    """It says who asked, what was done in order, which ticket a call read, and how it ended."""
    run = await ended(works)
    artifact, data = await works.house.app.runs.artifact(BO, run.id, "transcript")
    text = data.decode()
    assert artifact.media_type == "text/markdown; charset=utf-8"
    assert text.startswith("# patch HC-103: Ordering after 22:40 fails with an error page\n")
    assert f"- Run {run.id} of the recipe patch for ticket HC-103\n- Asked for by bo (api)" in text
    assert "Tool `get_ticket on ticket HC-103: ok (upstream 200)" in text
    assert "$ pytest -q\n  xyzzy\n  exit code 1" in text
    assert f"> Née à Zürich. {NASTY}" in text
    order = [text.index(each) for each in ("get_ticket", "pytest", "Née", "a patch, among")]
    assert order == sorted(order)
    assert "sesame" not in text


async def test_a_bad_end_is_in_the_transcript(works: Works) -> None:
    """With its sentence."""
    works.engine.acts = []
    works.places.faults["prepare"] = NotFound("there is no repository acme/cafe")
    run = await ended(works)
    assert run.state == "failed"
    _artifact, data = await works.house.app.runs.artifact(BO, run.id, "transcript")
    assert f"- Ended: {run.error_message}" in data.decode()


async def test_a_run_is_found_by_words(works: Works) -> None:
    """By the beginnings of words, whatever their case and accents; by all of them, and by nothing else."""
    run = await ended(works)
    history = works.house.app.history
    for words in ("nee ZURICH", "hc-103", "order 22:40", "pytes", "get_ticket", run.id, "bo patch"):
        (found,) = await history.search(BO, words)
        assert found.run.id == run.id, words
    (found,) = await history.search(BO, "zürich")
    assert found.line == f"Née à Zürich. {NASTY}"
    for words in ("zurich nowhere", "xyzzy", "sesame", "total", "urich"):
        assert await history.search(BO, words) == [], words
    for words in ("", " -- ", "a b c d e f g h i j k"):
        with pytest.raises(InvalidArgument):
            await history.search(BO, words)


async def test_nobody_finds_runs_of_others(works: Works) -> None:
    """A search, a conversation and an export are the tenant's own."""
    from dataclasses import replace

    from linkspan.accounts.principal import Tenant

    run = await ended(works)
    globex = replace(BO, tenant=Tenant("globex"))
    history = works.house.app.history
    assert await history.search(globex, "zurich") == []
    assert (await history.threads(globex)).shown == []
    assert [each async for each in history.everything(globex)] == []
    for asked in (history.record(globex, run.id), history.thread(globex, f"thread-{run.id}")):
        with pytest.raises(NotFound):
            await asked


async def test_what_is_old_is_forgotten(works: Works) -> None:
    """Words go with their run, and all of a tenant's with the tenant."""
    run = await ended(works)
    database = works.house.app.database
    count = "SELECT count(*) AS count FROM run_terms WHERE tenant = 'acme'"
    assert (await database.query(count))[0]["count"] > 10
    assert await rows.sweep(database, finished_before=run.finished or 0) == 0
    assert await rows.sweep(database, finished_before=(run.finished or 0) + 1) == 1
    assert (await database.query(count))[0]["count"] == 0
    assert await works.house.app.history.search(BO, "zurich") == []


async def test_a_zombie_leaves_no_words(works: Works) -> None:
    """Who has lost a run does not say by which words it is found."""
    run = await ended(works)
    assert not await run_terms.put(works.house.app.database, "acme", run.id, ["lie"], epoch=run.epoch)
    assert await works.house.app.history.search(BO, "lie") == []


async def test_conversations_that_were_no_runs(house: House) -> None:
    """A session of somebody's own Codex is shown by its calls: which thing was read or changed, and how."""
    asked = (("get_ticket", "HC-103"), ("get_ticket", "HC-1"), ("list_tickets", ""))
    for number, (name, id_) in enumerate(asked):
        tool = house.app.catalog.tool(name)
        assert tool is not None
        info = CallInfo(f"req-{number}", "mcp", "codex", "own", f"turn-{number}", f"call-{number}")
        house.now[0] += 1
        with contextlib.suppress(NotFound):
            await house.app.gateway.call(BO, tool, {"id": id_} if id_ else {}, info=info)
    await house.app.audit.flush()
    ((thread, runs),) = (await house.app.history.threads(BO)).shown
    assert (thread.id, thread.calls, thread.subject, runs) == ("own", 3, "bo", [])
    assert thread.last - thread.first == 2
    found = await house.app.history.thread(BO, "own")
    assert [(each.tool, each.entity_id, each.outcome) for each in found.calls] == [
        ("get_ticket", "HC-103", "ok"), ("get_ticket", "HC-1", "not_found"), ("list_tickets", None, "ok")
    ]  # fmt: skip
    assert (await house.app.history.threads(BO, entity="alert")).shown == []
    assert len((await house.app.history.threads(BO, entity="ticket", entity_id="HC-103")).shown) == 1


async def test_calls_stand_in_the_order_they_were_made(house: House) -> None:
    """The row of a write is stored at once, that of the read before it a little later."""
    for number, (name, given) in enumerate((("get_ticket", {}), ("update_ticket", {"priority": "low"}))):
        tool = house.app.catalog.tool(name)
        assert tool is not None
        info = CallInfo(f"req-{number}", "mcp", "codex", "own", "turn-1", f"call-{number}")
        house.now[0] += 1
        await house.app.gateway.call(BO, tool, {"id": "HC-103", **given}, info=info)
    await house.app.audit.flush()
    found = await house.app.history.thread(BO, "own")
    assert [each.tool for each in found.calls] == ["get_ticket", "update_ticket"]


async def test_a_run_as_json_lines(works: Works) -> None:
    """Everything of it, one thing a line, and all runs in the order of their changes."""
    run = await ended(works)
    works.house.now[0] += 1
    other = await ended(works, entity_id="HC-104", key="2")
    everything = [each async for each in works.house.app.history.everything(BO)]
    assert [each.run.id for each in everything] == [run.id, other.id]
    lines = [json.loads(line) for line in jsonl_of(everything[0])]
    assert [lines[0]["type"], lines[0]["data"]["id"]] == ["run", run.id]
    assert {line["type"] for line in lines} == {"run", "event", "call", "artifact"}
    assert {line["run"] for line in lines} == {run.id}
    seqs = [line["data"]["seq"] for line in lines if line["type"] == "event"]
    assert seqs == list(range(1, run.events + 1))
    (called,) = [line["data"] for line in lines if line["type"] == "call"]
    assert (called["entity_id"], called["call_id"]) == ("HC-103", "call-1")
    assert [line["data"]["name"] for line in lines if line["type"] == "artifact"] == ["diff", "patch"]


async def test_a_run_as_a_page(works: Works) -> None:
    """One file that needs nothing and runs nothing; what a model wrote is text in it."""
    run = await ended(works)
    record = await works.house.app.history.record(BO, run.id)
    page = html_of(record)
    assert "&lt;script src=&quot;https://evil.example/x.js&quot;&gt;" in page
    for refused in ("<script", "<img", "<link", "url(", "@import", "javascript:"):
        assert refused not in page
    assert "default-src 'none'" in page
    assert "get_ticket on ticket HC-103: ok" in page
    assert "<ins>+total = 3</ins>" in page
    changed = html_of(replace(record, texts={"diff": "+a\f-b\u2028@c\n"}))
    assert "<pre><ins>+a\f-b\u2028@c</ins></pre>" in changed
    assert "<h1>patch HC-103: Ordering after 22:40 fails with an error page</h1>" in page
