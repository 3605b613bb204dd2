"""Nothing that a run leaves behind holds a secret: logs, databases, backups, pages, homes, whatever it is.

Every secret that tests give to Linkspan has the word `canary` in it; what Linkspan makes by itself (tokens,
webhook secrets) has a form that cannot be anything else. When a run ends, all files below its temporary
directory are read, byte by byte, and a single find fails the run, however well its tests went. What is gone
before that (PostgreSQL's files, Codex's homes) is read when it goes. `tests/left_behind.py` is the part of it
that pytest runs.
"""

from __future__ import annotations

import base64
import mmap
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

WORD: Final = "canary"


def _disguises(word: bytes) -> Iterator[bytes]:
    """Answer the word as it is and as it looks inside of something encoded: hex, and base64 at each place."""
    yield word
    yield word.hex().encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + word)
        first = (before * 8 + 5) // 6
        yield text[first : (before + len(word)) * 8 // 6]


_OLDER: Final = (b"token-acme", b"token-globex")
"""What the accounts of the database in `tests/releases` were linked with; the tracker takes them too."""
WORDS: Final = re.compile(b"|".join(map(re.escape, (*_disguises(WORD.encode()), *_OLDER))))
TOKENS: Final = re.compile(
    rb"lsk_[a-z]{3,16}_[a-z0-9]{12}_[A-Za-z0-9_-]{43}"
    rb"|whsec_[A-Za-z0-9+/]{32}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
ANY: Final = re.compile(rb"|".join((WORDS.pattern, TOKENS.pattern)))

GIVEN: Final = {
    "*.yaml": "A tools.yaml is the operator's: a test may write a client's secret into it, as people do.",
    "*.pem": "The key of a server that a test runs itself.",
    "*/newcomer*/linkspan/*": "A clone of this repository, whose tests have the word in them.",
}
"""Files that may hold a secret, because it was put there by whom it belongs to."""
SHOWN: Final = {
    "*/demo.log": "The demo prints the tokens of its sample tenants, for pasting.",
}
"""Files that may hold tokens of ours, which were shown there once, but no secret that was given."""


@dataclass(frozen=True)
class Find:
    """A secret where none may be."""

    file: Path
    offset: int
    around: str

    def __str__(self) -> str:
        return f"{self.file}: at byte {self.offset}: …{self.around}…"


def finds(folder: Path, pattern: re.Pattern[bytes] = ANY) -> Iterator[Find]:
    """Read every file below a folder; answer the first find in each."""
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file() or _is_one_of(file, GIVEN):
            continue
        if found := _find(file, WORDS if _is_one_of(file, SHOWN) else pattern):
            yield found


def _is_one_of(file: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatch(str(file), pattern) for pattern in patterns)


def _find(file: Path, pattern: re.Pattern[bytes]) -> Find | None:
    with file.open("rb") as opened:
        if not file.stat().st_size:
            return None
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            match = pattern.search(data)
            if match is None:
                return None
            around = data[max(0, match.start() - 60) : match.start() + 12]
            return Find(file, match.start(), around.decode("latin-1").encode("unicode_escape").decode())


def nothing_in(text: str | bytes, where: str) -> None:
    """Fail if what was answered or printed holds a secret that was given. New tokens are shown, once."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    if match := WORDS.search(data):
        around = data[max(0, match.start() - 100) : match.end()].decode(errors="replace")
        raise AssertionError(f"a secret is in {where}: …{around}…")


def gone(folder: Path, pattern: re.Pattern[bytes] = ANY) -> None:
    """Fail if a folder that is about to be removed holds a secret."""
    found = "\n".join(map(str, finds(folder, pattern)))
    if found:
        raise AssertionError(f"secrets were left behind:\n{found}")


class Watched:
    """An ASGI application none of whose answers may hold a secret that was given."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and read what is answered."""
        kept = b""

        async def watched(message: Any) -> None:
            nonlocal kept
            if message["type"] == "http.response.start":
                nothing_in(repr(message["headers"]), f"the headers for {scope['path']}")
            elif message["type"] == "http.response.body":
                kept = kept[-100:] + message.get("body", b"")
                nothing_in(kept, f"the answer of {scope['path']}")
            await send(message)

        await self._app(scope, receive, watched)
