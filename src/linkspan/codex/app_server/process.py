"""A program of our own for one run: its pipes, the end of what it complained about, and its whole family."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

LONGEST_LINE: Final = 64 * 2**20
"""Bytes. One line carries whole diffs and pictures."""
_STDERR_LINES: Final = 200
_GRACE: Final = 2.0
"""Seconds that a process whose input has ended gets to write its files to an end."""
_PROC: Final = Path("/proc")


class Process:
    """A child process in a session of its own. Use `start`, and always `stop` it."""

    def __init__(self, child: asyncio.subprocess.Process, folder: Path) -> None:
        self._child = child
        self._folder = folder
        self._complaints: deque[str] = deque(maxlen=_STDERR_LINES)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, folder: Path
    ) -> Process:
        """Start a program with that environment and no other. `folder` is where it may be found at work.

        Raises `OSError` when it cannot be executed.
        """
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        return cls(child, folder)

    @property
    def pid(self) -> int:
        """Its id, which is that of its session and process group too."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._child.returncode

    @property
    def complaints(self) -> str:
        """The last lines that it wrote to its standard error."""
        return "\n".join(self._complaints)

    async def read_line(self) -> bytes:
        """Answer the next line it says; empty at the end. Raises `ValueError` for one that has no end."""
        assert self._child.stdout is not None  # noqa: S101
        return await self._child.stdout.readline()

    async def write(self, line: bytes) -> None:
        """Write to it; raises `ConnectionError` when it reads no more."""
        assert self._child.stdin is not None  # noqa: S101
        self._child.stdin.write(line)
        await self._child.stdin.drain()

    async def stop(self) -> None:
        """End it and everything that it started, wherever that went. Comes back when all are gone.

        Its input ends first, so that it writes its files to an end; what has not gone after two seconds is
        killed, and so are commands that made a session of their own or lost their parent.
        """
        try:
            family = set(descendants(self.pid))
            with contextlib.suppress(OSError):
                assert self._child.stdin is not None  # noqa: S101
                self._child.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self._child.wait()
        finally:
            family |= set(descendants(self.pid))
            _kill_group(self.pid)
            end_all(family)
            end_all(at_work_in(self._folder))
            await asyncio.shield(self._settle())

    async def _settle(self) -> None:
        await self._child.wait()
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening

    async def _listen(self) -> None:
        assert self._child.stderr is not None  # noqa: S101
        while True:
            try:
                line = await self._child.stderr.readline()
            except ValueError:
                continue
            if not line:
                return
            self._complaints.append(line.decode(errors="replace").rstrip()[:2000])


def descendants(root: int) -> Iterator[int]:
    """Answer the ids of a process's children, theirs and so on, as they are now (Linux; else none)."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, ())


def at_work_in(folder: Path) -> Iterator[int]:
    """Answer the ids of processes whose working directory is in that folder: leftovers of a run."""
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError):
            if pid != os.getpid() and (_PROC / str(pid) / "cwd").readlink().is_relative_to(folder):
                yield pid


def end_all(pids: Iterator[int] | set[int]) -> None:
    """Kill them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _pids() -> list[int]:
    if not _PROC.is_dir():
        return []
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208
