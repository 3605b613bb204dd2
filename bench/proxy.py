"""`python -m bench proxy`: what the proxy costs, and whether one tenant's storm slows another.

Beside it stand the raw upstream client (the same aiohttp, asking the product itself) and a bare Starlette
relay of a dozen lines with the same uvicorn settings, which knows no token, no account and no log. All take
turns in one run; what counts are ratios and differences of medians of neighbouring turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.contestants import LINKSPAN, run_linkspan
from bench.environment import ROOT
from bench.processes import Running, free_port, serving

PIECES = 2048
"""Of 64 KiB: 128 MiB."""
TOOLS = """\
linkspan: 1
name: bench
instructions: The product of the benchmark.
connectors:
  desk: {title: Desk, base_url: "{settings.site}", settings: {site: {type: origin}}, auth: [{type: bearer}]}
"""
Told = dict[str, Any]


def start(plan: Told) -> subprocess.Popen[str]:
    """Start callers."""
    callers = subprocess.Popen(
        [sys.executable, "-m", "bench.proxying", "load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert callers.stdin is not None
    callers.stdin.write(json.dumps(plan))
    callers.stdin.close()
    return callers


def ended(callers: subprocess.Popen[str]) -> Told:
    """Answer what they found."""
    assert callers.stdout is not None
    said = callers.stdout.read()
    if callers.wait() != 0:
        raise RuntimeError("the callers failed")
    told: Told = json.loads(said)
    return told


def asked(server: Running | None, url: str, token: str, seconds: float, **more: Any) -> Told:
    """Ask, and tell what it cost the server beside."""
    before = server.cpu() if server is not None else 0.0
    headers = {"Authorization": f"Bearer {token}"}
    told = ended(start({"url": url, "headers": headers, "seconds": seconds, "callers": 1, **more}))
    if server is not None:
        told["server_cpu_ms"] = 1000 * (server.cpu() - before) / (told["count"] + 3)
    return told


def middle(turns: Sequence[Told], word: str) -> float:
    """Answer the median."""
    return statistics.median(turn[word] for turn in turns)


def measure(rounds: int, seconds: float) -> Told:
    """Play all rounds."""
    with tempfile.TemporaryDirectory(prefix="linkspan-bench-") as folder:
        work = Path(folder)
        product, other, bare, ours = free_port(), free_port(), free_port(), free_port()
        (work / "tools.yaml").write_text(TOOLS)
        environ = {
            **os.environ,
            "LINKSPAN_HOME": str(work / "home"),
            "LINKSPAN_CONFIG": str(work / "tools.yaml"),
            "LINKSPAN_ALLOW_EGRESS": f"127.0.0.1:{product},127.0.0.1:{other}",
        }
        tokens = {}
        for tenant, port in (("loud", product), ("quiet", other)):
            run_linkspan(environ, "tenant", "add", tenant)
            words = ["account", "link", "desk", "--tenant", tenant, "--no-verify"]
            words += ["--setting", f"site=http://127.0.0.1:{port}"]
            run_linkspan(environ, *words, given="upstream-key\n")
            made = run_linkspan(environ, "token", "create", "--tenant", tenant, "--json")
            tokens[tenant] = json.loads(made)["token"]
        own = [sys.executable, "-m", "bench.proxying"]
        started: list[Running] = []
        with ExitStack() as stack:
            for name, command, port, cwd, env in (
                ("product", [*own, "upstream", str(product)], product, ROOT, os.environ),
                ("other", [*own, "upstream", str(other)], other, ROOT, os.environ),
                ("relay", [*own, "relay", str(bare), str(product)], bare, ROOT, os.environ),
                ("linkspan", [str(LINKSPAN), "serve", "--port", str(ours)], ours, work, environ),
            ):
                one = serving(command, port, cwd=cwd, environ=env, log=work / f"{name}.log")
                started.append(stack.enter_context(one))
            return play(rounds, seconds, product, started[2], started[3], tokens)


def play(
    rounds: int, seconds: float, product: int, relay: Running, server: Running, tokens: dict[str, str]
) -> Told:
    """Take turns."""
    turns: dict[str, list[Told]] = {}
    base = f"http://127.0.0.1:{server.port}/proxy/desk"
    stream = f"/stream?pieces={PIECES}"
    for _each in range(rounds):
        for callers in (1, 16):
            for name, running, url in (
                ("raw", None, f"http://127.0.0.1:{product}/json"),
                ("relay", relay, f"http://127.0.0.1:{relay.port}/json"),
                ("ours", server, f"{base}/json"),
            ):
                told = asked(running, url, tokens["loud"], seconds, callers=callers)
                turns.setdefault(f"{name} {callers}", []).append(told)
        turns.setdefault("relay stream", []).append(
            asked(relay, f"http://127.0.0.1:{relay.port}{stream}", tokens["loud"], seconds)
        )
        turns.setdefault("ours stream", []).append(asked(server, base + stream, tokens["loud"], seconds))
        quiet = {"rate": 10, "seconds": 4 * seconds}
        turns.setdefault("alone", []).append(asked(server, f"{base}/json", tokens["quiet"], **quiet))
        storm = {"url": f"{base}/json", "headers": {"Authorization": f"Bearer {tokens['loud']}"}}
        loud = start({**storm, "seconds": 4 * seconds + 1, "callers": 16})
        turns.setdefault("beside", []).append(asked(server, f"{base}/json", tokens["quiet"], **quiet))
        turns.setdefault("loud", []).append(ended(loud))
    return {
        "proxy": {
            callers: {
                "raw_client_cpu_ms": middle(turns[f"raw {callers}"], "cpu_ms"),
                "relay_cpu_ms": middle(turns[f"relay {callers}"], "server_cpu_ms"),
                "ours_cpu_ms": middle(turns[f"ours {callers}"], "server_cpu_ms"),
                "relay_per_second": middle(turns[f"relay {callers}"], "per_second"),
                "ours_per_second": middle(turns[f"ours {callers}"], "per_second"),
            }
            for callers in (1, 16)
        },
        "stream_mb_per_second": {
            "relay": middle(turns["relay stream"], "mb_per_second"),
            "ours": middle(turns["ours stream"], "mb_per_second"),
        },
        "tenants": {
            "alone_p95_ms": middle(turns["alone"], "p95_ms"),
            "beside_p95_ms": middle(turns["beside"], "p95_ms"),
            "loud_per_second": middle(turns["loud"], "per_second"),
        },
    }


def table(told: Told) -> str:
    """Say it as docs/performance.md does."""
    lines = [
        "| 2 KB of JSON, CPU ms | raw client | relay | ours | ours over raw | ours of relay |",
        "|---|---|---|---|---|---|",
    ]
    for callers, row in told["proxy"].items():
        raw, bare, ours = row["raw_client_cpu_ms"], row["relay_cpu_ms"], row["ours_cpu_ms"]
        cells = (f"{callers} callers", raw, bare, ours, ours - raw, ours / bare)
        lines.append(_row(*cells))
    streams, tenants = told["stream_mb_per_second"], told["tenants"]
    storm = f"p95 of a tenant at 10 a second, ms: alone, and beside one at {tenants['loud_per_second']:.0f}"
    lines += ["", "| | baseline | ours | ratio |", "|---|---|---|---|"]
    for what, base, own in (
        ("a stream of 128 MiB, MB/s, beside the relay", streams["relay"], streams["ours"]),
        (storm, tenants["alone_p95_ms"], tenants["beside_p95_ms"]),
    ):
        lines.append(_row(what, base, own, own / base))
    return "\n".join(lines)


def _row(*cells: str | float) -> str:
    return f"| {' | '.join(cell if isinstance(cell, str) else f'{cell:.2f}' for cell in cells)} |"


def main(words: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a turn takes")
    options = parser.parse_args(list(words))
    told = measure(options.rounds, options.seconds)
    print(f"{table(told)}\n\n{json.dumps(told)}")
    return 0
