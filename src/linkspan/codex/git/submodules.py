"""Repositories inside of one: where a commit says that they are, and their files put where they belong.

Only for who asks, and only those at the forge which the account was linked for: `.gitmodules` is written by
strangers, and a credential goes nowhere else. What they hold is looked at by Codex and tested with, and is
never part of the change: a commit names one commit of each, and goes on naming it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from linkspan.codex.git.layout import RunPlace
from linkspan.codex.git.program import At, Git, GitFailed
from linkspan.codex.git.tree import SUBMODULE, Entry, drop_links_out, shown

_FILE: Final = b".gitmodules"
_LONGEST: Final = 100_000
MOST: Final = 50
_SSH: Final = re.compile(r"(?:ssh://)?git@(?P<host>[A-Za-z0-9.-]+)(?::|/)(?P<path>[^:].*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Submodule:
    """One commit of another repository, at a path."""

    path: bytes
    url: str
    commit: str


async def submodules_of(
    git: Git, git_dir: Path, entries: list[Entry], clone_url: str
) -> tuple[list[Submodule], list[str]]:
    """Answer the submodules of a commit at the forge of `clone_url`, and sentences for those left out."""
    there = [entry for entry in entries if entry.mode == SUBMODULE]
    if not there:
        return [], []
    urls = await _urls(git, git_dir, entries)
    found: list[Submodule] = []
    left_out: list[str] = []
    for entry in there:
        said = urls.get(entry.path)
        url = None if said is None else _address(said, clone_url)
        if said is None:
            left_out.append(f"The submodule {shown(entry.path)} has no address in .gitmodules.")
        elif url is None:
            left_out.append(f"The submodule {shown(entry.path)} is not at the forge of this repository.")
        elif len(found) == MOST:
            left_out.append(f"The submodule {shown(entry.path)} is one of more than {MOST}.")
        else:
            found.append(Submodule(entry.path, url, entry.id))
    return found, left_out


async def put_submodule(
    git: Git, git_dir: Path, place: RunPlace, submodule: Submodule, entries: list[Entry]
) -> None:
    """Write a submodule's files into the checkout, from the repository that has its commit."""
    root = os.fsencode(place.checkout)
    path = Path(os.fsdecode(root + b"/" + submodule.path))
    await asyncio.to_thread(path.mkdir, mode=0o700, parents=True, exist_ok=True)
    index = place.git / "index.submodule"
    at = At(git_dir, path, index)
    try:
        await git.run("read-tree", "--no-sparse-checkout", submodule.commit, at=at)
        await git.run("checkout-index", "--all", "--force", "--quiet", at=at)
    finally:
        await asyncio.to_thread(index.unlink, missing_ok=True)
    links = [submodule.path + b"/" + entry.path for entry in entries if entry.is_link]
    await asyncio.to_thread(drop_links_out, place.checkout, links)


async def _urls(git: Git, git_dir: Path, entries: list[Entry]) -> Mapping[bytes, str]:
    """Answer the address of each path, as the commit's own file says: it is read, not obeyed."""
    file = next((entry for entry in entries if entry.path == _FILE and entry.mode.startswith("100")), None)
    if file is None:
        return {}
    at = At(git_dir)
    text = await git.run("cat-file", "blob", file.id, at=at, most=_LONGEST, cut=True)
    try:
        listed = await git.run(
            "config", "--file", "-", "--no-includes", "--null", "--list", at=at, stdin=text
        )
    except GitFailed:
        return {}
    said: dict[bytes, dict[bytes, bytes]] = {}
    for pair in listed.split(b"\0"):
        key, _, value = pair.partition(b"\n")
        section, _, rest = key.partition(b".")
        name, _, word = rest.rpartition(b".")
        if section == b"submodule" and name:
            said.setdefault(name, {})[word] = value
    return {
        each[b"path"]: each[b"url"].decode(errors="replace")
        for each in said.values()
        if b"path" in each and b"url" in each
    }


def _address(said: str, clone_url: str) -> str | None:
    """Answer where a submodule is cloned from; None for what is not at the same forge."""
    base = urlsplit(clone_url)
    if said.startswith(("./", "../")):  # relative to the repository, as git has it
        url = clone_url.rstrip("/")
        while said.startswith(("./", "../")):
            if said.startswith("../"):
                url = url.rpartition("/")[0]
            said = said.partition("/")[2]
        said = f"{url}/{said}"
    elif (ssh := _SSH.fullmatch(said)) is not None and ssh["host"].lower() == base.hostname:
        said = f"{base.scheme}://{base.netloc}/{ssh['path']}"
    try:
        parts = urlsplit(said)
        same = (parts.scheme, parts.hostname, parts.port) == (base.scheme, base.hostname, base.port)
    except ValueError:
        return None
    plain = not any(mark in said for mark in "?#@\\ \t\r\n\0") and parts.path.strip("/")
    return said if same and plain and ".." not in parts.path.split("/") else None
