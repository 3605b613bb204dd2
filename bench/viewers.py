"""`python -m bench viewers`: one run that many people watch, and how soon it is on their screens.

The run is told as by a worker in another process, event by event, while 1 and then 200 watch it with a view
token, in turns with a few lines of Starlette that send the same to as many. Each event has in it when it was
made, so every reader knows how late it is; at last a real Chromium notes when its page changes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.contestants import LINKSPAN
from bench.environment import ROOT
from bench.processes import Running, free_port, serving
from linkspan.accounts.principal import Tenant
from tests.servers.browser import chromium
from tests.servers.linkspan import Linkspan
from tests.servers.played import Played, stage

RATE: Final = 20.0
"""Events a second: about as fast as a model speaks."""
PATIENCE: Final = 60.0
"""Seconds that a busy machine has longer, to hear anything at all."""
_NOTE: Final = """() => {
  window.late = [];
  new MutationObserver(() => {
    const words = document.querySelector("[data-key=m1] [data-text]")?.textContent.trim().split(" ") ?? [];
    if (words.length > (window.seen ?? 0) && words.at(-1)) {
      window.seen = words.length;
      window.late.push(Date.now() - 1000 * Number(words.at(-1)));
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


@dataclass
class Figures:
    """What was measured."""

    viewers: int
    seconds: float
    cpu: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    """Of a core, by server and number of readers, of each turn."""
    late: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    """Seconds from an event to a reader."""
    screen: list[float] = field(default_factory=list)
    """Milliseconds from an event to a changed page in Chromium."""

    def plain(self) -> dict[str, Any]:
        """Answer the figures as they are kept."""
        many = self.viewers
        return {
            "viewers": many,
            "core_percent": {
                f"{who} {number}": 100 * statistics.median(turns) for (who, number), turns in self.cpu.items()
            },
            "late_ms": {
                f"{who} {number}": {"p50": 1000 * _of(all_, 50), "p95": 1000 * _of(all_, 95)}
                for (who, number), all_ in self.late.items()
            },
            "events_per_s": {
                f"{who} {number}": len(all_) / number / (self.seconds * len(self.cpu[who, number]))
                for (who, number), all_ in self.late.items()
            },
            "screen_ms": {"p50": _of(self.screen, 50), "p95": _of(self.screen, 95)},
        }


def _of(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


async def watch(url: str, headers: dict[str, str], readers: int, seconds: float, server: Running) -> Any:
    """Let so many read, and answer the part of a core that the server took, and how late each event was."""
    late: list[float] = []
    ready = asyncio.Semaphore(0)

    async def read(session: aiohttp.ClientSession) -> None:
        async with session.get(url, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}: {await answer.text()}")
            ready.release()
            async for line in answer.content:
                if line.startswith(b'data: {"key": "m1", "text"') and listening.is_set():
                    told = json.loads(line[6:])["text"].split()[-1]
                    late.append(time.time() - float(told))

    listening = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        tasks = [asyncio.create_task(read(session)) for _ in range(readers)]
        for _ in range(readers):
            await asyncio.wait_for(ready.acquire(), 60)
        await asyncio.sleep(1)
        listening.set()
        before, began = server.cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        while len(late) < 2 * readers and time.monotonic() < began + PATIENCE:  # noqa: ASYNC110 (readers append)
            await asyncio.sleep(0.1)
        used, took = server.cpu() - before, time.monotonic() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return used / took, late


@contextmanager
def speaking(run: Played) -> Iterator[None]:
    """Let Codex speak, as a worker in another process stores it."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(1 / RATE):
            run.tell("message_delta", item_id="m1", text=f"{time.time():.6f} ")

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(work: Path, viewers: int, seconds: float, rounds: int) -> Figures:
    """Measure everything."""
    figures = Figures(viewers, seconds)
    linkspan = Linkspan(work / "home", ROOT / "tools.yaml", {"LINKSPAN_NO_WORK": "1"})
    linkspan.add_tenant("acme")
    _, token = linkspan.create_token("acme")
    port, other = free_port(), free_port()
    environ = {**linkspan.environment, "LINKSPAN_PUBLIC_URL": ""}
    fanout = [sys.executable, str(ROOT / "bench" / "servers" / "fanout.py"), str(other), str(RATE)]
    with ExitStack() as stack:
        played = stack.enter_context(stage(linkspan))
        run = played.begin("HC-103", "Watched by many")
        run.enter("running")
        run.item("m1", "agentMessage", completed=False, text="")
        command: list[str | Path] = [LINKSPAN, "serve", "--port", str(port)]
        ours = stack.enter_context(serving(command, port, cwd=work, environ=environ, log=work / "ours.log"))
        bare = stack.enter_context(serving(fanout, other, cwd=work, environ=environ, log=work / "bare.log"))
        stack.enter_context(speaking(run))
        view = asyncio.run(_view(f"http://127.0.0.1:{port}", token, run.id))
        page, _, text = view.partition("#view_token=")
        headers = {"Authorization": f"Bearer {text}"}
        turns = (("linkspan", ours), ("bare", bare))
        for _, number, (who, server) in itertools.product(range(rounds), (1, viewers), turns):
            if who == "linkspan":
                last = played.portal.call(played.app.runs.find, Tenant("acme"), run.id).events
                url, shown = f"{page}/stream?after={last}", headers
            else:
                url, shown = f"http://127.0.0.1:{other}/stream", {}
            used, late = asyncio.run(watch(url, shown, number, seconds, server))
            if len(late) < 2 * number:
                raise RuntimeError(f"{number} readers of {who} heard {len(late)} events")
            figures.cpu.setdefault((who, number), []).append(used)
            figures.late.setdefault((who, number), []).extend(late)
        figures.screen = _on_screen(view, seconds)
    return figures


async def _view(base: str, token: str, run: str) -> str:
    body = {"run_id": run, "allowed_origins": ["http://localhost:1"], "expires_in": 3600}
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/view-token", json=body, headers=headers) as answer,
    ):
        return str((await answer.json())["result"]["url"])


def _on_screen(view: str, seconds: float) -> list[float]:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(view)
        page.wait_for_selector("[data-key=m1] [data-text]", state="attached", timeout=60_000)
        page.evaluate(_NOTE)
        page.wait_for_timeout(1000 * seconds)
        deadline = time.monotonic() + PATIENCE
        while page.evaluate("window.late.length") < 2 and time.monotonic() < deadline:
            page.wait_for_timeout(100)
        found: list[float] = page.evaluate("window.late")
        return found


def to_markdown(told: dict[str, Any]) -> str:
    """Answer the table."""
    many = told["viewers"]
    rows = [(f"{number} reading: of a core", "core_percent", number, "{:.1f} %") for number in (1, many)]
    lines = ["| | bare | Linkspan | ratio |", "|---|---|---|---|"]
    for name, what, number, form in rows:
        values = told[what][f"bare {number}"], told[what][f"linkspan {number}"]
        # A turn that is short takes no tick of the clock that the kernel counts CPU with.
        ratio = f"{values[1] / values[0]:.2f}" if values[0] else "?"
        lines.append(f"| {name} | {form.format(values[0])} | {form.format(values[1])} | {ratio} |")
    for number, part in itertools.product((1, many), ("p50", "p95")):
        late = [told["late_ms"][f"{who} {number}"][part] for who in ("bare", "linkspan")]
        lines.append(
            f"| {number} reading: an event is late, {part} | {late[0]:.1f} ms | {late[1]:.1f} ms"
            f" | {late[1] / late[0]:.1f} |"
        )
    screen = told["screen_ms"]
    lines += ["", f"On Chromium's screen: {screen['p50']:.0f} ms (p50), {screen['p95']:.0f} ms (p95)."]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench viewers", description=__doc__)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long a turn takes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="linkspan-viewers-") as folder:
        told = measure(Path(folder), options.viewers, options.seconds, options.rounds).plain()
    print(to_markdown(told))
    print(json.dumps(told))
    return 0
