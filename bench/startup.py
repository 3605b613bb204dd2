"""What is waited for once: commands that start, and files that are compiled."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.catalogs import with_tools
from bench.contestants import LINKSPAN, run_linkspan

STDIO_TOOLS = 40
COMMANDS = (
    (),
    *((name,) for name in ("check", "schema", "tools", "demo", "serve", "stdio", "codex-config", "call")),
    *((name,) for name in ("tenant", "account", "token")),
    ("tenant", "add"),
    ("account", "link"),
    ("token", "create"),
)
_COMPILE = """
import json, os, sys, time
from linkspan import spec
started = time.perf_counter()
catalog = spec.load([sys.argv[1]], os.environ)
print(json.dumps([time.perf_counter() - started, len(catalog.tools)]))
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that was done several times. `seconds` is the median, `bar` what is allowed."""

    what: str
    seconds: float
    bar: float | None


def waits(work: Path, times: int) -> list[Wait]:
    """Measure all of them."""
    return [*_stdio(work, times), *_help(times), *_compiles(work, times)]


def _stdio(work: Path, times: int) -> list[Wait]:
    """From the start of `linkspan stdio` until initialize and tools/list of 40 tools are answered."""
    config, home = work / "stdio.yaml", work / "home-stdio"
    config.write_text(with_tools(STDIO_TOOLS))
    environ = {**os.environ, "LINKSPAN_HOME": str(home), "LINKSPAN_CONFIG": str(config)}
    run_linkspan(environ, "tenant", "add", "bench")
    without, kept = [], []
    for _ in range(times):
        shutil.rmtree(home / "cache", ignore_errors=True)
        without.append(_first_list(environ))
        kept.append(_first_list(environ))
    what = f"`linkspan stdio` to tools/list of {STDIO_TOOLS} tools"
    return [
        Wait(f"{what}, first start with this file", statistics.median(without), 1.0),
        Wait(f"{what}, every later start", statistics.median(kept), 1.0),
    ]


def _first_list(environ: Mapping[str, str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen(
        [LINKSPAN, "stdio"],
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin and process.stdout
        client = {"name": "codex-mcp-client", "version": "0.169.0"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        _write(process.stdin, {"id": 0, "method": "initialize", "params": params})
        first = json.loads(process.stdout.readline())
        _write(process.stdin, {"method": "notifications/initialized"})
        _write(process.stdin, {"id": 1, "method": "tools/list"})
        second = json.loads(process.stdout.readline())
        seconds = time.perf_counter() - started
        process.stdin.close()
        process.wait(30)
    if "result" not in first or len(second["result"]["tools"]) != STDIO_TOOLS:
        raise RuntimeError(f"linkspan stdio answered {first} and {str(second)[:500]}")
    return seconds


def _write(pipe: Any, message: dict[str, Any]) -> None:
    pipe.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    pipe.flush()


def _help(times: int) -> list[Wait]:
    """The slowest of all commands' --help."""
    slowest = Wait("", 0.0, None)
    for words in COMMANDS:
        taken = []
        for _ in range(times):
            started = time.perf_counter()
            run_linkspan(os.environ, *words, "--help")
            taken.append(time.perf_counter() - started)
        median = statistics.median(taken)
        if median > slowest.seconds:
            slowest = Wait(f"`linkspan {' '.join((*words, '--help'))}`, the slowest help", median, 0.3)
    return [slowest]


def _compiles(work: Path, times: int) -> list[Wait]:
    """Reading and compiling a tools.yaml, as a hot reload does."""
    found = []
    for tools in (STDIO_TOOLS, 500):
        config = work / f"compile-{tools}.yaml"
        config.write_text(with_tools(tools))
        taken = []
        for _ in range(times):
            command = [sys.executable, "-c", _COMPILE, str(config)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, count = json.loads(done.stdout)
            if count != tools:
                raise RuntimeError(f"{config} has {count} tools")
            taken.append(seconds)
        found.append(Wait(f"a tools.yaml of {tools} tools compiled", statistics.median(taken), None))
    return found
