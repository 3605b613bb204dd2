"""The keys that seal: from `LINKSPAN_KEYS`, or from a key file that only its owner can read.

Both hold base64 of 32 random bytes, several separated by commas or line ends. The first seals, all of them
open, so a key is changed by putting a new one in front. A key is known by the first four bytes of its
SHA-256: they stand in every sealed value, may be shown, and tell nothing of the key.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from linkspan.errors import ConfigurationError

KEY_BYTES = 32
_FILE_HEAD = "# Seals the credentials in Linkspan's database. Keep a copy, apart from the database."
Random = Callable[[int], bytes]
"""Answers that many random bytes: `os.urandom`, or what a test gives."""


@dataclass(frozen=True, slots=True)
class Key:
    """One AES-256 key."""

    material: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.material) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, this one {len(self.material)}")

    @property
    def id(self) -> bytes:
        """What sealed values call it: the first four bytes of its SHA-256."""
        return hashlib.sha256(self.material).digest()[:4]


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys there are: the first seals, all open. `source` says where they came from, for messages."""

    all: tuple[Key, ...]
    source: str

    def __post_init__(self) -> None:
        if not self.all:
            raise ValueError("there must be a key")

    @property
    def first(self) -> Key:
        """The key that seals."""
        return self.all[0]


def parse_keys(text: str, source: str) -> Keys:
    """Read keys as `LINKSPAN_KEYS` and the key file have them; lines that begin with `#` are comments.

    Raises `ConfigurationError` that names the position of the bad key and nothing of its content.
    """
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = [word.strip() for line in lines for word in line.split(",") if word.strip()]
    if not words:
        raise ConfigurationError(f"{source} holds no key", hint=_how(source))
    keys = Keys(tuple(_key(word, place, source) for place, word in enumerate(words, start=1)), source)
    if len({key.id for key in keys.all}) != len(keys.all):
        raise ConfigurationError(f"{source} holds the same key twice", hint="Leave one of the two out.")
    return keys


def load_keys(text: str | None, path: Path, *, may_create: bool, random: Random = os.urandom) -> Keys:
    """Answer the keys of `LINKSPAN_KEYS` (`text`), else of the key file, which is made if it may be.

    `may_create` says that nothing is sealed yet; find that out before this call, since another process may be
    making both, first the file and then what it seals. Raises `ConfigurationError` when there is no key and
    none may be made, and when others than the owner can read the file.
    """
    if text is not None:
        return parse_keys(text, "LINKSPAN_KEYS")
    found = _read_file(path)
    if found is not None:
        return found
    if not may_create:
        raise ConfigurationError(
            f"There is no key for what the database holds: LINKSPAN_KEYS is not set and {path} is not there",
            hint="Set LINKSPAN_KEYS, or put the key file back from its backup. A new key would not open the"
            " credentials that are stored: without the old one, start with an empty home and link again.",
        )
    _create_file(path, random)
    made = _read_file(path)
    if made is None:
        raise ConfigurationError(f"The key file {path} vanished while it was made", hint="Start again.")
    return made


def add_key(path: Path, *, random: Random = os.urandom) -> Keys:
    """Put a new key in front of those in the key file; answer all of them.

    The file is replaced whole: at no moment is it missing a key, and it keeps its owner. Raises
    `ConfigurationError` when it is not there or cannot be written.
    """
    try:
        with _alone(path.parent):
            there = _read_file(path)
            if there is None:
                raise ConfigurationError(f"The key file {path} is not there", hint="Start again.")
            lines = path.read_text(encoding="ascii").splitlines(keepends=True)
            place = next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))
            lines.insert(place, f"{new_key(random)}\n")
            owner = path.stat()
            draft = _write_draft(path, "".join(lines), random)
            try:
                if (owner.st_uid, owner.st_gid) != (os.getuid(), os.getgid()):
                    os.chown(draft, owner.st_uid, owner.st_gid)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _sync_directory(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be written: {error.strerror}; it is as it was",
            hint="Make its directory writable and free space on its disk.",
        ) from error
    return load_keys(None, path, may_create=False)


def new_key(random: Random = os.urandom) -> str:
    """Answer a new key as `LINKSPAN_KEYS` takes it."""
    return base64.b64encode(random(KEY_BYTES)).decode()


def shown_ids(ids: Iterable[bytes]) -> str:
    """Answer key ids for a message."""
    return ", ".join(key_id.hex() for key_id in ids)


def _key(word: str, place: int, source: str) -> Key:
    try:
        if re.fullmatch(r"[A-Za-z0-9_\-]+=*", word):
            material = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        else:
            material = base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
        return Key(material)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(
            f"{source}: key {place} is not base64 of {KEY_BYTES} bytes", hint=_how(source)
        ) from error


def _how(source: str) -> str:
    return f"Make one with: openssl rand -base64 {KEY_BYTES} (and give it to {source})."


def _read_file(path: Path) -> Keys | None:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"The key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"The key file {path} can be read by others than its owner (mode {mode:04o})",
            hint=f"Run: chmod 600 {path} (and make a new key if others may have read it).",
        )
    return parse_keys(text, str(path))


def _create_file(path: Path, random: Random) -> None:
    """Make the key file whole or not at all; of several processes that do it at once, the first wins."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _write_draft(path, f"{_FILE_HEAD}\n{new_key(random)}\n", random)
        try:
            # A hard link is made only if the name is free, unlike a rename.
            try:
                os.link(draft, path)
            except FileExistsError:
                return
            _sync_directory(path.parent)
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"The key file {path} cannot be made: {error.strerror}",
            hint="Make its directory writable, name another with --home, or set LINKSPAN_KEYS.",
        ) from error


def _write_draft(path: Path, text: str, random: Random) -> Path:
    """Write a file beside another, for its owner alone, down to the disk."""
    draft = path.with_name(f".{path.name}.{random(8).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink()
        raise
    return draft


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from changing the same key file meanwhile."""
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
