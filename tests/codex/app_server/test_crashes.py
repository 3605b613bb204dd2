"""Whatever dies: work goes on where it was, and nothing is left running."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from linkspan.codex.app_server.process import at_work_in, descendants
from linkspan.codex.engine import Decision, Event, Interrupt, Outcome, Question, Steer, Thread
from linkspan.settings import CodexSettings
from tests.codex.app_server.conftest import Place, Watcher
from tests.servers.node import ROOT
from tests.servers.scripted_model import Answer, ScriptedModel, message, shell
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def a_worker(place: Place, settings: CodexSettings) -> Iterator[subprocess.Popen[str]]:
    """Another process that works on the run; it is killed at the end of the block."""
    words = [sys.executable, "-m", "tests.codex.app_server.worker", str(place.folder), place.url]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with subprocess.Popen(
        [*words, *([settings.binary] if settings.binary else [])],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def read_until(worker: subprocess.Popen[str], kind: str, word: str = "") -> str:
    """Read what a worker says until it says that; answers the thread's id, which it said before."""
    thread = ""
    assert worker.stdout is not None
    for line in worker.stdout:
        told = json.loads(line)
        thread = told["id"] if told["kind"] == "began" else thread
        if told["kind"] == kind and word in line:
            return thread
    raise AssertionError(f"the worker ended without {kind}")


async def test_a_worker_is_killed_in_the_middle(place: Place, settings: CodexSettings) -> None:
    """The next one goes on: no command is run twice, the prompt is not said twice, no process is left."""
    place.model = model = ScriptedModel(
        [
            [shell("", "echo once >> count.txt")],
            Answer([message("Thinking.")], until=lambda: False),
            [shell("", "echo twice >> count.txt")],
            [message("All done.")],
        ]
    )
    with serving(model) as place.url:
        with a_worker(place, settings) as worker:
            thread = await asyncio.to_thread(read_until, worker, "message_delta")
        wait_until(lambda: not list(at_work_in(place.folder)), what="Codex's end", seconds=10)
        outcome = await place.engine.work(place.task(thread=Thread(thread)), place.host)
    assert (outcome.status, outcome.message) == ("completed", "All done.")
    assert (place.checkout / "count.txt").read_text() == "once\ntwice\n"
    assert [began.id for began in place.host.threads] == [thread]
    last = model.turns[-1].body["input"]
    asked = [item for item in last if item["type"] == "message" and "the script says" in json.dumps(item)]
    assert len(asked) == 1
    assert place.host.of("thread_started") == []


async def test_a_worker_is_killed_while_a_command_runs(place: Place, settings: CodexSettings) -> None:
    """The command goes with it, and is not taken for done."""
    place.model = model = ScriptedModel([[shell("", "sleep 300")], [message("Ended.")]])
    with serving(model) as place.url:
        with a_worker(place, settings) as worker:
            thread = await asyncio.to_thread(read_until, worker, "item_started", "sleep 300")
            wait_until(lambda: sleeping(place.folder), what="the command", seconds=10)
        outcome = await place.engine.work(place.task(thread=Thread(thread)), place.host)
    assert outcome.status == "completed"
    assert not sleeping(place.folder)


async def test_a_worker_that_was_stopped_ends_nothing_of_the_next_one(
    place: Place, settings: CodexSettings
) -> None:
    """It wakes up in the middle of the other's work, and leaves the other's Codex alone."""
    awake = threading.Event()
    place.model = model = ScriptedModel(
        [
            Answer([message("Thinking.")], until=lambda: False),
            Answer([message("All done.")], until=awake.is_set),
        ]
    )
    with serving(model) as place.url, a_worker(place, settings) as worker:
        thread = await asyncio.to_thread(read_until, worker, "message_delta")
        os.killpg(worker.pid, signal.SIGSTOP)
        (place.folder / "taken").touch()
        task = place.task(thread=Thread(thread))
        working = asyncio.create_task(place.engine.work(task, place.host))
        await asyncio.to_thread(wait_until, lambda: len(model.turns) == 2, what="the next worker", seconds=30)
        os.killpg(worker.pid, signal.SIGCONT)
        assert worker.stdout is not None
        await asyncio.to_thread(worker.stdout.read)
        await asyncio.to_thread(worker.wait, 30)
        awake.set()
        outcome = await working
    assert (outcome.status, outcome.message) == ("completed", "All done.")


async def test_a_worker_that_comes_too_late_begins_nothing(place: Place) -> None:
    """The run was taken before it began: what works in its folder is another's, and goes on."""
    sleeper = await asyncio.create_subprocess_exec("sleep", "300", cwd=place.checkout)
    place.host.is_holding = False
    try:
        outcome = await place.work([message("never")])
        assert outcome.failure is not None
        assert (outcome.status, outcome.failure.code) == ("failed", "conflict")
        assert sleeper.returncode is None
        assert sleeping(place.folder)
        assert not (place.folder / "home").exists()
    finally:
        sleeper.kill()
        await sleeper.wait()


