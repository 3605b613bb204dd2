"""A checkout on its way to a sandbox elsewhere, and what was changed in it on its way back.

What comes back was made by a model, in a place that is not ours: it is bounded, it is of the commit that was
sent or it is nothing, and it is written into the checkout file by file, never through a link and never into
what is git's. What the change is, git says afterwards, as of every run.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linkspan.errors import Conflict, InvalidArgument, TooLarge
from linkspan.net.egress_proxy import megabytes

MOST_PACKED: Final = 100_000_000
"""Bytes of a checkout, packed, that are sent."""
MOST_BACK: Final = 20_000_000
"""Bytes of a change, packed, that are taken."""
_MOST_UNPACKED: Final = 64_000_000
_NOT_OURS: Final = (b".git", b".codex")
"""What is git's, and what a checkout would tell Codex: neither is sent, and neither comes back."""


@dataclass(frozen=True, slots=True)
class _File:
    path: bytes
    kind: str
    data: bytes


def pack(checkout: Path) -> bytes:
    """Answer the files of a checkout as an archive. Raises `TooLarge`."""
    packed = _Bounded()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=3, format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(checkout.iterdir()):
            if os.fsencode(path.name) not in _NOT_OURS:
                archive.add(path, path.name, filter=_plain)
    return packed.getvalue()


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MOST_PACKED:
            raise TooLarge(
                f"The repository has more than the {megabytes(MOST_PACKED)}, packed, that are sent to OpenAI",
                hint="`engine: app_server` works on it here.",
            )
        return super().write(data)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Answer a member without what only this machine knows; None for what is no file, folder or link."""
    if not (member.isfile() or member.isdir() or member.issym()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def unpack_into(checkout: Path, packed: bytes, base: str) -> list[str]:
    """Change a checkout as what came back says; answer what of it was left out, a sentence each.

    Done again it ends the same way. Raises `TooLarge`, `InvalidArgument` for what is no change, and
    `Conflict` for one of another commit.
    """
    told = _read(packed)
    if told.get("base") != base:
        raise Conflict(f"What came back from OpenAI is no change of the commit {base[:12]}")
    gone, files = _gone(told), _files(told)
    left_out = [path for path in (*gone, *(file.path for file in files)) if not _may_be_changed(path)]
    for path in gone:
        if _may_be_changed(path):
            _remove(checkout, path)
    for file in files:
        if _may_be_changed(file.path):
            _write(checkout, file)
    return [f"{path.decode(errors='replace')} was changed, and is left out." for path in left_out]


def _read(packed: bytes) -> dict[str, Any]:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(packed, _MOST_UNPACKED)
        if not unpacking.eof:
            raise TooLarge(f"What came back from OpenAI has more than {megabytes(_MOST_UNPACKED)}")
        told = json.loads(text)
    except (zlib.error, ValueError) as error:
        raise InvalidArgument("What came back from OpenAI is no change") from error
    if not isinstance(told, dict):
        raise InvalidArgument("What came back from OpenAI is no change")
    return told


def _gone(told: dict[str, Any]) -> list[bytes]:
    return [_path(each) for each in _list(told, "gone")]


def _files(told: dict[str, Any]) -> list[_File]:
    found = []
    for each in _list(told, "files"):
        try:
            data = base64.b64decode(each["data"], validate=True)
            file = _File(_path(each["path"]), str(each["kind"]), data)
        except (KeyError, TypeError, binascii.Error) as error:
            raise InvalidArgument("What came back from OpenAI is no change") from error
        found.append(file)
    return found


def _list(told: dict[str, Any], name: str) -> list[Any]:
    there = told.get(name)
    if not isinstance(there, list):
        raise InvalidArgument("What came back from OpenAI is no change")
    return there


def _path(text: Any) -> bytes:
    """Answer a path below the checkout. Raises `InvalidArgument` for what leads anywhere else."""
    try:
        path = os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise InvalidArgument("What came back from OpenAI is no change") from error
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise InvalidArgument("What came back from OpenAI names a file outside of the checkout")
    return path


def _may_be_changed(path: bytes) -> bool:
    parts = path.lower().split(b"/")
    return b".git" not in parts and parts[0] not in _NOT_OURS


def _parents(root: Path, path: bytes) -> Iterator[Path]:
    """Answer the folders that a file is in, the outermost first, without the checkout itself."""
    parts = path.split(b"/")
    for number in range(1, len(parts)):
        yield root / os.fsdecode(b"/".join(parts[:number]))


def _remove(root: Path, path: bytes) -> None:
    parents = list(_parents(root, path))
    if any(parent.is_symlink() for parent in parents):
        return
    whole = root / os.fsdecode(path)
    if whole.is_symlink() or whole.is_file():
        whole.unlink()
    for parent in reversed(parents):
        try:
            parent.rmdir()
        except OSError:
            return


def _write(root: Path, file: _File) -> None:
    for parent in _parents(root, file.path):
        if parent.is_symlink():
            raise InvalidArgument("What came back from OpenAI has a file behind a link")
        if parent.is_file():
            parent.unlink()
        parent.mkdir(exist_ok=True)
    whole = root / os.fsdecode(file.path)
    if whole.is_dir() and not whole.is_symlink():
        shutil.rmtree(whole)
    elif whole.is_symlink() or whole.exists():
        whole.unlink()
    if file.kind == "link":
        whole.symlink_to(os.fsdecode(file.data))
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(whole, flags, 0o755 if file.kind == "program" else 0o644), "wb") as there:
        there.write(file.data)
