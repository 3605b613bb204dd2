"""What a run has changed, by git's own account, and the commit of it.

The index is ours and lies outside of the checkout. Changed files are listed, measured and only then read; git
looks into no submodule, and runs no filter or diff driver, whatever `.gitattributes` says. The diff is made
between two trees, in a repository without a working tree, so that no attribute can hide a change.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from linkspan.codex.git.layout import Note, RunPlace
from linkspan.codex.git.lfs import Known, Looked, look
from linkspan.codex.git.program import At, Git, GitFailed
from linkspan.codex.git.refusals import not_what_was_shown
from linkspan.codex.git.tree import Bounds, shown
from linkspan.codex.places import Author, Change, ChangedFile
from linkspan.errors import Conflict, InvalidArgument, TooLarge
from linkspan.net.egress_proxy import megabytes

_STATUS: Final = {"A": "added", "M": "modified", "T": "modified", "D": "deleted", "R": "renamed"}
_NEXT_FILE: Final = b"\ndiff --git "
_NOT_IN_A_NAME: Final = "<>\n\r\0"


async def tree_of(git: Git, place: RunPlace, note: Note, bounds: Bounds) -> tuple[str, Looked]:
    """Answer the tree that the checkout is now, and what of LFS is otherwise in it.

    Raises `TooLarge` and `InvalidArgument`.
    """
    index = place.git / "index.run"
    await asyncio.to_thread(shutil.copy2, place.git / "index", index)
    at = At(place.git, place.checkout, index)
    tracked = await git.run("diff-files", "--name-only", "-z", "--ignore-submodules=all", at=at)
    untracked = await git.run("ls-files", "--others", "--exclude-standard", "-z", at=at)
    # A name that ends with a slash is a repository inside of this one: what is in it is not this one's.
    new = [path for path in untracked.split(b"\0") if path and not path.endswith(b"/")]
    lfs = await asyncio.to_thread(look, place.checkout, Known.of(note.lfs), new)
    paths = [path for path in (*tracked.split(b"\0"), *new) if path and path not in lfs.copies]
    gone = await asyncio.to_thread(_measure, place.checkout, paths, bounds)
    try:
        await _update(git, at, gone | set(lfs.gone), "--force-remove")
        await _update(git, at, [path for path in paths if path not in gone], "--add", "--remove", "--replace")
        copies = b"".join(
            f"{pointer.mode} {pointer.blob}\t".encode() + path + b"\0" for path, pointer in lfs.copies.items()
        )
        await git.run("update-index", "-z", "--index-info", at=at, stdin=copies)
        return (await git.run("write-tree", at=at)).decode().strip(), lfs
    except GitFailed as error:
        raise InvalidArgument(
            "git does not take one of the files that the run made or changed", hint="Nothing was committed."
        ) from error


async def _update(git: Git, at: At, paths: set[bytes] | list[bytes], *how: str) -> None:
    if paths:
        listed = b"\0".join(sorted(paths)) + b"\0"
        await git.run("update-index", *how, "-z", "--stdin", at=at, stdin=listed)


def _measure(checkout: Path, paths: list[bytes], bounds: Bounds) -> set[bytes]:
    """Answer which paths are no longer files; what is too large is said before anything is read of it."""
    if len(paths) > bounds.checkout_files:
        raise TooLarge(f"The run changed {len(paths):,} files; at most {bounds.checkout_files:,} are taken")
    gone, total = set(), 0
    behind_links: dict[bytes, bool] = {}
    for path in paths:
        if _is_behind_link(checkout, path.rpartition(b"/")[0], behind_links):
            gone.add(path)
            continue
        try:
            found = os.lstat(os.fsencode(checkout) + b"/" + path)
        except OSError:
            gone.add(path)
            continue
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            gone.add(path)
            continue
        total += found.st_size
        if found.st_size > bounds.file_bytes:
            raise TooLarge(
                f"{shown(path)}, which the run made or changed, has {megabytes(found.st_size)}; a file that"
                f" is published may have {megabytes(bounds.file_bytes)}",
                hint="Such a file belongs into .gitignore, or not into the repository.",
            )
    if total > bounds.checkout_bytes:
        raise TooLarge(f"The files that the run changed have {megabytes(total)} together")
    return gone


def _is_behind_link(checkout: Path, directory: bytes, known: dict[bytes, bool]) -> bool:
    """Tell whether a directory below the checkout is, or lies behind, a link: then it is another's."""
    if not directory:
        return False
    if directory not in known:
        known[directory] = (
            _is_behind_link(checkout, directory.rpartition(b"/")[0], known)
            or (checkout / os.fsdecode(directory)).is_symlink()
        )
    return known[directory]


