"""What a commit holds, whether it may be put on a disk, and putting it there without running any of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkspan.codex.git.layout import RunPlace
from linkspan.codex.git.program import At, Git, GitFailed
from linkspan.errors import Conflict, TooLarge
from linkspan.net.egress_proxy import megabytes

_LINK: Final = "120000"
SUBMODULE: Final = "160000"
RULES: Final = "AGENTS.md"
_LONGEST_ENTRY: Final = 4_400
_OWN_CONFIG: Final = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
REMEDY: Final = "The operator raises LINKSPAN_MAX_CHECKOUT_BYTES or LINKSPAN_MAX_CHECKOUT_FILES."


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large what a run works on may be."""

    checkout_bytes: int = 1_000_000_000
    checkout_files: int = 100_000
    file_bytes: int = 50_000_000
    """Of one file that a run changed."""
    diff_bytes: int = 2_000_000
    house_rules_bytes: int = 32_768
    """As much of AGENTS.md as Codex itself takes by default, and of any other file that is read for it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, link or submodule of a commit."""

    mode: str
    id: str
    size: int
    path: bytes

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.mode.startswith("100")

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode == _LINK


async def entries_of(git: Git, git_dir: Path, commit: str, name: str, bounds: Bounds) -> list[Entry]:
    """Answer everything in a commit, submodules included. Raises `TooLarge` before anything is written."""
    try:
        told = await git.run(
            *("ls-tree", "-r", "-l", "-z", "--full-tree", commit),
            at=At(git_dir),
            most=bounds.checkout_files * _LONGEST_ENTRY,
        )
    except TooLarge as error:
        raise _too_many(name, bounds) from error
    found = []
    for line in told.split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        mode, _, id_, size = facts.decode().split()
        found.append(Entry(mode, id_, 0 if size == "-" else int(size), path))
    if len(found) > bounds.checkout_files:
        raise _too_many(name, bounds)
    total = sum(entry.size for entry in found)
    if total > bounds.checkout_bytes:
        largest = max(found, key=lambda entry: entry.size)
        raise TooLarge(
            f"{name} has {megabytes(total)} of files, more than the {megabytes(bounds.checkout_bytes)} that a"
            f" run may have on the disk; the largest is {shown(largest.path)} with {megabytes(largest.size)}",
            hint=REMEDY,
        )
    return found


def _too_many(name: str, bounds: Bounds) -> TooLarge:
    return TooLarge(
        f"{name} has more than the {bounds.checkout_files:,} files that a run may have on the disk",
        hint=REMEDY,
    )


async def put(git: Git, place: RunPlace, commit: str, entries: list[Entry]) -> None:
    """Write a commit's files into the checkout, with an index of ours.

    Submodules stay empty for now. A link that leads out of the tree is left out: the commit keeps it, and
    nothing that follows links can be led astray by it.
    """
    place.checkout.mkdir(mode=0o700)
    at = At(place.git, place.checkout)
    await git.run("read-tree", "--no-sparse-checkout", commit, at=at)
    await leave(git, place, [entry.path for entry in entries if entry.mode == SUBMODULE])
    await git.run("checkout-index", "--all", "--force", "--quiet", "--index", at=at)
    links = [entry.path for entry in entries if entry.is_link]
    await leave(git, place, await asyncio.to_thread(drop_links_out, place.checkout, links))


async def put_patch(git: Git, place: RunPlace, patch: bytes) -> None:
    """Change the checkout as a patch of ours says, and nothing outside of it. Raises `Conflict`.

    The index stays as it is, so that what the patch changes counts as changed. git writes nothing behind a
    link, nor outside of the tree.
    """
    try:
        await git.run(*("apply", "--whitespace=nowarn", "-"), at=At(place.git, place.checkout), stdin=patch)
    except GitFailed as error:
        raise Conflict("What was changed before does not fit onto the commit that it was made of") from error


async def leave(git: Git, place: RunPlace, paths: list[bytes]) -> None:
    """Let git take these paths for unchanged, whatever is or is not there."""
    if paths:
        await git.run(
            *("update-index", "--skip-worktree", "-z", "--stdin"),
            at=At(place.git, place.checkout),
            stdin=b"\0".join(paths) + b"\0",
        )


def drop_links_out(checkout: Path, links: list[bytes]) -> list[bytes]:
    """Remove every link that leads out of the checkout, also by way of others; answer which."""
    root = os.fsencode(checkout.resolve())
    out = []
    for path in links:
        link = Path(os.fsdecode(root + b"/" + path))
        target = os.fsencode(os.path.realpath(link))
        if link.is_symlink() and target != root and not target.startswith(root + b"/"):
            out.append(path)
    for path in out:
        Path(os.fsdecode(root + b"/" + path)).unlink()
    return out


def copy_for_codex(place: RunPlace, commit: str, branch: str) -> None:
    """Give the checkout a repository of its own to look at. We never read it again."""
    copy = place.checkout / ".git"
    shutil.copytree(place.git, copy, symlinks=True, ignore=shutil.ignore_patterns("config", "*.lock"))
    (copy / "config").write_text(_OWN_CONFIG)
    (copy / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    head = copy / "refs" / "heads" / branch
    head.parent.mkdir(parents=True, exist_ok=True)
    head.write_text(f"{commit}\n")


async def house_rules(git: Git, git_dir: Path, entries: list[Entry], bounds: Bounds) -> str | None:
    """Answer AGENTS.md at the top of a commit."""
    return await text_of(git, git_dir, entries, RULES, bounds)


async def text_of(git: Git, git_dir: Path, entries: list[Entry], path: str, bounds: Bounds) -> str | None:
    """Answer a file of a commit, from the commit and not from the disk; a link is none, and so is nothing."""
    wanted = path.encode()
    entry = next((entry for entry in entries if entry.path == wanted and entry.is_file), None)
    if entry is None:
        return None
    told = await git.run(
        *("cat-file", "blob", entry.id), at=At(git_dir), most=bounds.house_rules_bytes, cut=True
    )
    text = told.decode(errors="replace").strip()
    if entry.size > bounds.house_rules_bytes:
        text = f"{text.rpartition(chr(10))[0] or text}\n\n({path} goes on; only its beginning is here.)"
    return text or None


def shown(path: bytes) -> str:
    """Answer a path for people: whatever is in it, it is one short word."""
    text = path.decode(errors="backslashreplace")
    text = "".join(mark if mark.isprintable() else "?" for mark in text)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-50:]}"
