"""`python -m bench runs`: what our engine adds to Codex itself, one run at a time and six at once.

Bare means: the same binary with the same configuration, which was there already, spoken to by the fewest
lines that can, with the same script. Both take turns, so that a busy machine is busy for both, and what
counts are differences of neighbours and ratios of medians.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.environment import ROOT
from linkspan.accounts.principal import Tenant
from linkspan.codex.app_server.binary import find_binary
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.app_server.home import make_home, thread_config
from linkspan.codex.engine import Access, Decision, Event, Interrupt, Limits, Question, Steer, Task, Thread
from linkspan.settings import CodexSettings
from linkspan.vault.secret import Secret
from tests.servers.scripted_model import ScriptedModel, Step, message, shell
from tests.servers.serving import serving

WORDS = 20
AT_ONCE = 6
MODEL = "scripted-model"


@dataclass
class Taken:
    """What one run took: seconds until its turn was over and its process gone, and of our own CPU."""

    seconds: float
    cpu: float = 0.0
    heard: dict[str, float] = field(default_factory=dict)
    """When each word of the model was here."""
    began: float = 0.0


class Speaking(ScriptedModel):
    """A scripted model that notes when it said each word."""

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__(steps)
        self.said: dict[str, float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def noting(part: Any) -> None:
            if part["type"] == "http.response.body" and b"output_text.delta" in part["body"]:
                now = time.perf_counter()
                data = json.loads(part["body"].partition(b"data: ")[2])
                self.said.setdefault(data["delta"], now)
            await send(part)

        await super().__call__(scope, receive, noting)


@dataclass
class Listener:
    """A host that notes when it was told each word."""

    heard: dict[str, float] = field(default_factory=dict)

    async def tell(self, event: Event) -> None:
        """Note it."""
        if event.kind == "message_delta":
            self.heard.setdefault(event.data["text"], time.perf_counter())

    async def began(self, thread: Thread) -> None:
        """Keep nothing."""

    async def decide(self, question: Question) -> Decision:  # noqa: ARG002
        """Decline."""
        return "decline"

    async def words(self) -> AsyncIterator[Steer | Interrupt]:
        """Say nothing."""
        await asyncio.Event().wait()
        yield Interrupt("nobody")


def script(mark: str) -> list[Step]:
    """Three turns of the model: a command, words, a command, and the end."""
    words = [message(f"{mark}-{number}") for number in range(WORDS)]
    return [[*words, shell(MODEL, "echo one")], [shell(MODEL, "echo two > two.txt")], [message("Done.")]]


def task_of(folder: Path, url: str) -> Task:
    """Answer the same task for both."""
    return Task(
        run=folder.name,
        tenant=Tenant("bench"),
        folder=folder,
        prompt="Go.",
        model=Access(f"{url}/v1", Secret("no-secret")),
        limits=Limits(seconds=120),
        workspace=folder / "checkout",
        model_name=MODEL,
    )


async def bare(task: Task, settings: CodexSettings) -> Taken:
    """Drive Codex with the fewest lines that can, in a home that is there."""
    home = make_home(task, find_binary(settings.binary), settings, "bare")
    began = time.perf_counter()
    codex = await asyncio.create_subprocess_exec(
        *home.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(home.env),
        cwd=home.path,
        limit=2**26,
    )
    assert codex.stdin and codex.stdout
    numbers, heard = itertools.count(1), dict[str, float]()

    async def call(method: str, **params: Any) -> Any:
        number = next(numbers)
        codex.stdin.write(json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n")
        while (told := json.loads(await codex.stdout.readline())).get("id") != number:
            pass
        return told["result"]

    await call("initialize", clientInfo={"name": "bare", "title": "Bare", "version": "0"})
    codex.stdin.write(b'{"method":"initialized"}\n')
    asked = {"cwd": str(home.workspace), "model": MODEL, "config": thread_config(task)}
    started = await call("thread/start", **asked)
    text = [{"type": "text", "text": "Go."}]
    await call("turn/start", threadId=started["thread"]["id"], input=text)
    while (told := json.loads(await codex.stdout.readline()))["method"] != "turn/completed":
        if told["method"] == "item/agentMessage/delta":
            heard.setdefault(told["params"]["delta"], time.perf_counter())
    assert told["params"]["turn"]["status"] == "completed", told
    codex.stdin.close()
    await codex.wait()
    return Taken(time.perf_counter() - began, heard=heard, began=began)


async def ours(task: Task, engine: AppServer) -> Taken:
    """Drive it with the engine."""
    began, spent = time.perf_counter(), time.process_time()
    host = Listener()
    outcome = await engine.work(task, host)
    assert outcome.status == "completed", outcome
    return Taken(time.perf_counter() - began, time.process_time() - spent, host.heard)


class Bench:
    """A place for runs, and a model behind them."""

    def __init__(self, work: Path, settings: CodexSettings) -> None:
        self._work = work
        self._engine = AppServer(settings)
        self._settings = settings
        self._ids = itertools.count(1)

    async def one(self, how: str) -> tuple[Taken, list[float]]:
        """Do one run, and answer how late each word was as well."""
        folder = self._work / f"{how}-{next(self._ids)}"
        checkout = folder / "checkout"
        checkout.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", str(checkout)], check=True)  # noqa: ASYNC221
        model = Speaking(script(folder.name))
        with serving(model) as url:
            async with asyncio.timeout(120):
                task = task_of(folder, url)
                if how == "bare":
                    taken = await bare(task, self._settings)
                else:
                    taken = await ours(task, self._engine)
        late = [taken.heard[word] - said for word, said in model.said.items() if word in taken.heard]
        shutil.rmtree(folder)
        return taken, late


async def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """Take turns, and answer the figures."""
    taken: dict[str, list[Taken]] = {"bare": [], "ours": []}
    late: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(rounds):
        for how in ("bare", "ours") if number % 2 else ("ours", "bare"):
            one, words = await bench.one(how)
            taken[how].append(one)
            late[how] += words
    together = {how: [await _together(bench, how) for _ in range(max(1, rounds // 4))] for how in taken}
    pairs = zip(taken["ours"], taken["bare"], strict=True)
    added = [one.seconds - other.seconds for one, other in pairs]
    return {
        "rounds": rounds,
        "run_s": {how: statistics.median(each.seconds for each in all_) for how, all_ in taken.items()},
        "added_ms": 1000 * statistics.median(added),
        "our_cpu_ms": 1000 * statistics.median(each.cpu for each in taken["ours"]),
        "word_ms_p50": {how: 1000 * statistics.median(words) for how, words in late.items()},
        "word_ms_p95": {how: 1000 * statistics.quantiles(words, n=20)[-1] for how, words in late.items()},
        "six_at_once_s": {how: statistics.median(all_) for how, all_ in together.items()},
        "our_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def _together(bench: Bench, how: str) -> float:
    began = time.perf_counter()
    jobs: list[Callable[[], Awaitable[Any]]] = [lambda: bench.one(how)] * AT_ONCE
    await asyncio.gather(*(job() for job in jobs))
    return time.perf_counter() - began


def to_markdown(figures: dict[str, Any], what: str) -> str:
    """Answer the table."""
    rows = [
        ("a run of three turns, s", figures["run_s"], "{:.2f}"),
        (f"{AT_ONCE} of them at once, s", figures["six_at_once_s"], "{:.2f}"),
        ("from the model's word to us, p50 ms", figures["word_ms_p50"], "{:.1f}"),
        ("the same, p95 ms", figures["word_ms_p95"], "{:.1f}"),
    ]
    lines = [f"### {what} ({figures['rounds']} rounds, taking turns)", ""]
    lines += ["| | bare | Linkspan's engine | ratio |", "|---|---|---|---|"]
    for name, values, form in rows:
        both = form.format(values["bare"]), form.format(values["ours"])
        lines.append(f"| {name} | {both[0]} | {both[1]} | {values['ours'] / values['bare']:.2f} |")
    lines += [
        "",
        f"Added to a run: {figures['added_ms']:.0f} ms (median of neighbours).",
        f"Our own CPU for a run: {figures['our_cpu_ms']:.0f} ms.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench runs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--codex", help="the codex program; default: that of linkspan[codex]")
    options = parser.parse_args(argv)
    settings = CodexSettings(binary=options.codex)
    work = ROOT / ".work" / f"bench-{uuid.uuid4().hex[:8]}"
    work.mkdir(parents=True)
    try:
        figures = asyncio.run(measure(Bench(work, settings), options.rounds))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(to_markdown(figures, find_binary(settings.binary).command[0].rpartition("/")[2]))
    print(json.dumps(figures))
    return 0
