"""Who is measured: how each server is started, and what it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import requests
from bench.catalogs import for_toolbox
from bench.environment import ROOT, Baselines
from bench.processes import Running, free_port, serving

OURS = "Linkspan"
BARE = "low-level SDK + httpx2"
TOOLBOX = "MCP Toolbox"
RAW = "raw Starlette"
_PYTHON_BASELINES = {BARE: "lowlevel", "MCPServer + httpx2": "mcpserver", "FastMCP": "openapi"}
LINKSPAN = Path(sys.executable).with_name("linkspan")
_TENANT = "bench"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that runs. `status` is the word of its tool for an open ticket."""

    name: str
    running: Running
    path: str = "/mcp"
    token: str | None = None
    status: str = "open"

    def call(self) -> str:
        """Answer the tools/call request as bytes to be."""
        message = requests.tools_call("list_tickets", {"project": "web", "status": self.status})
        return requests.http_request(self.path, self.running.port, message, self.token)

    def list(self) -> str:
        """Answer the tools/list request."""
        return requests.http_request(self.path, self.running.port, requests.tools_list(), self.token)


@contextmanager
def upstream(work: Path) -> Iterator[Running]:
    """Run the stub of the product."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(port)]
    with serving(command, port, cwd=ROOT, environ=os.environ, log=work / "upstream.log") as running:
        yield running


@contextmanager
def linkspan(
    work: Path, config: Path, upstream_port: int, name: str = OURS, words: Sequence[str] = ()
) -> Iterator[Contestant]:
    """Run `linkspan serve` for one tenant with a linked account, all made by its own commands."""
    kept, port = f"{config.stem}-{name.lower().replace(' ', '-')}", free_port()
    home = work / f"home-{kept}"
    environ = {
        **os.environ,
        "LINKSPAN_HOME": str(home),
        "LINKSPAN_CONFIG": str(config),
        "LINKSPAN_ALLOW_EGRESS": f"127.0.0.1:{upstream_port}",
        "BENCH_UPSTREAM_PORT": str(upstream_port),
    }
    token = prepare_home(environ)
    command: list[str | Path] = [LINKSPAN, "serve", "--port", str(port), *words]
    log = work / f"linkspan-{kept}.log"
    with serving(command, port, cwd=work, environ=environ, log=log) as running:
        yield Contestant(name, running, f"/t/{_TENANT}/mcp", token, "todo")


def prepare_home(environ: Mapping[str, str]) -> str:
    """Add the tenant, link its account, make a token and answer it."""
    run_linkspan(environ, "tenant", "add", _TENANT)
    run_linkspan(environ, "account", "link", "desk", "--tenant", _TENANT, given="upstream-key\n")
    made: dict[str, Any] = json.loads(run_linkspan(environ, "token", "create", "--tenant", _TENANT, "--json"))
    token: str = made["token"]
    return token


def run_linkspan(environ: Mapping[str, str], *words: str, given: str = "") -> str:
    """Run one command and answer what it printed."""
    done = subprocess.run(
        [LINKSPAN, *words], env=dict(environ), input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"linkspan {' '.join(words)}: {done.stderr}")
    return done.stdout


@contextmanager
def baselines(
    work: Path,
    upstream_port: int,
    installed: Baselines,
    definitions: Path | None = None,
    against: Sequence[str] | None = None,
) -> Iterator[list[Contestant]]:
    """Run every baseline: with its one tool, or with the tools of a file of definitions (and raw, then).

    `against` keeps only those whose name holds one of the words.
    """
    wanted, kind = dict(_PYTHON_BASELINES), "call"
    if definitions is not None:
        wanted, kind = {RAW: "raw", **wanted}, "list"

    def is_wanted(name: str) -> bool:
        return against is None or any(word.lower() in name.lower() for word in against)

    with ExitStack() as stack:
        running = []
        for name, module in wanted.items():
            if not is_wanted(name):
                continue
            port = free_port()
            command: list[str | Path] = [installed.python, ROOT / "bench" / "servers" / "run.py", module]
            command += [str(port), str(upstream_port), *([definitions] if definitions else [])]
            log = work / f"{module}-{kind}.log"
            one = serving(command, port, cwd=work, environ=os.environ, log=log)
            running.append(Contestant(name, stack.enter_context(one)))
        if installed.toolbox is not None and is_wanted(TOOLBOX):
            running.append(stack.enter_context(_toolbox(work, upstream_port, installed.toolbox, definitions)))
        yield running


@contextmanager
def _toolbox(work: Path, upstream_port: int, binary: Path, definitions: Path | None) -> Iterator[Contestant]:
    config, port = work / f"toolbox-{'list' if definitions else 'call'}.yaml", free_port()
    config.write_text(
        for_toolbox(upstream_port, json.loads(definitions.read_text()) if definitions else None)
    )
    command: list[str | Path] = [binary, "--config", config, "--port", str(port), "--log-level", "WARN"]
    command += ["--disable-version-check", "--disable-reload"]
    log = config.with_suffix(".log")
    with serving(command, port, cwd=work, environ=os.environ, log=log) as running:
        yield Contestant(TOOLBOX, running)
