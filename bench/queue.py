"""`python -m bench queue`: runs that wait in the queue of `linkspan serve`, beside the binary driven bare.

The recipe asks Codex for exactly what the bare driver of `bench.runs` asks it for: three turns of a scripted
model, two commands in the sandbox. What differs is everything that Linkspan does around it: the API, the
queue, the journal, tokens, the model proxy, events in the store and over SSE, the transcript. Half of the
bare runs come before ours and half after, so that a machine whose load changes is as busy for both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bench.contestants import LINKSPAN, run_linkspan
from bench.environment import ROOT
from bench.processes import Running, cpu_of, free_port, serving
from bench.runs import MODEL, bare, task_of
from linkspan.settings import CodexSettings
from tests.servers.scripted_model import Item, ModelRequest, ScriptedModel, message, shell
from tests.servers.serving import serving as model_at

TENANT = "bench"
RECIPE = "chore"
WORDS = 20
PATIENCE = 1_200.0
MARK = "working runs as"
"""What the log says when runs are worked."""


class Chat(ScriptedModel):
    """A scripted model for any number of conversations at once, which notes when it was asked and spoke."""

    def __init__(self) -> None:
        super().__init__()
        self._noting = threading.Lock()
        self.asked: list[float] = []
        """When each main request came."""
        self.said: dict[str, float] = {}
        """When each word left."""

    def expect(self, runs: int) -> None:
        """Be ready for so many more runs."""
        self.prepare([self._step] * (3 * runs))

    def _step(self, seen: ModelRequest) -> Sequence[Item]:
        with self._noting:
            self.asked.append(time.perf_counter())
        match len(seen.outputs):
            case 0:
                thread = seen.headers["thread-id"]
                words = [message(f"{thread} {number}") for number in range(WORDS)]
                return [*words, shell(MODEL, "echo one")]
            case 1:
                return [shell(MODEL, "echo two > two.txt")]
        return [message(f"{seen.headers['thread-id']} done")]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def noting(part: Any) -> None:
            if part["type"] == "http.response.body" and b"output_text.delta" in part["body"]:
                data = json.loads(part["body"].partition(b"data: ")[2])
                self.said.setdefault(data["delta"], time.perf_counter())
            await send(part)

        await super().__call__(scope, receive, noting)


@dataclass
class Figures:
    """What was measured; seconds and MB."""

    runs: int
    at_once: int
    bare_seconds: float = 0.0
    """Of as many runs, driven bare, as many at once."""
    our_seconds: float = 0.0
    our_cpu: float = 0.0
    """Of the process that serves and works, for all runs."""
    idle_mb: float = 0.0
    peak_mb: float = 0.0
    bare_starts: list[float] = field(default_factory=list)
    """From its start to its first question to the model, of each that ran alone."""
    our_starts: list[float] = field(default_factory=list)
    """From our being asked for a run to the same."""
    bare_words: list[float] = field(default_factory=list)
    """From the model to the reader of Codex's output."""
    our_words: list[float] = field(default_factory=list)
    """From the model to the reader of SSE."""
    late: list[float] = field(default_factory=list)
    """From Codex's output to the reader of SSE, of runs that went on beside each other."""
    late_alone: list[float] = field(default_factory=list)
    """The same, of one run at a time."""

    @property
    def added_ms(self) -> float:
        """What our side adds to the start of a run."""
        return 1000 * (statistics.median(self.our_starts) - statistics.median(self.bare_starts))

    def plain(self) -> dict[str, Any]:
        """Answer the figures as they are kept."""
        return {
            "runs": self.runs,
            "at_once": self.at_once,
            "runs_per_s": {"bare": self.runs / self.bare_seconds, "ours": self.runs / self.our_seconds},
            "our_cpu_ms_a_run": 1000 * self.our_cpu / self.runs,
            "idle_mb": self.idle_mb,
            "growth_mb": self.peak_mb - self.idle_mb,
            "start_ms": {
                "bare": 1000 * statistics.median(self.bare_starts),
                "ours": 1000 * statistics.median(self.our_starts),
            },
            "added_ms": self.added_ms,
            "word_ms_p50": {"bare": _ms(self.bare_words, 50), "ours": _ms(self.our_words, 50)},
            "word_ms_p95": {"bare": _ms(self.bare_words, 95), "ours": _ms(self.our_words, 95)},
            "codex_to_sse_ms": {"p50": _ms(self.late, 50), "p95": _ms(self.late, 95)},
            "codex_to_sse_alone_ms": {"p50": _ms(self.late_alone, 50), "p95": _ms(self.late_alone, 95)},
        }