async def change_of(git: Git, place: RunPlace, note: Note, bounds: Bounds) -> Change:
    """Answer what is different from the base commit."""
    tree, lfs = await tree_of(git, place, note, bounds)
    compared = ("diff-tree", "-r", "-M", "--no-commit-id", "--no-ext-diff", "--no-textconv", "--no-color")
    between = (note.base_commit, tree)
    raw = await git.run(*compared, "--raw", "-z", *between, at=At(place.git))
    counted = await git.run(*compared, "--numstat", "-z", *between, at=At(place.git))
    patch = await git.run(
        *(*compared, "--patch", "--binary", "--full-index", "--ignore-submodules=all", *between),
        at=At(place.git),
        most=bounds.diff_bytes,
        cut=True,
    )
    files = _files(raw, counted)
    truncated = len(patch) == bounds.diff_bytes
    if truncated:
        patch = patch[: patch.rfind(_NEXT_FILE) + 1]
    return Change(patch.decode(errors="replace"), files, tree, truncated, lfs.left_out)


def _files(raw: bytes, counted: bytes) -> tuple[ChangedFile, ...]:
    """Read `--raw -z` (`:modes ids STATUS`, then a path or two) and `--numstat -z`."""
    counts = _counts(counted)
    words = iter(raw.split(b"\0"))
    found = []
    for facts in words:
        if not facts.startswith(b":"):
            continue
        letter = facts.split()[-1][:1].decode()
        before = next(words)
        path = next(words) if letter in "RC" else before
        additions, deletions = counts.get(path, (0, 0))
        previous = _text(before) if letter == "R" else None
        found.append(
            ChangedFile(_text(path), _STATUS.get(letter, "modified"), additions, deletions, previous)
        )
    return tuple(found)


def _counts(counted: bytes) -> dict[bytes, tuple[int, int]]:
    words = iter(counted.split(b"\0"))
    found = {}
    for line in words:
        if not line:
            continue
        added, deleted, path = line.split(b"\t", 2)
        if not path:  # renamed: the two names follow
            next(words)
            path = next(words)
        found[path] = (0, 0) if added == b"-" else (int(added), int(deleted))
    return found


def _text(path: bytes) -> str:
    return path.decode(errors="backslashreplace")


async def commit_of(
    git: Git,
    place: RunPlace,
    note: Note,
    bounds: Bounds,
    *,
    author: Author,
    message: str,
    branch: str,
    only: str,
) -> str:
    """Commit what changed onto the run's branch: the same tree gives the same commit, whenever it is made.

    `only` is the tree that may be committed, and no other is.
    """
    for word in (author.name, author.email):
        if not word.strip() or any(mark in word for mark in _NOT_IN_A_NAME):
            raise InvalidArgument(
                "The author of a commit needs a name and an address, without < and > and on one line",
                hint="Look at the author in the recipe's settings.",
            )
    tree, _lfs = await tree_of(git, place, note, bounds)
    if tree != only:
        raise not_what_was_shown(only, tree)
    base_tree = await git.run("rev-parse", f"{note.base_commit}^{{tree}}", at=At(place.git))
    if tree == base_tree.decode().strip():
        raise Conflict("Nothing was changed, so there is nothing to commit")
    when = f"@{note.made} +0000"
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", author.name), ("EMAIL", author.email), ("DATE", when))
    }
    text = message.strip().replace("\0", "") + "\n"
    made = await git.run(
        *("commit-tree", "-p", note.base_commit, "-F", "-", tree),
        at=At(place.git),
        stdin=text.encode(errors="replace"),
        also=who,
    )
    commit = made.decode().strip()
    await git.run("update-ref", f"refs/heads/{branch}", commit, at=At(place.git))
    return commit
