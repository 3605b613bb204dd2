"""Runs and conversations looked up at the command line."""

from __future__ import annotations

import json

from linkspan.app import App
from linkspan.gateway.calls import CallInfo
from linkspan.runs.transcript import terms_texts
from linkspan.store import run_events, run_terms
from linkspan.store import runs as rows
from linkspan.store.audit import AuditRow
from linkspan.store.run_terms import terms_of
from tests.cli.conftest import Shell
from tests.cli.test_runs import acme, work_on

__all__ = ["acme"]


def finished(shell: Shell) -> str:
    """Answer a run that a worker has ended; its conversation has read a ticket."""
    run: str = shell.data("run", "start", "mend", "7", "--json")["id"]

    async def work(app: App) -> None:
        lease = await rows.take(app.database, "acme", run, worker="w1", now=2.0)
        assert lease is not None
        item = {"type": "agentMessage", "text": "The till\x1b[2J adds up."}
        told = [(2.0, "item_completed", {"item": item})]
        await run_events.append(app.database, "acme", run, told, epoch=lease.epoch)
        events = await run_events.after(app.database, "acme", run, 0)
        terms = terms_of(terms_texts(lease, events))
        assert await run_terms.put(app.database, "acme", run, terms, epoch=lease.epoch)
        end = {"state": "succeeded", "finished": 3.0, "thread_id": "t-1", "summary": "<b>Done</b>"}
        await rows.change(app.database, "acme", run, lease.epoch, 3.0, **end)
        info = CallInfo("req-1", "mcp", "codex", "t-1", "turn", "call")
        for thread in ("t-1", "own"):
            row = AuditRow(
                "acme", 2.5, "service", "codex", None, info.request_id, "mcp", "get_ticket", "ticket", "7",
                "tracker", None, 200, "ok", 1.0, thread, "turn", "call",
            )  # fmt: skip
            await app.audit.write(row)

    work_on(shell, work)
    return run


def test_a_run_is_found_and_taken_away(acme: Shell) -> None:
    """By its words; as JSON Lines and as a page; nothing in it is obeyed by the terminal or the browser."""
    run = finished(acme)
    told = acme.run("run", "search", "TILL", "add").output.splitlines()
    assert told[0].startswith(f"{run}  succeeded  ")
    assert told[1] == "    The till\N{REPLACEMENT CHARACTER}[2J adds up."
    assert acme.run("run", "search", "nowhere").output.startswith("No run has all of these words.")
    assert [each["id"] for each in acme.data("run", "search", "till", "--json")] == [run]
    lines = [json.loads(line) for line in acme.run("run", "export", run).output.splitlines()]
    assert [line["type"] for line in lines] == ["run", "event", "event", "call"]
    assert (
        acme.run("run", "export", "--all").output.splitlines()
        == acme.run("run", "export", run).output.splitlines()
    )
    page = acme.run("run", "export", run, "--format", "html").output
    assert page.startswith("<!doctype html>")
    assert "&lt;b&gt;Done&lt;/b&gt;" in page
    for wrong in (
        ("run", "export"),
        ("run", "export", run, "--all"),
        ("run", "export", "--all", "--format", "html"),
    ):
        assert acme.run(*wrong).exit_code == 2
    assert acme.run("run", "export", "run_nothing").exit_code == 1


def test_conversations_are_listed_and_shown(acme: Shell) -> None:
    """Those that were runs say so; the others are there all the same."""
    run = finished(acme)
    listed = {each["id"]: each for each in acme.data("history", "list", "--json")}
    assert (listed["t-1"]["runs"], listed["own"]["runs"]) == ([run], [])
    assert "own" in acme.run("history", "list", "--entity", "ticket", "--id", "7").output
    assert (
        acme.run("history", "list", "--entity", "alert").output == "No conversation has called a tool yet.\n"
    )
    shown = acme.run("history", "show", "t-1").output
    assert f"linkspan run get {run} transcript" in shown
    assert "get_ticket  ticket 7  codex  ok" in shown
    assert acme.data("history", "show", "own", "--json")["calls"][0]["entity_id"] == "7"
    gone = acme.run("history", "show", "nothing")
    assert gone.exit_code == 1
    assert "See: linkspan history list" in gone.output
