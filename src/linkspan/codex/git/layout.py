"""Where things of runs are on the disk: `work/TENANT/{mirrors, repositories/RUN, runs/RUN/checkout}`.

What is in `runs/RUN` may belong to the system user of a tenant, and be changed by what a person approved.
What git reads of ours (the repository, the index, the note of what was made) is beside it, where nobody else
writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from linkspan.accounts.principal import Tenant
from linkspan.codex.places import Checkout, Repository
from linkspan.errors import InvalidArgument

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Note:
    """What is remembered of a run's place, written when it is whole."""

    repository: Repository
    base_branch: str
    base_commit: str
    made: int
    """Seconds since 1970: the time that its commits bear, so that a repeated one is the same."""
    house_rules: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    lfs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What was found for pointers of Git LFS (`lfs.Known`)."""


@dataclass(frozen=True, slots=True)
class RunPlace:
    """The two directories of one run: its own, and ours."""

    path: Path
    ours: Path

    @property
    def checkout(self) -> Path:
        """The working tree, with a `.git` in it that is for Codex alone."""
        return self.path / "checkout"

    @property
    def git(self) -> Path:
        """Our own repository of that working tree."""
        return self.ours / "git"

    @property
    def note(self) -> Path:
        """Where its `Note` is."""
        return self.ours / "place.json"

    def read(self) -> Note | None:
        """Answer its note; None for a place that is not whole."""
        try:
            kept: dict[str, Any] = json.loads(self.note.read_bytes())
            return Note(**{**kept, "repository": Repository(**kept["repository"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, note: Note) -> None:
        """Keep its note: from now on the place is whole."""
        new = self.note.with_suffix(".new")
        with new.open("w") as file:
            json.dump(asdict(note), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.note)

    def as_checkout(self, run: str, note: Note) -> Checkout:
        """Answer it as a run sees it."""
        return Checkout(
            run,
            self.checkout,
            note.repository,
            note.base_branch,
            note.base_commit,
            note.house_rules,
            note.texts,
            note.left_out,
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories below `$LINKSPAN_HOME/work`."""

    root: Path

    def run(self, tenant: Tenant, run: str) -> RunPlace:
        """Answer a run's place, which need not be there. Raises `InvalidArgument` for what is no name."""
        if not _RUN.fullmatch(run):
            raise InvalidArgument("that is not the id of a run")
        return _place(self.tenant(tenant), run)

    def mirror(self, tenant: Tenant, clone_url: str) -> Path:
        """Answer the mirror of a repository; its lock stands beside it."""
        digest = hashlib.sha256(clone_url.encode()).hexdigest()[:24]
        return self.tenant(tenant) / "mirrors" / f"{digest}.git"

    def mirrors(self) -> list[Path]:
        """Answer every mirror that there is, of all tenants."""
        return [path for tenant in self.there() for path in (self.root / tenant / "mirrors").glob("*.git")]

    def there(self) -> dict[Tenant, frozenset[str]]:
        """Answer which tenants have a directory, and which of their runs."""
        found = {}
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if _TENANT.fullmatch(path.name) and path.is_dir():
                runs = {each.name for part in ("runs", "repositories") for each in path.glob(f"{part}/*")}
                found[Tenant(path.name)] = frozenset(run for run in runs if _RUN.fullmatch(run))
        return found

    def tenant(self, tenant: Tenant) -> Path:
        """Answer a tenant's directory. Raises `InvalidArgument` for what is no name."""
        if not _TENANT.fullmatch(tenant):
            raise InvalidArgument("that is not a tenant's name")
        return self.root / tenant


def _place(tenant: Path, run: str) -> RunPlace:
    return RunPlace(tenant / "runs" / run, tenant / "repositories" / run)


def make(path: Path) -> None:
    """Make a directory that nobody else may look into.

    Those above it that are missing let others through to what is theirs, and show them nothing.
    """
    for each in reversed(path.parents):
        if not each.exists():
            each.mkdir(mode=0o711, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def remove(path: Path) -> None:
    """Remove a tree whatever it holds; links are removed, never followed. Nothing there is fine."""

    def again(function: Callable[..., Any], name: str, _: object) -> None:
        # A directory that a command made unreadable or unwritable for us.
        with contextlib.suppress(OSError):
            Path(name).parent.chmod(stat.S_IRWXU)
            if not Path(name).is_symlink():
                Path(name).chmod(stat.S_IRWXU)
        if Path(name).is_dir() and not Path(name).is_symlink():
            shutil.rmtree(name)
        else:
            function(name)

    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path, onerror=again)


def place_of(checkout: Checkout) -> tuple[RunPlace, Note]:
    """Answer where a checkout is. Raises `InvalidArgument` for one that was discarded, or put elsewhere."""
    folder = checkout.path.parent
    place = _place(folder.parent.parent, folder.name)
    note = place.read()
    if note is None or not place.checkout.is_dir() or place.checkout.is_symlink() or folder.is_symlink():
        raise InvalidArgument(
            f"the working tree of {checkout.run} is not here any more", hint="Start the run again."
        )
    return place, replace(note, base_commit=checkout.base_commit)
