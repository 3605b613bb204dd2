"""`python -m bench watched`: what a call costs more with metrics, traces, and a line in the log for each."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench import environment
from bench.contestants import OURS, linkspan, upstream
from bench.processes import free_port
from bench.rounds import LAST_TICKET, Load, Turn, compare_whole, median, play, ratio, warm_up


class _Sink(BaseHTTPRequestHandler):
    """Takes what a collector takes, and keeps nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def sink() -> Iterator[int]:
    """Run a collector in this process; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def main(words: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench watched", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a turn takes")
    options = parser.parse_args(words)
    config = environment.ROOT / "bench" / "tools.yaml"
    loads = [Load("tools/call", callers, options.seconds) for callers in (1, 16)]
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory(prefix="linkspan-bench-") as folder, ExitStack() as stack:
        work, collector = Path(folder), stack.enter_context(sink())
        product = stack.enter_context(upstream(work))
        metrics = ("--metrics", "{port}")
        traces = ("--traces", f"http://127.0.0.1:{collector}")
        forms = {
            OURS: (),
            "with metrics": metrics,
            "with metrics and traces": (*metrics, *traces),
            "with a tenth of the traces": (*metrics, *traces),
            "with a line a call": ("--log-calls", "all"),
            "with a line a call as JSON": ("--log-calls", "all", "--log", "json"),
        }
        servers = []
        for name, given in forms.items():
            said = [word.replace("{port}", str(free_port())) for word in given]
            os.environ["LINKSPAN_TRACES_SHARE"] = "0.1" if "tenth" in name else "1"
            servers.append(stack.enter_context(linkspan(work, config, product.port, name, said)))
        for server in servers:
            compare_whole(server)
            warm_up(server, server.call(), LAST_TICKET, 0.5)
        for turn in play(servers, product, loads, options.rounds, LAST_TICKET):
            turns.append(turn)
            print(f"{turn.server:28} {turn.concurrency:2}  {turn.cpu_ms:7.3f} ms CPU", file=sys.stderr)
    for load in loads:
        print(
            f"\n### tools/call, {load.concurrency} callers ({options.rounds} rounds of {load.seconds:g} s)\n"
        )
        print("| server | CPU ms/call | of the first | calls/s | p50 ms |\n|---|---|---|---|---|")
        for name in forms:
            cpu, of = median(turns, name, load, "cpu_ms"), ratio(turns, name, OURS, load, "cpu_ms")
            rate, p50 = median(turns, name, load, "per_second"), median(turns, name, load, "p50_ms")
            print(f"| {name} | {cpu:.3f} | {of:.2f} | {rate:.0f} | {p50:.2f} |")
    return 0
