"""Runs at the command line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.runs.ids import approval_id
from linkspan.settings import read_settings
from linkspan.store import approvals, run_events
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from tests.cli.conftest import FILE, Shell
from tests.cli.test_recipes import RECIPE

SHOWN = {"base_branch": "main", "base_commit": "c0ffee" * 6 + "c0ff", "tree": "5aced0c" * 5 + "5aced"}


@pytest.fixture
def acme(shell: Shell) -> Shell:
    """A home with a recipe that is on for its one tenant."""
    (shell.home / "tools.yaml").write_text(FILE.read_text() + RECIPE)
    shell.data("tenant", "add", "acme", "--json")
    shell.data("recipe", "enable", "mend", "--setting", "repository=acme/cafe", "--json")
    return shell


def work_on(shell: Shell, work: Callable[[App], Awaitable[None]]) -> None:
    """Do something to the store as another process would."""

    async def opened() -> None:
        app = await build(read_settings(None, home=str(shell.home)))
        try:
            await work(app)
        finally:
            await app.aclose()

    asyncio.run(opened())


def taken(shell: Shell, run: str, events: list[tuple[str, dict[str, Any]]], **change: Any) -> None:
    """Let a worker take the run, say what it did, and change it."""

    async def work(app: App) -> None:
        now = time.time()
        lease = await rows.take(app.database, "acme", run, worker="w1", now=now)
        assert lease is not None
        told = [(now, kind, data) for kind, data in events]
        await run_events.append(app.database, "acme", run, told, epoch=lease.epoch)
        await app.kept.put("acme", run, "diff", "text/x-diff", b"--- a/x\n+++ b/x\n", epoch=lease.epoch)
        await rows.change(app.database, "acme", run, lease.epoch, now, **change)

    work_on(shell, work)


def test_a_run_is_started_listed_shown_and_cancelled(acme: Shell) -> None:
    """Each command says what to do next; the same key is the same run."""
    told = acme.run("run", "start", "mend", "7", "--key", "k").output
    run = told.split()[0]
    assert told == f"{run} is queued. Watch it with: linkspan run watch {run}\n"
    assert acme.data("run", "start", "mend", "7", "--key", "k", "--json")["id"] == run
    assert f"{run}  queued  mend    7" in acme.run("run", "list").output
    assert [each["id"] for each in acme.data("run", "list", "--state", "queued", "--json")] == [run]
    assert "recipe   mend, for ticket 7" in acme.run("run", "show", run).output
    assert acme.run("run", "cancel", run).output == f"{run} is cancelled.\n"
    again = acme.data("run", "retry", run, "--json")
    assert again["parent"] == {"id": run, "how": "retry"}


def test_what_a_run_did_is_watched_to_its_end(acme: Shell) -> None:
    """Commands, edits, words and the end; nothing in it is obeyed by the terminal. Failure is exit code 1."""
    run = acme.data("run", "start", "mend", "7", "--json")["id"]
    items: list[dict[str, Any]] = [
        {"type": "agentMessage", "text": "I look.\x1b[2J"},
        {"type": "commandExecution", "command": "pytest", "exitCode": 1, "aggregatedOutput": "1 failed"},
        {"type": "fileChange", "changes": [{"path": "cafe/menu.py", "kind": {"type": "update"}}]},
    ]
    events: list[tuple[str, dict[str, Any]]] = [("item_completed", {"item": item}) for item in items]
    taken(
        acme,
        run,
        [("state", {"state": "running"}), *events, ("usage", {"total_tokens": 3})],
        state="failed",
        error_code="upstream_error",
        error_message="The forge did not take the branch.",
        finished=time.time(),
    )
    watched = acme.run("run", "watch", run)
    assert watched.exit_code == 1
    lines = watched.output.splitlines()
    assert lines[:7] == [
        "* waits for its turn",
        "* is at work",
        "I look.\N{REPLACEMENT CHARACTER}[2J",
        "$ pytest",
        "  1 failed",
        "  exit code 1",
        "~ edit cafe/menu.py",
    ]
    assert "because  The forge did not take the branch." in lines
    kinds = [json.loads(line)["kind"] for line in acme.run("run", "watch", run, "--json").output.splitlines()]
    assert kinds[-1] == "usage"
    assert acme.run("run", "get", run, "diff").output == "--- a/x\n+++ b/x\n"
    missing = acme.run("run", "get", run, "transcript")
    assert (missing.exit_code, "It has: diff." in missing.stderr) == (1, True)


@pytest.mark.parametrize(("command", "told"), [("approve", "approved"), ("decline", "declined")])
def test_what_a_run_asks_is_answered(acme: Shell, command: str, told: str) -> None:
    """`show` says what is asked and how to answer; who answered is kept, with the reason."""
    run = acme.data("run", "start", "mend", "7", "--json")["id"]
    question = approval_id(run, "publish")

    async def ask(app: App) -> None:
        now = time.time()
        asked = Approval("acme", question, run, "publish", "Publish 1 file?", SHOWN, now, now + 600)
        await approvals.ask(app.database, asked, epoch=1)

    taken(acme, run, [("state", {"state": "waiting_approval"})], state="waiting_approval")
    work_on(acme, ask)
    shown = acme.run("run", "show", run).output
    assert f"asks     publish ({question})" in shown
    assert f"         tree 5aced0c5aced on main c0ffeec0ffee: linkspan run get {run} diff\n" in shown
    assert f"linkspan run approve {run} {question}, or decline" in shown
    done = acme.run("run", command, run, "--person", "bo", "--note", "looks right")
    assert done.output == f"publish is {told} ({question}).\n"
    (kept,) = acme.data("run", "show", run, "--json")["approvals"]
    assert (kept["decided"]["decision"], kept["decided"]["note"]) == (command, "looks right")
    nothing = acme.run("run", command, run)
    assert (nothing.exit_code, "waits for nobody" in nothing.stderr) == (1, True)


def test_a_question_names_what_it_is_about(acme: Shell) -> None:
    """The files that are to be changed outside of the checkout, and what is asked for beside the sandbox."""
    run = acme.data("run", "start", "mend", "7", "--json")["id"]
    about: dict[Literal["file_change", "permissions"], Any] = {
        "file_change": {
            "changes": [{"path": "/srv/a\x1b[2J.txt", "kind": {"type": "add"}}, {"path": "/srv/b.txt"}]
        },
        "permissions": {"permissions": {"fileSystem": {"write": ["/srv/c"]}}},
    }

    async def ask(app: App) -> None:
        now = time.time()
        for kind, data in about.items():
            asked = Approval("acme", approval_id(run, kind), run, kind, "May I?", data, now, now + 600)
            await approvals.ask(app.database, asked, epoch=1)

    taken(acme, run, [("state", {"state": "waiting_approval"})], state="waiting_approval")
    work_on(acme, ask)
    shown = acme.run("run", "show", run).output
    assert "         ~ /srv/a" in shown
    assert "\x1b" not in shown
    assert "         ~ /srv/b.txt\n" in shown
    assert '         + {"fileSystem": {"write": ["/srv/c"]}}\n' in shown


def test_what_does_not_fit_is_told(acme: Shell) -> None:
    """What, where, and what to do next, with the exit code."""
    unknown = acme.run("run", "show", "run_nothing")
    assert (unknown.exit_code, "See: linkspan run list" in unknown.stderr) == (1, True)
    assert acme.run("run", "start", "mend").exit_code == 2
    run = acme.data("run", "start", "mend", "7", "--json")["id"]
    busy = acme.run("run", "start", "mend", "7")
    assert f"linkspan run watch {run}" in busy.stderr
    for broken in (("start", "mend", "\udcff"), ("steer", run, "x \udcff")):  # a byte that is not UTF-8
        told = acme.run("run", *broken)
        assert (told.exit_code, "holds a broken character" in told.stderr) == (2, True), told.output
    state = acme.run("run", "list", "--state", "bust")
    assert "no states of a run: bust" in state.stderr
    acme.run("recipe", "disable", "mend")
    assert acme.run("run", "start", "mend", "8").exit_code == 1


def test_usage_says_minutes_and_what_is_left(acme: Shell) -> None:
    """Tokens and minutes by recipe and model, then what is used and left of the budget."""
    assert acme.run("run", "usage").output.startswith("No run has used anything yet.\n")
    tools = acme.home / "tools.yaml"
    tools.write_text(f"{tools.read_text()}runs: {{budget: {{minutes: 2, tokens: 5000}}}}\n")
    run = acme.run("run", "start", "mend", "7").output.split()[0]
    taken(acme, run, [("state", {"state": "running"})], spent_seconds=90.0)

    async def spend(app: App) -> None:
        tokens = {"input_tokens": 1000, "output_tokens": 234, "total_tokens": 1234}
        await app.run_tokens.spent(Tenant("acme"), run, "gpt-test", tokens)

    work_on(acme, spend)
    lines = acme.run("run", "usage").output.splitlines()
    assert lines[0].split() == ["RECIPE", "MODEL", "RUNS", "TOKENS", "MINUTES", "MONEY"]
    assert lines[1].split() == ["mend", "gpt-test", "1", "1,234", "1.5", "-"]
    assert [line.strip() for line in lines[-3:]] == [
        "tokens   1,234 of 5,000, 3,766 left",
        "money    0, no limit",
        "minutes  1.5 of 2, 0.5 left",
    ]
    told = acme.data("run", "usage", "--json")
    assert told["budget"]["minutes"] == {"used": 1.5, "limit": 2.0, "left": 0.5}
    assert told["result"][0]["minutes"] == 1.5
