"""Files of Git LFS: a commit holds pointers, and who asks gets what they point to, put where they belong.

No filter driver and no program of others has a part in it. What a run does to such a file is not uploaded, so
it is no part of the change, which says so; that a file is gone, or is another's copy, needs no upload.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from linkspan.codex.git.layout import RunPlace, remove
from linkspan.codex.git.lfs_client import AT_ONCE, Action, LfsClient, LfsObject
from linkspan.codex.git.program import At, Git
from linkspan.codex.git.tree import REMEDY, Entry, shown
from linkspan.errors import LinkspanError
from linkspan.net.egress_proxy import megabytes

_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([1-9][0-9]{0,17})\n?"
)
_SIZES: Final = range(120, 161)
"""Bytes of a pointer without extensions."""
_EXECUTABLE: Final = "100755"
_TOGETHER: Final = 4
SECONDS: Final = 900.0
_MOST_SENTENCES: Final = 20


@dataclass(frozen=True, slots=True)
class Pointer:
    """A file of a commit that only says what belongs in its place."""

    path: bytes
    mode: str
    blob: str
    """git's id of the pointer itself."""
    names: LfsObject


@dataclass(frozen=True, slots=True)
class Known:
    """What a run found in the place of pointers, and does not upload."""

    pointers: Sequence[Pointer] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Sequence[str]]) -> Known:
        """Read what `plain` wrote."""
        return cls(
            tuple(
                Pointer(os.fsencode(path), mode, blob, LfsObject(oid, int(size)))
                for path, (mode, blob, oid, size) in plain.items()
            )
        )

    def plain(self) -> dict[str, tuple[str, ...]]:
        """Answer it for a run's note."""
        return {
            os.fsdecode(each.path): (each.mode, each.blob, each.names.oid, str(each.names.size))
            for each in self.pointers
        }


@dataclass(slots=True)
class _Left:
    """Which files stay pointers, by the reason."""

    why: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, paths: Iterable[bytes], reason: str) -> None:
        self.why.setdefault(reason.rstrip("."), []).extend(paths)

    def told(self) -> list[str]:
        sentences = [
            f"{_named(paths, 'stays a pointer', 'stay pointers')}: {reason}."
            for reason, paths in self.why.items()
        ]
        more = sum(len(paths) for paths in list(self.why.values())[_MOST_SENTENCES:])
        if more:
            sentences[_MOST_SENTENCES:] = [f"{more:,} more files of Git LFS stay pointers."]
        return sentences


async def pointers_of(git: Git, git_dir: Path, entries: Sequence[Entry]) -> list[Pointer]:
    """Answer which files of a commit are pointers: by what they hold, whatever `.gitattributes` says."""
    files = [entry for entry in entries if entry.is_file and entry.size in _SIZES]
    ids = sorted({entry.id for entry in files})
    if not ids:
        return []
    told = await git.run(
        "cat-file", "--batch", at=At(git_dir), stdin="".join(f"{id_}\n" for id_ in ids).encode()
    )
    found, at = {}, 0
    while at < len(told):  # `ID blob SIZE`, the content, and a line end
        begins = told.index(b"\n", at) + 1
        id_, _, size = told[at:begins].decode().split()
        at = begins + int(size) + 1
        if (names := read_pointer(told[begins : at - 1])) is not None:
            found[id_] = names
    return [
        Pointer(entry.path, entry.mode, entry.id, found[entry.id]) for entry in files if entry.id in found
    ]


def read_pointer(text: bytes) -> LfsObject | None:
    """Answer what a pointer names; None for what is none, or has extensions."""
    found = _POINTER.fullmatch(text)
    return LfsObject(found[1].decode(), int(found[2])) if found else None


async def put_objects(
    client: LfsClient, place: RunPlace, pointers: Sequence[Pointer], *, most: int
) -> tuple[Known, list[str]]:
    """Put into the checkout what pointers name, `most` bytes together; answer which, and what stays away.

    Nothing of it fails a run: a pointer that is left is a file like any other, and the sentences say why.
    """
    wanted: dict[LfsObject, list[Pointer]] = {}
    left, size = _Left(), 0
    for pointer in pointers:
        if size + pointer.names.size > most:
            left.add(
                [pointer.path],
                f"with it, the files would have more than the {megabytes(most)} that are left of what a run"
                f" may have on the disk. {REMEDY}",
            )
            continue
        size += pointer.names.size
        wanted.setdefault(pointer.names, []).append(pointer)
    await asyncio.to_thread(_make_room, place)
    here: list[Pointer] = []
    try:
        async with asyncio.timeout(SECONDS):
            objects = list(wanted)
            for at in range(0, len(objects), AT_ONCE):
                await _some(client, place, objects[at : at + AT_ONCE], wanted, left, here)
    except TimeoutError:
        done = {pointer.path for pointer in here} | {path for paths in left.why.values() for path in paths}
        late = [pointer.path for pointer in pointers if pointer.path not in done]
        left.add(late, f"not all of them were here within {SECONDS:g} seconds")
    finally:
        await asyncio.to_thread(remove, _room(place))
    return Known(tuple(here)), left.told()


