"""Interleaved rounds: each server in its turn, again and again, so that what else runs hits all alike."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench import requests
from bench.contestants import Contestant
from bench.environment import ROOT
from bench.processes import Running
from bench.tickets import COUNT, holds_every_ticket

LAST_TICKET = f"T-{1000 + COUNT}"
SETTLE = 0.15
"""Seconds after a load in which a server ends what it does behind its answers (audit rows, for one)."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one turn does: `concurrency` callers for `seconds`."""

    method: Literal["tools/call", "tools/list"]
    concurrency: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What one server did in one turn. CPU is user and system time of its whole process tree."""

    server: str
    method: str
    concurrency: int
    calls: int
    cpu_ms: float
    per_second: float
    p50_ms: float
    p99_ms: float


def play(
    contestants: Sequence[Contestant], upstream: Running, loads: Sequence[Load], rounds: int, marker: str
) -> Iterator[Turn]:
    """Answer every turn. Raises RuntimeError for a wrong answer, or one that did not ask the product once."""
    for load in loads:
        for number in range(rounds):
            order = contestants if number % 2 == 0 else contestants[::-1]
            for contestant in order:
                yield _turn(contestant, upstream, load, marker)


def compare_whole(contestant: Contestant) -> None:
    """Raise RuntimeError unless a call answers all the tickets."""
    status, answer = requests.ask(contestant.running.port, contestant.call())
    if status != 200 or not holds_every_ticket(json.loads(answer)):
        raise RuntimeError(f"{contestant.name} answered {status} {answer[:1000]!r}")


def warm_up(contestant: Contestant, request: str, marker: str, seconds: float) -> None:
    """Let a server fill its caches and connections."""
    _load(contestant, request, marker, Load("tools/call", 16, seconds))


def _turn(contestant: Contestant, upstream: Running, load: Load, marker: str) -> Turn:
    request = contestant.call() if load.method == "tools/call" else contestant.list()
    asked, spent = _hits(upstream), contestant.running.cpu()
    outcome = _load(contestant, request, marker, load)
    time.sleep(SETTLE)
    spent, asked = contestant.running.cpu() - spent, _hits(upstream) - asked
    calls = outcome["good"]
    if outcome["bad"] or not calls:
        raise RuntimeError(f"{contestant.name}: {outcome['bad']} bad: {outcome['example_of_bad']}")
    if asked != (calls if load.method == "tools/call" else 0):
        raise RuntimeError(f"{contestant.name}: {calls} {load.method} asked the product {asked} times")
    return Turn(
        contestant.name,
        load.method,
        load.concurrency,
        calls,
        1000 * spent / calls,
        outcome["per_second"],
        outcome["p50_ms"],
        outcome["p99_ms"],
    )


def _load(contestant: Contestant, request: str, marker: str, load: Load) -> dict[str, Any]:
    plan = {
        "request": request,
        "marker": marker,
        "concurrency": load.concurrency,
        "seconds": load.seconds,
        "port": contestant.running.port,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=True,
    )
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _hits(upstream: Running) -> int:
    _, count = requests.ask(upstream.port, "GET /hits HTTP/1.1\r\nhost: stub\r\n\r\n")
    return int(count)


Figure = Literal["cpu_ms", "per_second", "p50_ms", "p99_ms"]


def median(turns: Sequence[Turn], server: str, load: Load, figure: Figure) -> float:
    """Answer the median of a figure over a server's turns."""
    return statistics.median(_series(turns, server, load, figure))


def ratio(turns: Sequence[Turn], server: str, baseline: str, load: Load, figure: Figure) -> float:
    """Answer the median over the rounds of server's figure / baseline's figure of the same round."""
    pairs = zip(_series(turns, server, load, figure), _series(turns, baseline, load, figure), strict=True)
    return statistics.median(one / other for one, other in pairs)


def _series(turns: Sequence[Turn], server: str, load: Load, figure: Figure) -> list[float]:
    return [
        asdict(turn)[figure]
        for turn in turns
        if (turn.server, turn.method, turn.concurrency) == (server, load.method, load.concurrency)
    ]