def _ms(seconds: Sequence[float], percent: int) -> float:
    return 1000 * statistics.quantiles(seconds, n=100)[percent - 1]


class Bare:
    """Drives the binary with the fewest lines that can."""

    def __init__(self, work: Path, settings: CodexSettings, chat: Chat, url: str) -> None:
        self._work = work
        self._settings = settings
        self._chat = chat
        self._url = url
        self._ids = itertools.count(1)

    async def one(self) -> tuple[float, Mapping[str, float]]:
        """Do one run; answer when it was begun, and when each word came out of Codex."""
        folder = self._work / f"bare-{next(self._ids)}"
        (folder / "checkout").mkdir(parents=True)
        self._chat.expect(1)
        taken = await bare(task_of(folder, self._url), self._settings)
        shutil.rmtree(folder)
        return taken.began, taken.heard

    async def many(self, runs: int, at_once: int) -> float:
        """Do some, so many at once; answer the seconds."""
        gate = asyncio.Semaphore(at_once)

        async def one() -> None:
            async with gate:
                await self.one()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(runs)))
        return time.perf_counter() - began


@dataclass
class Ours:
    """`linkspan serve`, asked over its API."""

    running: Running
    session: aiohttp.ClientSession

    async def start(self) -> str:
        """Ask for a run."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        async with self.session.post("/runs", json={"recipe": RECIPE}, headers=key) as answer:
            told = await answer.json()
            if answer.status != 201:
                raise RuntimeError(f"no run was begun: {told}")
            return str(told["result"]["id"])

    async def watch(self, run: str) -> dict[str, float]:
        """Follow a run to its end; answer when each word came."""
        heard: dict[str, float] = {}
        headers = {"Accept": "text/event-stream"}
        async with self.session.get(f"/runs/{run}/events", headers=headers) as answer:
            kind = ""
            async for line in answer.content:
                now = time.perf_counter()
                name, _, value = line.decode().strip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data" and kind == "message_delta":
                    heard.setdefault(json.loads(value)["data"]["text"], now)
                elif name == "data" and kind == "end":
                    ended = json.loads(value)
                    if ended["state"] != "succeeded":
                        raise RuntimeError(f"a run ended as {ended['state']}: {ended['error']}")
        return heard

    async def ended(self, runs: Sequence[str]) -> None:
        """Wait until all have ended well."""
        left = set(runs)
        while left:
            for run in sorted(left):
                async with self.session.get(f"/runs/{run}") as answer:
                    told = (await answer.json())["result"]
                if told["state"] in ("failed", "cancelled", "timed_out"):
                    raise RuntimeError(f"a run ended as {told['state']}: {told['error']}")
                if told["state"] != "succeeded":
                    break
                left.discard(run)
            await asyncio.sleep(0.1)

    def memory(self, word: str) -> float:
        """Answer `VmRSS` or `VmHWM` of the process itself, in MB."""
        lines = Path(f"/proc/{self.running.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{word}:"))

    def forget_peak(self) -> None:
        """Let VmHWM begin anew."""
        Path(f"/proc/{self.running.process.pid}/clear_refs").write_text("5")


def tools(model_url: str, at_once: int) -> dict[str, Any]:
    """Answer the tools.yaml."""
    return {
        "linkspan": 1,
        "name": "bench",
        "instructions": "Nothing but runs.",
        "connectors": {"openai": {"use": "openai", "base_url": f"{model_url}/v1"}},
        "recipes": {
            RECIPE: {"title": "Three turns", "prompt": "Go.", "model": MODEL, "budget": {"minutes": 10}}
        },
        "runs": {"at_once": at_once, "per_tenant": at_once},
    }


@contextmanager
def home(work: Path, model_url: str, at_once: int, codex: str | None) -> Iterator[dict[str, str]]:
    """Make an installation by its own commands; yield its environment, with a token as BENCH_TOKEN."""
    config = work / "tools.yaml"
    config.write_text(yaml.safe_dump(tools(model_url, at_once)))
    environ = {
        **os.environ,
        "LINKSPAN_HOME": str(work / "home"),
        "LINKSPAN_CONFIG": str(config),
        "LINKSPAN_ALLOW_EGRESS": "127.0.0.0/8",
        **({"LINKSPAN_CODEX": codex} if codex else {}),
    }
    run_linkspan(environ, "tenant", "add", TENANT)
    run_linkspan(environ, "account", "link", "openai", "--no-verify", given="upstream-key\n")
    run_linkspan(environ, "recipe", "enable", RECIPE)
    made = json.loads(run_linkspan(environ, "token", "create", "--json"))
    yield {**environ, "BENCH_TOKEN": made["token"]}


@asynccontextmanager
async def ours(work: Path, environ: Mapping[str, str], name: str) -> AsyncIterator[Ours]:
    """Serve and work."""
    port, log = free_port(), work / f"{name}.log"
    command: list[str | Path] = [LINKSPAN, "serve", "--port", str(port)]
    with serving(command, port, cwd=work, environ=environ, log=log) as running:
        async with (
            asyncio.timeout(PATIENCE),
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {environ['BENCH_TOKEN']}"},
                # Shorter than the server's: bare runs between ours may take longer than either.
                connector=aiohttp.TCPConnector(keepalive_timeout=1.0),
            ) as session,
        ):
            while MARK not in log.read_text():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
            yield Ours(running, session)


async def starts(figures: Figures, ours: Ours, bare: Bare, chat: Chat, rounds: int) -> None:
    """One at a time, taking turns: how long until Codex asks its model."""
    for number in range(rounds):
        for how in ("bare", "ours") if number % 2 else ("ours", "bare"):
            before = len(chat.asked)
            if how == "bare":
                began, _heard = await bare.one()
                figures.bare_starts.append(chat.asked[before] - began)
            else:
                chat.expect(1)
                began = time.perf_counter()
                await ours.ended([await ours.start()])
                figures.our_starts.append(chat.asked[before] - began)


async def throughput(figures: Figures, ours: Ours, bare: Bare, chat: Chat) -> None:
    """All at once into the queue, between two halves of the same, driven bare."""
    first = await bare.many(figures.runs // 2, figures.at_once)
    chat.expect(figures.runs)
    cpu, began = cpu_of(ours.running.process.pid), time.perf_counter()
    await ours.ended(await asyncio.gather(*(ours.start() for _ in range(figures.runs))))
    figures.our_seconds = time.perf_counter() - began
    figures.our_cpu = cpu_of(ours.running.process.pid) - cpu
    figures.bare_seconds = first + await bare.many(figures.runs - figures.runs // 2, figures.at_once)


async def latency(figures: Figures, ours: Ours, bare: Bare, chat: Chat, notes: Path, rounds: int) -> None:
    """Watched as they go on: one alone, then as many at once as there may be."""

    async def watched(runs: int) -> tuple[list[float], list[float]]:
        chat.expect(runs)
        begun = await asyncio.gather(*(ours.start() for _ in range(runs)))
        since_codex, since_model = [], []
        for run, heard in zip(begun, await asyncio.gather(*map(ours.watch, begun)), strict=True):
            passed = dict(json.loads(line) for line in (notes / run).read_text().splitlines())
            if len(passed) != WORDS + 1 or passed.keys() != heard.keys():
                raise RuntimeError(f"of {len(passed)} words {len(heard)} were heard")
            since_codex += [heard[word] - passed[word] for word in passed]
            since_model += [heard[word] - chat.said[word] for word in passed]
        return since_codex, since_model

    for _ in range(rounds):
        figures.late_alone += (await watched(1))[0]
        late, words = await watched(figures.at_once)
        figures.late += late
        figures.our_words += words
        told = await asyncio.gather(*(bare.one() for _ in range(figures.at_once)))
        figures.bare_words += [heard[word] - chat.said[word] for _began, heard in told for word in heard]


async def measure(work: Path, runs: int, at_once: int, rounds: int, codex: str | None) -> Figures:
    """Measure everything."""
    figures, chat, notes = Figures(runs, at_once), Chat(), work / "notes"
    notes.mkdir()
    with model_at(chat) as url, home(work, url, at_once, codex) as environ:
        bare_ = Bare(work, CodexSettings(binary=codex), chat, url)
        async with ours(work, environ, "queue") as served:
            figures.idle_mb = served.memory("VmRSS")
            served.forget_peak()
            chat.expect(1)
            await served.ended([await served.start()])  # the first one imports and looks for the binary
            await bare_.one()
            await throughput(figures, served, bare_, chat)
            figures.peak_mb = served.memory("VmHWM")
            await starts(figures, served, bare_, chat, rounds)
        words = (sys.executable, "-S", "-E", str(ROOT / "bench" / "tee.py"), str(notes), "{run}")
        async with ours(work, {**environ, "LINKSPAN_CODEX_WRAP": " ".join(words)}, "words") as served:
            await latency(figures, served, bare_, chat, notes, rounds)
    return figures


def to_markdown(told: Mapping[str, Any]) -> str:
    """Answer the table."""
    rows = [
        (f"{told['runs']} runs, {told['at_once']} at once: runs a second", told["runs_per_s"], "{:.2f}"),
        ("alone: from its start to the first question to the model, ms", told["start_ms"], "{:.0f}"),
        ("from the model's word to the reader, p50 ms", told["word_ms_p50"], "{:.1f}"),
        ("the same, p95 ms", told["word_ms_p95"], "{:.1f}"),
    ]
    lines = ["| | bare | Linkspan | ratio |", "|---|---|---|---|"]
    for name, values, form in rows:
        both = form.format(values["bare"]), form.format(values["ours"])
        lines.append(f"| {name} | {both[0]} | {both[1]} | {values['ours'] / values['bare']:.2f} |")
    late, alone = told["codex_to_sse_ms"], told["codex_to_sse_alone_ms"]
    lines += [
        "",
        f"Added to the start of a run: {told['added_ms']:.0f} ms (aim: at most 150).",
        (
            "From Codex's output to the reader of SSE, p50 and p95:"
            f" {alone['p50']:.0f} and {alone['p95']:.0f} ms,"
            f" with {told['at_once']} at once {late['p50']:.0f} and {late['p95']:.0f} ms (aim: p95 100)."
        ),
        (
            f"Our process: {told['idle_mb']:.0f} MB at rest, at most {told['growth_mb']:.0f} MB more at work"
            f" (bar: 60); {told['our_cpu_ms_a_run']:.0f} ms of CPU a run."
        ),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench queue", description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=8, help="of runs that are looked at one by one")
    parser.add_argument("--quick", action="store_true", help="2 runs and 1 round: whether it works")
    parser.add_argument("--codex", help="the codex program; default: that of linkspan[codex]")
    options = parser.parse_args(argv)
    if options.quick:
        options.runs, options.at_once, options.rounds = 2, 2, 1
    work = ROOT / ".work" / f"bench-{uuid.uuid4().hex[:8]}"
    work.mkdir(parents=True)
    try:
        figures = asyncio.run(measure(work, options.runs, options.at_once, options.rounds, options.codex))
    except (RuntimeError, TimeoutError, subprocess.SubprocessError):
        for log in sorted(work.glob("*.log")):
            print(f"{log.name}:\n{log.read_text()[-3000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    told = figures.plain()
    print(to_markdown(told))
    print(json.dumps(told))
    return 0
