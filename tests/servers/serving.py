"""Servers for tests: an ASGI application on a loopback port, and a program in a process group of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

LOOPBACK = "127.0.0.1"
_NOT_GIVEN = (20_000, 30_000)
"""Ports below those that Linux gives to connections, and to whoever asks for any (32768 and up)."""
_CHOICE = random.SystemRandom()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread and yield its base URL, without a slash at the end."""
    listener = socket.create_server((LOOPBACK, 0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started, what="uvicorn", seconds=10)
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Keep the other workers of a test run from doing the same at the same time: what takes fixed ports.

    Raises `TimeoutError` when another one does it for five minutes.
    """
    folder = Path(__file__).parents[2] / ".work"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        wait_until(lambda: _locked(lock.fileno()), what=f"another {name} to end", seconds=300)
        yield


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def running(
    command: Sequence[object],
    *,
    log: Path,
    ready: Callable[[], bool] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server program until the block ends; its output goes to `log`.

    `ready` is asked until it answers true. A program that ends before, or takes longer than `seconds`,
    raises `RuntimeError` with the end of its log.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        if ready is not None:

            def settled() -> bool:
                return process.poll() is not None or ready()

            try:
                wait_until(settled, what=str(command[0]), seconds=seconds)
            except TimeoutError as error:
                raise RuntimeError(f"{error}; its log ends:\n{tail(log)}") from error
            if process.poll() is not None:
                raise RuntimeError(
                    f"{command[0]} ended with {process.returncode}; its log ends:\n{tail(log)}"
                )
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[Any], *, seconds: float = 5) -> None:
    """End a process that was started as the leader of its group, and everything in that group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition: Callable[[], object], *, what: str, seconds: float) -> None:
    """Ask until the condition holds; raises `TimeoutError` naming `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {seconds:g} s")
        time.sleep(0.01)


def accepts(port: int) -> bool:
    """Tell whether something listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def free_port() -> int:
    """Answer a loopback port that nothing listens on.

    It is one of those that the system gives to nobody by itself: one that it gave away a moment ago may be
    somebody's connection by the time that it is listened on.
    """
    for _ in range(100):
        port = _CHOICE.randrange(*_NOT_GIVEN)
        with contextlib.suppress(OSError), socket.create_server((LOOPBACK, port)):
            return port
    raise RuntimeError("no port is free")


def tail(log: Path, lines: int = 20) -> str:
    """Answer the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
