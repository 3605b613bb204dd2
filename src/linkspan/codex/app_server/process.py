"""A program of our own for one run: its pipes, the end of what it complained about, and its whole family."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

LONGEST_LINE: Final = 64 * 2**20
"""Bytes. One line carries whole diffs and pictures."""
_STDERR_LINES: Final = 200
_GRACE: Final = 2.0
"""Seconds that a process whose input has ended gets to write its files to an end."""
_PROC: Final = Path("/proc")
STAY: Final = "RUN_STAY"
"""The name in the environment of all that belongs to one stay of one worker in a run's folder."""
_TO_KNOW: Final = 5.0
"""Seconds after which nobody knows whose the folder is."""
Holds = Callable[[], Awaitable[bool]]


class Process:
    """A child process in a session of its own. Use `start`, and always `stop` it."""

    def __init__(
        self,
        child: asyncio.subprocess.Process,
        pipes: asyncio.SubprocessTransport,
        folder: Path,
        stay: str | None,
        holds: Holds,
    ) -> None:
        self._child = child
        self._pipes = pipes
        self._folder = folder
        self._stay = stay
        self._holds = holds
        self._complaints: deque[str] = deque(maxlen=_STDERR_LINES)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, folder: Path, holds: Holds
    ) -> Process:
        """Start a program with that environment and no other.

        `folder` is where what it starts may be found at work, `STAY` of the environment by what it is known
        for its own; `holds` tells whether all that is at work there is.

        Raises `OSError` when it cannot be executed.
        """
        # As `asyncio.create_subprocess_exec` does it, which does not hand out what closes the pipes.
        loop = asyncio.get_running_loop()
        pipes, protocol = await loop.subprocess_exec(
            lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=LONGEST_LINE, loop=loop),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        return cls(asyncio.subprocess.Process(pipes, protocol, loop), pipes, folder, env.get(STAY), holds)

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
        killed, and so are commands that made a session of their own or lost their parent. In a folder that
        another worker has by now, nothing is ended that does not bear the mark of this stay.
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
            await self._end_leftovers()
            await asyncio.shield(self._settle())

    async def _end_leftovers(self) -> None:
        # Listed first: whoever takes the run after the question ends what was there before it begins.
        left = list(at_work_in(self._folder))
        end_all([pid for pid in left if _bears(pid, self._stay)])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TO_KNOW):
                if left and await self._holds():
                    end_all(left)

    async def _settle(self) -> None:
        # Whoever took the pipes along, and is gone a moment later or not ours to end, is not waited for.
        self._pipes.close()
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


def _bears(pid: int, stay: str | None) -> bool:
    """Tell whether a process was started with that mark in its environment."""
    if stay is None:
        return False
    try:
        return f"{STAY}={stay}".encode() in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def end_all(pids: Iterable[int]) -> None:
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