async def _some(
    client: LfsClient,
    place: RunPlace,
    objects: Sequence[LfsObject],
    wanted: Mapping[LfsObject, list[Pointer]],
    left: _Left,
    here: list[Pointer],
) -> None:
    try:
        found = await client.find(objects)
    except LinkspanError as error:
        left.add((each.path for one in objects for each in wanted[one]), error.message)
        return
    turns = asyncio.Semaphore(_TOGETHER)

    async def one(wants: LfsObject, action: Action | str) -> None:
        paths = [each.path for each in wanted[wants]]
        if isinstance(action, str):
            left.add(paths, action)
            return
        new = _room(place) / wants.oid
        async with turns:
            try:
                await client.download(wants, action, new)
            except LinkspanError as error:
                left.add(paths, error.message)
                new.unlink(missing_ok=True)
                return
            await asyncio.to_thread(_fill_in, place.checkout, paths, new)
        here.extend(wanted[wants])

    async with asyncio.TaskGroup() as group:
        for wants, action in found.items():
            group.create_task(one(wants, action))


def _room(place: RunPlace) -> Path:
    return place.ours / "lfs"


def _make_room(place: RunPlace) -> None:
    remove(_room(place))
    _room(place).mkdir(mode=0o700)


def _fill_in(checkout: Path, paths: Sequence[bytes], new: Path) -> None:
    """Write content in the place of pointers, which keep their modes; nothing is followed."""
    for path in paths:
        there = os.fsencode(checkout) + b"/" + path
        with (
            new.open("rb") as source,
            open(  # noqa: PTH123 - a descriptor, not a path
                os.open(there, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC), "wb"
            ) as file,
        ):
            shutil.copyfileobj(source, file, 2**20)
    new.unlink()


@dataclass(frozen=True, slots=True)
class Looked:
    """What has become of files of Git LFS in a checkout."""

    gone: Sequence[bytes]
    left_out: Sequence[str]
    copies: Mapping[bytes, Pointer]
    """Files that are what a pointer names already, new or with another mode: published as that pointer."""


def look(checkout: Path, known: Known, new: Sequence[bytes]) -> Looked:
    """Tell what has become of what was put there; `new` are the files that git does not know."""
    gone, changed, copies = [], [], {}
    for pointer in known.pointers:
        found = _regular(checkout, pointer.path)
        if found is None:
            gone.append(pointer.path)
        elif not _is(checkout, pointer, found):
            changed.append(pointer.path)
        elif (_mode(found) == _EXECUTABLE) != (pointer.mode == _EXECUTABLE):
            copies[pointer.path] = replace(pointer, mode=_mode(found))
    sizes = {each.names.size for each in known.pointers}
    by_content = {each.names: each for each in known.pointers}
    for path in new if known.pointers else ():
        found = _regular(checkout, path)
        if found is not None and stat.S_ISREG(found.st_mode) and found.st_size in sizes:
            same = by_content.get(LfsObject(_digest(checkout, path), found.st_size))
            if same is not None:
                copies[path] = replace(same, mode=_mode(found))
    left_out = []
    if changed:
        named = _named(changed, "was", "were")
        left_out.append(f"{named} changed by the run: that is left out, since nothing is uploaded to LFS.")
    return Looked(gone, left_out, copies)


def _regular(checkout: Path, path: bytes) -> os.stat_result | None:
    """Answer what is at a path below the checkout; None for nothing, for a directory, and behind a link."""
    at = os.fsencode(checkout)
    for part in path.split(b"/")[:-1]:
        at += b"/" + part
        if os.path.islink(at):  # noqa: PTH114 - bytes
            return None
    try:
        found = os.lstat(os.fsencode(checkout) + b"/" + path)
    except OSError:
        return None
    return None if stat.S_ISDIR(found.st_mode) else found


def _mode(found: os.stat_result) -> str:
    """Answer the mode that git knows a file by."""
    return _EXECUTABLE if found.st_mode & stat.S_IXUSR else "100644"


def _is(checkout: Path, pointer: Pointer, found: os.stat_result) -> bool:
    """Tell whether a file is what its pointer names, or the pointer itself."""
    if not stat.S_ISREG(found.st_mode):
        return False
    if found.st_size == pointer.names.size and _digest(checkout, pointer.path) == pointer.names.oid:
        return True
    return found.st_size in _SIZES and _content(checkout, pointer.path) == pointer.names


def _open(checkout: Path, path: bytes) -> int:
    how = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.open(os.fsencode(checkout) + b"/" + path, how)


def _digest(checkout: Path, path: bytes) -> str:
    with open(_open(checkout, path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(checkout: Path, path: bytes) -> LfsObject | None:
    with open(_open(checkout, path), "rb") as file:
        return read_pointer(file.read(_SIZES.stop))


def _named(paths: Sequence[bytes], one: str, several: str) -> str:
    if len(paths) == 1:
        return f"The LFS file {shown(paths[0])} {one}"
    names = ", ".join(shown(path) for path in sorted(paths)[:3])
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return f"{len(paths):,} LFS files ({names}{more}) {several}"
