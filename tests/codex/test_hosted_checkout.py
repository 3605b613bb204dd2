"""A repository in a sandbox of OpenAI's: a scripted upstream whose sandboxes are folders, with a real shell.

OpenAI itself was not at hand. Where files may go and what is answered is held against the package `openai`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from linkspan.codex import hosted_checkout
from linkspan.codex.engine import Interrupt, Outcome, Task, Thread
from linkspan.codex.hosted_checkout import HAND_IN
from tests.codex.app_server.conftest import Watcher
from tests.codex.test_hosted import Bench, bench, holds, killed, until  # noqa: F401 - a fixture
from tests.fakes.openai_api import Call

pytestmark = pytest.mark.slow
BASE = "ba5e" * 10
MEND = "cd /workspace/checkout && echo 'total = 3' > till.py && git status --short"


def a_task(bench: Bench, folder: Path, **changes: Any) -> Task:  # noqa: F811
    """Answer the task to mend a repository of one file."""
    bench.upstream.disk = folder / "sandboxes"
    bench.upstream.disk.mkdir(exist_ok=True)
    workspace = folder / "checkout"
    workspace.mkdir(exist_ok=True)
    (workspace / "till.py").write_text("total = 2\n")
    usual = {"workspace": workspace, "base_commit": BASE, "output_schema": None}
    return bench.task(**{**usual, **changes})


async def mends(call: Call) -> str:
    """Mend it, and hand it in as it was told."""
    assert " M till.py" in await call.shell(MEND)
    assert "Handed in: 1 changed" in await call.shell(HAND_IN)
    return "The till adds up."


async def forgets(call: Call) -> str:
    """Mend it, and forget the rest."""
    await call.shell(MEND)
    return "The till adds up."


async def remembers(call: Call) -> str:
    """Do what is asked for after that, and say something of it."""
    await call.shell(HAND_IN)
    return "Done."


def is_mended(task: Task) -> bool:
    """Tell whether the checkout here is what the one there is."""
    assert task.workspace is not None
    return (task.workspace / "till.py").read_text() == "total = 3\n"


async def test_what_is_changed_there_is_handed_in(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    """The checkout goes as a file that expires, no host is reached, and no sandbox is left standing."""
    task, host = a_task(bench, tmp_path), Watcher()
    bench.upstream.scripts.append(mends)
    outcome = await bench.engine("agents_api").work(task, host)
    assert (outcome.status, outcome.failure, outcome.message) == ("completed", None, "The till adds up.")
    assert is_mended(task)
    assert bench.upstream.wrong == []
    assert len(bench.upstream.uploads) == 1
    assert (bench.upstream.works, bench.upstream.removed) == ({}, ["asess_1"])
    commands = [item["command"] for item in host.items("commandExecution")]
    assert commands == [MEND, HAND_IN]


async def test_what_was_forgotten_is_asked_for_once(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    """Its words are those before, its usage is that of both; who forgets it twice has done nothing."""
    task = a_task(bench, tmp_path)
    bench.upstream.scripts += [forgets, remembers]
    outcome = await bench.engine("agents_api").work(task, Watcher())
    assert (outcome.status, outcome.message) == ("completed", "The till adds up.")
    assert is_mended(task)
    assert (await bench.app.runs.find(task.tenant, bench.run.id)).total_tokens == 200
    bench.upstream.scripts += [forgets, forgets]
    again = a_task(bench, tmp_path, run="run_z")
    outcome = await bench.engine("agents_api").work(again, Watcher())
    assert outcome.failure is not None
    assert "handed in nothing" in outcome.failure.message
    assert not is_mended(again)
    assert bench.upstream.works == {}


async def test_who_only_looks_hands_in_nothing(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    """A review has the repository there, and is not asked for a change; hosts that are named are reached."""
    task = a_task(bench, tmp_path, hands_in=False, network=("packages.example",))
    told: list[Any] = []

    async def looks(call: Call) -> str:
        (work,) = bench.upstream.works.values()
        told.append(work.body)
        return await call.shell("cat /workspace/checkout/till.py")

    bench.upstream.scripts.append(looks)
    outcome = await bench.engine("agents_api").work(task, Watcher())
    assert outcome.message == "total = 2\n"
    assert "Nothing that you change is kept." in told[0]["agent"]["instructions"]
    assert told[0]["environment"]["network"] == {
        "access": "restricted",
        "allowed_domains": ["packages.example"],
    }
    assert not any("/artifacts" in each for each in bench.upstream.asked)


async def test_another_worker_takes_the_change_over(bench: Bench, tmp_path: Path) -> None:  # noqa: F811
    """Whether the first one died before it wrote down which session it is, or after; one session is made."""
    gate, reached = Event(), Event()
    held = holds(gate, reached)

    async def slowly(call: Call) -> str:
        await call.shell(MEND)
        await call.shell(HAND_IN)
        return str(await held(call))

    task = a_task(bench, tmp_path)
    bench.upstream.scripts.append(slowly)
    host = Watcher()
    first = asyncio.create_task(bench.engine("agents_api").work(task, host))
    await until(lambda: reached.is_set() and host.threads)
    (work,) = bench.upstream.works.values()
    await killed(bench, first)
    gate.set()
    outcome = await bench.engine("agents_api").work(task, Watcher())
    assert outcome.thread == Thread(work.id)
    assert (outcome.status, is_mended(task)) == ("completed", True)
    assert len(bench.upstream.uploads) == 1
    # A session that was removed with its sandbox is begun anew.
    bench.upstream.scripts.append(mends)
    again = a_task(bench, tmp_path, thread=Thread(work.id))
    assert (await bench.engine("agents_api").work(again, Watcher())).status == "completed"
    assert is_mended(again)


async def test_what_ends_it_early(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A person, who keeps what was done; its end here, which leaves nothing there; a place that never is."""
    gate, reached, host = Event(), Event(), Watcher()
    held = holds(gate, reached)

    async def slowly(call: Call) -> str:
        await call.shell(MEND)
        return str(await held(call))

    bench.upstream.scripts += [slowly, remembers]
    task = a_task(bench, tmp_path)
    working = asyncio.create_task(bench.engine("agents_api").work(task, host))
    await until(lambda: reached.is_set() and host.threads)
    host.said.put_nowait(Interrupt("bo"))
    assert (await working).status == "interrupted"
    assert is_mended(task)

    reached.clear()
    bench.upstream.scripts.append(slowly)
    ended = a_task(bench, tmp_path, run="run_y")
    working = asyncio.create_task(bench.engine("agents_api").work(ended, Watcher()))
    await until(reached.is_set)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert (bench.upstream.works, is_mended(ended)) == ({}, False)

    monkeypatch.setattr(hosted_checkout, "_script", lambda: b"import sys; sys.exit(1)")
    outcome: Outcome = await bench.engine("agents_api").work(
        dataclasses.replace(task, run="run_x"), Watcher()
    )
    assert outcome.failure is not None
    assert "could not prepare the sandbox" in outcome.failure.message
    assert bench.upstream.works == {}
