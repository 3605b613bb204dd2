"""What was, over REST: conversations, runs found by words, runs to take away."""

from __future__ import annotations

import json

from linkspan.accounts.principal import Principal
from linkspan.gateway.calls import CallInfo
from tests.runs.conftest import ACME, BO, House, house, seeded
from tests.web.api.test_runs import Backend, backend

__all__ = ["backend", "house", "seeded"]
AL = Principal(ACME, "person", "al")


async def called(house: House, who: Principal, thread: str, *tickets: str) -> None:
    """Let somebody's Codex look at tickets in a conversation."""
    tool = house.app.catalog.tool("get_ticket")
    assert tool is not None
    for number, ticket in enumerate(tickets):
        house.now[0] += 1
        info = CallInfo(f"req-{thread}-{number}", "mcp", "codex", thread, "turn-1", f"call-{number}")
        await house.app.gateway.call(who, tool, {"id": ticket}, info=info)


async def test_conversations_are_listed_and_shown(backend: Backend) -> None:
    """Page by page, the last one first; each with what it called, in order."""
    for number in range(3):
        await called(backend.house, BO, f"thread-{number}", "HC-103", f"HC-{101 + number}")
    first = await backend.data("GET", "/history", params={"limit": 2})
    rest = await backend.data("GET", "/history", params={"limit": 2, "next_cursor": first["next_cursor"]})
    shown = [(each["id"], each["calls"], each["subject"], each["runs"]) for each in first["result"]]
    assert shown == [("thread-2", 2, "bo", []), ("thread-1", 2, "bo", [])]
    assert ([each["id"] for each in rest["result"]], rest["next_cursor"]) == (["thread-0"], None)
    one = {"entity": "ticket", "entity_id": "HC-102"}
    assert [each["id"] for each in (await backend.data("GET", "/history", params=one))["result"]] == [
        "thread-1"
    ]
    found = await backend.data("GET", "/history/thread-2")
    assert [(each["tool"], each["entity_id"], each["outcome"]) for each in found["calls"]] == [
        ("get_ticket", "HC-103", "ok"), ("get_ticket", "HC-103", "ok")
    ]  # fmt: skip
    assert await backend.code("GET", "/history/thread-9") == (404, "not_found")
    globex = {"tenant_id": "globex"}
    assert (await backend.data("GET", "/history", key=backend.admin, params=globex))["result"] == []


async def test_a_person_is_told_of_own_calls_alone(backend: Backend) -> None:
    """Also in a conversation that somebody else's Codex gave the same name."""
    app = backend.house.app
    made = await app.tokens.create(ACME, kind="person", subject="al", scopes=["read"])
    key = made.text.reveal()
    await called(backend.house, BO, "thread-1", "HC-103")
    assert (await backend.data("GET", "/history", key=key))["result"] == []
    assert await backend.code("GET", "/history/thread-1", key=key) == (404, "not_found")
    await called(backend.house, AL, "thread-1", "HC-101")
    (mine,) = (await backend.data("GET", "/history", key=key))["result"]
    assert (mine["id"], mine["calls"], mine["subject"]) == ("thread-1", 1, "al")
    calls = (await backend.data("GET", "/history/thread-1", key=key))["calls"]
    assert [each["entity_id"] for each in calls] == ["HC-101"]
    assert len((await backend.data("GET", "/history/thread-1"))["calls"]) == 2


async def test_a_runs_conversation_is_shown_with_the_run(backend: Backend) -> None:
    """What it called with its own token is told to who may look at the run."""
    run = (await backend.start())["id"]
    codex = Principal(ACME, "run", run, ("ticket.get",))
    await called(backend.house, codex, "thread-run", "HC-103")
    await backend.house.app.database.execute("UPDATE runs SET thread_id = 'thread-run'")
    made = await backend.house.app.tokens.create(ACME, kind="person", subject="al", scopes=["read"])
    for key in (backend.token, made.text.reveal()):
        (found,) = (await backend.data("GET", "/history", key=key))["result"]
        assert (found["subject"], found["runs"]) == (run, [run])
        assert len((await backend.data("GET", "/history/thread-run", key=key))["calls"]) == 1


async def test_runs_are_found_by_words_and_taken_away(backend: Backend) -> None:
    """Once they have ended, each with a line that has a word; as JSON Lines and as a page."""
    run = (await backend.start(person="anna"))["id"]
    assert (await backend.data("GET", "/runs/search", params={"words": "mend 103"}))["result"] == []
    await backend.data("POST", f"/runs/{run}/cancel", json={"person": "anna"})
    (found,) = (await backend.data("GET", "/runs/search", params={"words": "cancelled HC 103"}))["result"]
    assert (found["run"]["id"], found["run"]["state"]) == (run, "cancelled")
    assert "cancel" in found["line"]
    assert await backend.code("GET", "/runs/search", params={"words": "…"}) == (400, "invalid_argument")
    told = await backend("GET", f"/runs/{run}/export")
    assert told.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in told.text.splitlines()]
    assert (lines[0]["type"], lines[0]["run"]) == ("run", run)
    page = await backend("GET", f"/runs/{run}/export", params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<!doctype html>")
    assert await backend.code("GET", f"/runs/run_{'b' * 26}/export") == (404, "not_found")