async def test_what_was_done_before_a_crash_is_not_asked_again(place: Place) -> None:
    """A turn that had come to its end is answered from Codex's record."""
    first = await place.work([message("The answer.")])
    assert first.thread is not None
    again = await place.work(thread=Thread(first.thread.id))
    assert (again.status, again.message) == ("completed", "The answer.")
    assert place.model.requests == ()


async def test_a_thread_goes_on_elsewhere(place: Place) -> None:
    """From its record alone, in a home that never saw it: another prompt of a run that follows."""
    first = await place.work([message("I said blue.")])
    shutil.rmtree(place.folder / "home")
    second = await place.work([message("Yes, blue.")], thread=first.thread, prompt="What did you say?")
    assert (second.status, second.message) == ("completed", "Yes, blue.")
    assert "I said blue." in place.model.turns[-1].text
    assert first.thread is not None
    assert second.thread is not None
    assert second.thread.id == first.thread.id


async def test_a_thread_that_codex_never_wrote_down_is_begun_anew(place: Place) -> None:
    """A crash between the first sign of a thread and its first turn."""
    outcome = await place.work([message("Fine.")], thread=Thread("01a2248f-4c54-77e3-b298-457c529fbcc1"))
    assert outcome.status == "completed"
    assert len(place.host.threads) == 1
    assert place.host.threads[0].id != "01a2248f-4c54-77e3-b298-457c529fbcc1"


async def test_cancellation_ends_every_process_and_request(place: Place) -> None:
    """A shell that sleeps is gone, and so is the model's stream, before cancellation comes back."""
    working: asyncio.Task[Outcome]

    def on(event: object) -> None:
        if "sleep 300" in str(event) and "item_started" in str(event):
            working.cancel()

    place.host.on = on
    working = asyncio.create_task(place.work([shell("", "sleep 300")]))
    before = set(descendants(os.getpid()))
    with pytest.raises(asyncio.CancelledError):
        await working
    assert set(descendants(os.getpid())) <= before
    assert not sleeping(place.folder)


async def test_a_stream_is_hung_up_on_when_the_run_is_cancelled(place: Place) -> None:
    """At once: nobody pays for words that nobody reads."""
    working: asyncio.Task[Outcome]

    def on(event: object) -> None:
        if "message_delta" in str(event):
            working.cancel()

    place.host.on = on
    working = asyncio.create_task(place.work(Answer([message("Working.")], until=lambda: False)))
    with pytest.raises(asyncio.CancelledError):
        await working
    assert place.model.aborted.wait(2)


async def test_nothing_outlives_its_run(place: Place) -> None:
    """Neither a command in the background, nor one that was approved and left its session."""
    place.host.answers = lambda question: "approve"
    lasting = shell("", "setsid sleep 300 > /dev/null 2>&1 & echo started")
    escaped = shell("", "setsid sleep 301 > /dev/null 2>&1 & echo started")
    arguments = json.loads(escaped["arguments"])
    escaped["arguments"] = json.dumps(
        {**arguments, "sandbox_permissions": "require_escalated", "justification": "May I?"}
    )
    outcome = await place.work([lasting], [escaped], [message("done")], approve_commands=True)
    assert outcome.status == "completed"
    assert len(place.host.questions) == 1
    assert not sleeping(place.folder)


class Lost(Exception):
    """Somebody else has the run."""


@pytest.mark.parametrize("where", ["tell", "decide", "words"])
async def test_a_host_that_may_not_go_on_ends_the_work(place: Place, where: str) -> None:
    """A worker whose run was taken over is told so wherever it asks; nothing of it is left."""

    class Host(Watcher):
        async def tell(self, event: Event) -> None:
            if where == "tell" and event.kind == "item_started":
                raise Lost
            await super().tell(event)

        async def decide(self, question: Question) -> Decision:
            if where == "decide":
                raise Lost
            return await super().decide(question)

        async def words(self) -> AsyncIterator[Steer | Interrupt]:
            if where == "words":
                raise Lost
            async for word in super().words():
                yield word

    place.host = Host()
    escaped = shell("", "true")
    more = {"sandbox_permissions": "require_escalated", "justification": "May I?"}
    escaped["arguments"] = json.dumps({**json.loads(escaped["arguments"]), **more})
    with pytest.raises(Lost):
        await place.work([escaped], Answer([message("x")], until=lambda: False), approve_commands=True)
    assert list(at_work_in(place.folder)) == []


async def test_codex_dies(place: Place) -> None:
    """An engine without its Codex says so, and may be asked again."""

    def on(event: object) -> None:
        if "message_delta" in str(event):
            (codex,) = [pid for pid in descendants(os.getpid()) if "app-server" in command_of(pid)]
            os.kill(codex, signal.SIGKILL)

    place.host.on = on
    outcome = await place.work(Answer([message("Working.")], until=lambda: False))
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.retryable) == ("failed", True)
    assert outcome.failure.message == "Codex ended in the middle of its work."
    assert outcome.thread is not None


def sleeping(folder: Path) -> bool:
    """Tell whether a command of a run sleeps on."""
    return any("sleep 30" in command_of(pid) for pid in at_work_in(folder))


def command_of(pid: int) -> str:
    """What a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
