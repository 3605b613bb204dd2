"""`python -m bench`: measures Linkspan beside its peers and prints the tables of docs/performance.md.

`python -m bench runs` measures the engine of Codex runs beside the bare binary, `python -m bench queue` runs
through the whole of `linkspan serve`, `python -m bench viewers` one run that many people watch,
`python -m bench watched` what metrics, traces and log lines cost, and `python -m bench proxy` the proxy.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import environment, requests
from bench.catalogs import with_tools
from bench.contestants import OURS, Contestant, baselines, linkspan, upstream
from bench.report import Report
from bench.rounds import LAST_TICKET, Load, Turn, compare_whole, play, warm_up
from bench.startup import waits

TOOLS = 500
PARTS = ("call", "list", "start")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the figures in bench/results/latest.json."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["runs"]:
        from bench import runs

        return runs.main(words[1:])
    if words[:1] == ["compile"]:
        from bench import compiles

        return compiles.main(words[1:])
    if words[:1] == ["proxy"]:
        from bench import proxy

        return proxy.main(words[1:])
    if words[:1] == ["queue"]:
        from bench import queue

        return queue.main(words[1:])
    if words[:1] == ["viewers"]:
        from bench import viewers

        return viewers.main(words[1:])
    if words[:1] == ["watched"]:
        from bench import watched

        return watched.main(words[1:])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", choices=PARTS, action="append", help="leave the other parts out")
    parser.add_argument("--against", metavar="WORD", action="append", help="only baselines with this word")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--seconds", type=float, help="how long a turn takes")
    options = parser.parse_args(words)
    rounds = options.rounds or (1 if options.quick else 3)
    seconds = options.seconds or (1.0 if options.quick else 2.0)
    parts = options.only or PARTS
    calls = [Load("tools/call", callers, seconds) for callers in (1, 16, 64)] if "call" in parts else []
    lists = [Load("tools/list", 16, seconds)] if "list" in parts else []
    report = Report([*calls, *lists], rounds)
    installed = environment.prepare()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="linkspan-bench-") as folder:
        work = Path(folder)
        if calls:
            measure_calls(report, work, installed, calls, options.against)
        if lists:
            measure_lists(report, work, installed, lists, options.against)
        if "start" in parts:
            report.waits += waits(work, 1 if options.quick else 3)
    print(report.to_markdown())
    kept = report.write(environment.ROOT / "bench" / "results")
    print(f"Took {time.monotonic() - began:.0f} s; every turn is in {kept.relative_to(environment.ROOT)}.")
    return 0


def measure_calls(
    report: Report,
    work: Path,
    installed: environment.Baselines,
    loads: Sequence[Load],
    against: Sequence[str] | None,
) -> None:
    """tools/call through one HTTP hop."""
    with ExitStack() as stack:
        product = stack.enter_context(upstream(work))
        config = environment.ROOT / "bench" / "tools.yaml"
        ours = stack.enter_context(linkspan(work, config, product.port))
        others = stack.enter_context(baselines(work, product.port, installed, None, against))
        for contestant in (ours, *others):
            report.memory[contestant.name] = contestant.running.memory()
            compare_whole(contestant)
            warm_up(contestant, contestant.call(), LAST_TICKET, 0.5)
        _play(report, play([ours, *others], product, loads, report.rounds, LAST_TICKET))


def measure_lists(
    report: Report,
    work: Path,
    installed: environment.Baselines,
    loads: Sequence[Load],
    against: Sequence[str] | None,
) -> None:
    """tools/list of 500 tools; the raw server answers Linkspan's own bytes."""
    config, definitions = work / "many.yaml", work / "definitions.json"
    config.write_text(with_tools(TOOLS))
    with ExitStack() as stack:
        product = stack.enter_context(upstream(work))
        ours = stack.enter_context(linkspan(work, config, product.port))
        _, answer = requests.ask(ours.running.port, ours.list())
        definitions.write_bytes(_tools(answer))
        others = stack.enter_context(baselines(work, product.port, installed, definitions, against))
        contestants: list[Contestant] = [ours, *others]
        for contestant in contestants:
            report.list_bytes[contestant.name] = _check_list(contestant)
        _play(report, play(contestants, product, loads, report.rounds, '"name"'))


def _tools(answer: bytes) -> bytes:
    """Cut the array of tools out of Linkspan's answer, byte for byte."""
    opening, closing = b'"result":{"tools":', b"}}"
    start = answer.index(opening) + len(opening)
    tools = answer[start : -len(closing)]
    if not answer.endswith(closing) or len(json.loads(tools)) != TOOLS:
        raise RuntimeError(f"{OURS} answered {answer[:200]!r} … {answer[-200:]!r}")
    return tools


def _check_list(contestant: Contestant) -> int:
    status, answer = requests.ask(contestant.running.port, contestant.list())
    tools = json.loads(answer)["result"]["tools"]
    if status != 200 or len({tool["name"] for tool in tools}) != TOOLS:
        raise RuntimeError(f"{contestant.name} answered {status} with {len(tools)} tools")
    return len(answer)


def _play(report: Report, turns: Iterable[Turn]) -> None:
    for turn in turns:
        report.turns.append(turn)
        print(
            f"{turn.server:24} {turn.method} {turn.concurrency:2}"
            f"  {turn.cpu_ms:8.3f} ms CPU {turn.per_second:8.0f}/s  p99 {turn.p99_ms:.1f} ms",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
