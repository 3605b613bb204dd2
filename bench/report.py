"""The figures as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.contestants import BARE, OURS, RAW, TOOLBOX
from bench.environment import ROOT
from bench.rounds import Load, Turn, median, ratio
from bench.startup import Wait


@dataclass(slots=True)
class Report:
    """Everything that was measured in one run. Memory is PSS and RSS in MB of servers that just started."""

    loads: Sequence[Load]
    rounds: int
    turns: list[Turn] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    memory: dict[str, tuple[float, float]] = field(default_factory=dict)
    list_bytes: dict[str, int] = field(default_factory=dict)

    def servers(self, load: Load) -> list[str]:
        """Answer who took part, in order."""
        return list(
            dict.fromkeys(
                turn.server
                for turn in self.turns
                if (turn.method, turn.concurrency) == (load.method, load.concurrency)
            )
        )

    def to_markdown(self) -> str:
        """Answer the tables."""
        return "\n\n".join([_machine(), *map(self._table, self.loads), *self._memory(), *self._waits()])

    def to_json(self) -> str:
        """Answer every turn, for later."""
        content: dict[str, Any] = {
            "machine": _machine(),
            "commit": _commit(),
            "turns": [asdict(turn) for turn in self.turns],
            "waits": [asdict(wait) for wait in self.waits],
            "memory_mb": self.memory,
            "list_bytes": self.list_bytes,
        }
        return json.dumps(content, indent=1)

    def write(self, folder: Path) -> Path:
        """Keep the JSON; answer where."""
        folder.mkdir(exist_ok=True)
        path = folder / "latest.json"
        path.write_text(self.to_json())
        return path

    def _table(self, load: Load) -> str:
        servers = self.servers(load)
        against = [name for name in (BARE, TOOLBOX, RAW) if name in servers and load.method == "tools/call"]
        if load.method == "tools/list":
            against = [name for name in (RAW,) if name in servers]
        sizes = load.method == "tools/list"
        head = ["server", "CPU ms/call", *(f"of {name}" for name in against), "calls/s", "p50 ms", "p99 ms"]
        rows = [head + (["KB"] if sizes else [])]
        for server in servers:
            row = [f"**{server}**" if server == OURS else server]
            row.append(f"{median(self.turns, server, load, 'cpu_ms'):.2f}")
            row += [f"{ratio(self.turns, server, name, load, 'cpu_ms'):.2f}" for name in against]
            row.append(f"{median(self.turns, server, load, 'per_second'):.0f}")
            row += [f"{median(self.turns, server, load, figure):.1f}" for figure in ("p50_ms", "p99_ms")]
            rows.append(row + ([f"{self.list_bytes[server] / 1000:.0f}"] if sizes else []))
        title = f"### {load.method}, {load.concurrency} callers ({self.rounds} rounds of {load.seconds:g} s)"
        return f"{title}\n\n{_markdown(rows)}"

    def _memory(self) -> list[str]:
        if not self.memory:
            return []
        rows = [["server, at rest", "PSS MB", "RSS MB"]]
        rows += [[name, f"{pss:.0f}", f"{rss:.0f}"] for name, (pss, rss) in self.memory.items()]
        return [_markdown(rows)]

    def _waits(self) -> list[str]:
        if not self.waits:
            return []
        rows = [["wait", "seconds", "of CPU", "bar"]]
        rows += [
            [wait.what, f"{wait.seconds:.2f}", f"{wait.cpu_seconds:.2f}", f"{wait.bar:g}" if wait.bar else ""]
            for wait in self.waits
        ]
        return [_markdown(rows)]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
