"""A shallow mirror for each repository and tenant: what many runs need is fetched once."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from linkspan.codex.git.layout import make, remove
from linkspan.codex.git.program import At, Git, GitFailed, Remote
from linkspan.errors import TooLarge
from linkspan.net.egress_proxy import megabytes

_POLL: Final = 0.05
_FROM_THE_FORGE: Final = ("remote", "unable to access", "Authentication", "could not read", "not found")
"""What stands in a failure that a new mirror would not mend."""


class Mirror:
    """One mirror. Everything is done under a lock that other processes respect too."""

    def __init__(
        self,
        git: Git,
        path: Path,
        *,
        max_bytes: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._git = git
        self.path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._sleep = sleep

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Have it alone. The lock goes with the process that holds it, however that ends."""
        make(self.path.parent)
        while (lock := self._lock()) is None:
            await self._sleep(_POLL)
        try:
            now = self._clock()
            os.utime(lock, (now, now))
            yield
        finally:
            os.close(lock)

    def remove_if_unused(self, since: float) -> bool:
        """Remove it, unless somebody has it or has had it since that time; tells whether it did."""
        lock = self._lock()
        if lock is None:
            return False
        try:
            if os.fstat(lock).st_mtime >= since:
                return False
            remove(self.path)
            self._lock_path.unlink()
            return True
        finally:
            os.close(lock)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _lock(self) -> int | None:
        """Take the lock and answer its descriptor; None when somebody else has it."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever removes a mirror removes its lock, too: one that was opened before is nobody's any more.
            if os.fstat(lock).st_ino == self._lock_path.stat().st_ino:
                return lock
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(lock)
        return None

    async def fetch(self, remote: Remote, branch: str, *, commit: str | None = None) -> str:
        """Bring the head of a branch, or one commit, here and answer its id; to be called under the lock.

        A mirror that has grown too large by what nobody needs any more is made anew. Raises `GitFailed` and
        `TooLarge`.
        """
        if (self.path / "HEAD").exists():
            await asyncio.to_thread(_clear_locks, self.path)
            try:
                found = await self._fetch(remote, branch, commit)
            except GitFailed as error:
                if any(word in error.words for word in _FROM_THE_FORGE):
                    raise
            else:
                if await asyncio.to_thread(size_of, self.path) <= self._max_bytes:
                    return found
        await asyncio.to_thread(remove, self.path)
        make(self.path)
        await self._git.run("init", "--quiet", "--bare", "--template=", at=At(self.path))
        found = await self._fetch(remote, branch, commit)
        size = await asyncio.to_thread(size_of, self.path)
        if size > self._max_bytes:
            await asyncio.to_thread(remove, self.path)
            raise TooLarge(f"The newest commit alone has {megabytes(size)}")
        return found

    def ref(self, branch: str) -> str:
        """Answer the name that a branch, or a commit, has here: one that no other can stand in the way of."""
        return f"refs/linkspan/{hashlib.sha256(branch.encode()).hexdigest()}"

    async def _fetch(self, remote: Remote, branch: str, commit: str | None) -> str:
        ref = self.ref(commit or branch)
        await self._git.run(
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-write-fetch-head",
            "--force",
            "--end-of-options",
            remote.url,
            f"+{commit or f'refs/heads/{branch}'}:{ref}",
            at=At(self.path),
            remote=remote,
        )
        return (await self._git.run("rev-parse", "--verify", ref, at=At(self.path))).decode().strip()


def _clear_locks(path: Path) -> None:
    """Take away what a git that was killed has left: nobody else is here, since we hold the lock."""
    for place in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/tmp_*"):
        for left in path.glob(place):
            left.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Answer how many bytes the files below a directory have; links are not followed."""
    total = 0
    waiting = [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
