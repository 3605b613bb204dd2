"""Starting servers, and reading from /proc what they cost (Linux)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
WAIT = 60.0
"""Seconds a server may take to listen."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens on `port`; it took `seconds` from its start until it did."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float

    def cpu(self) -> float:
        """Seconds of user and system time of the process and its descendants so far."""
        return sum(cpu_of(pid) for pid in _tree(self.process.pid))

    def memory(self) -> tuple[float, float]:
        """PSS and RSS in MB of the process and its descendants."""
        pairs = [_memory(pid) for pid in _tree(self.process.pid)]
        return sum(pss for pss, _ in pairs), sum(rss for _, rss in pairs)


@contextmanager
def serving(
    command: Sequence[str | Path], port: int, *, cwd: Path, environ: Mapping[str, str], log: Path
) -> Iterator[Running]:
    """Start a server in a process group of its own, wait until it listens, and stop it afterwards."""
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(process, port, log)
        yield Running(process, port, time.perf_counter() - started)
    finally:
        _stop(process)


def free_port() -> int:
    """Answer a TCP port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start; its log:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.005)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(5)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _tree(root: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += parents.get(pid, [])


def cpu_of(pid: int) -> float:
    """Answer the seconds of user and system time of one process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int) -> tuple[float, float]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return sizes["Pss"], sizes["Rss"]
