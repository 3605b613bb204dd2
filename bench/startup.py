"""What is waited for once: commands that start, and files that are compiled."""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench.catalogs import with_tools
from bench.contestants import LINKSPAN, run_linkspan
from bench.processes import cpu_of
from linkspan.cli.main import cli

STDIO_TOOLS = 40
_COMPILE = """
import json, os, sys, time
from linkspan import spec
started, spent = time.perf_counter(), time.process_time()
catalog = spec.load([sys.argv[1]], os.environ)
print(json.dumps([time.perf_counter() - started, time.process_time() - spent, len(catalog.tools)]))
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that was done several times: medians of its time and of its CPU, and what is allowed."""

    what: str
    seconds: float
    cpu_seconds: float
    bar: float | None


Taken = tuple[float, float]
"""Seconds by the clock, and seconds of CPU, which tell more on a busy machine."""


def _wait(what: str, taken: Sequence[Taken], bar: float | None = None) -> Wait:
    seconds, cpu = zip(*taken, strict=True)
    return Wait(what, statistics.median(seconds), statistics.median(cpu), bar)


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
        _wait(f"{what}, first start with this file", without, 1.0),
        _wait(f"{what}, every later start", kept, 1.0),
    ]


def _first_list(environ: Mapping[str, str]) -> Taken:
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
        taken = time.perf_counter() - started, cpu_of(process.pid)
        process.stdin.close()
        process.wait(30)
    if "result" not in first or len(second["result"]["tools"]) != STDIO_TOOLS:
        raise RuntimeError(f"linkspan stdio answered {first} and {str(second)[:500]}")
    return taken


def _write(pipe: Any, message: dict[str, Any]) -> None:
    pipe.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    pipe.flush()


def _help(times: int) -> list[Wait]:
    """The --help of every command: the costliest of them, found in one pass and measured again."""
    once = {words: _help_of(words) for words in _commands()}
    costliest = sorted(once, key=lambda words: once[words][1])[-3:]
    waits = [
        _wait(
            f"`linkspan {' '.join((*words, '--help'))}`, the costliest of {len(once)}",
            [_help_of(words) for _ in range(times)],
            0.3,
        )
        for words in costliest
    ]
    return [max(waits, key=lambda wait: wait.cpu_seconds)]


def _help_of(words: Sequence[str]) -> Taken:
    started, spent = time.perf_counter(), _spent_by_children()
    run_linkspan(os.environ, *words, "--help")
    return time.perf_counter() - started, _spent_by_children() - spent


def _spent_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _commands(group: click.Group = cli, *above: str) -> Iterator[tuple[str, ...]]:
    yield above
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, *above, name)
        else:
            yield (*above, name)


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
            seconds, cpu, count = json.loads(done.stdout)
            if count != tools:
                raise RuntimeError(f"{config} has {count} tools")
            taken.append((seconds, cpu))
        found.append(_wait(f"a tools.yaml of {tools} tools compiled", taken))
    return found
