"""Standard input as lines, standard output as the one place messages go. Threads, so that neither blocks."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

MAX_LINE: Final = 16 * 2**20
"""A longer message is dropped; nothing that large is asked of us."""
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the client said in `initialize`."""

    version: str = "2025-03-26"
    client: str | None = None
    capabilities: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, params: dict[str, Any], version: str) -> Handshake:
        """Read the params of `initialize`."""
        info, capabilities = params.get("clientInfo"), params.get("capabilities")
        name = info.get("name") if isinstance(info, dict) else None
        number = info.get("version") if isinstance(info, dict) else None
        client = f"{name}/{number}"[:200] if isinstance(name, str) else None
        return cls(version, client, capabilities if isinstance(capabilities, dict) else {})


class Lines:
    """Lines of a file descriptor, handed to one reader after the other without losing any."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._kept: list[bytes | None] = []
        self._reader: Callable[[bytes | None], None] | None = None

    def keep(self, line: bytes | None) -> None:
        """Leave a line to the next reader."""
        with self._lock:
            if self._reader is None:
                self._kept.append(line)
                return
        self._reader(line)

    def kept(self) -> list[bytes | None]:
        """Take back all kept lines."""
        with self._lock:
            kept, self._kept = self._kept, []
            return kept

    def attach(self, reader: Callable[[bytes | None], None]) -> None:
        """Give all kept lines, and from now on every line, to `reader`. None is the end."""
        with self._lock:
            kept, self._kept = self._kept, []
            for line in kept:
                reader(line)
            self._reader = reader

    def run(self, first: Callable[[bytes | None], None]) -> None:
        """Read until the end, giving lines to `first` until another reader is attached."""
        begun: list[bytes] = []
        size = 0
        while True:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except OSError:
                chunk = b""
            *ends, rest = chunk.split(b"\n") if chunk else [b"", b""]
            for end in ends:
                size += len(end)
                line = b"".join((*begun, end)) if size <= MAX_LINE else b""
                begun, size = [], 0
                if line.strip():
                    self._give(line, first)
            size += len(rest)
            begun = [*begun, rest] if size <= MAX_LINE else []
            if not chunk:
                self._give(None, first)
                return

    def _give(self, line: bytes | None, first: Callable[[bytes | None], None]) -> None:
        with self._lock:
            reader = self._reader
        (reader or first)(line)


class Output:
    """Messages on their way out, one line each, written in order by a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    @classmethod
    def claim_stdout(cls) -> Output:
        """Take standard output for the protocol; everything else that is printed goes to standard error."""
        descriptor = os.dup(1)
        try:
            os.dup2(2, 1)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
        sys.stdout = sys.stderr
        return cls(descriptor)

    def write(self, message: bytes) -> None:
        """Send a message; it holds no line break (JSON escapes them)."""
        self._waiting.put(message + b"\n")

    def close(self, timeout: float = 10.0) -> None:
        """Wait until everything was written."""
        self._waiting.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            view = memoryview(message)
            with contextlib.suppress(OSError):
                while view:
                    view = view[os.write(self._descriptor, view) :]
