"""The port between runs and git: where Codex works, what it changed, and how that gets out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from linkspan.accounts.principal import Tenant
from linkspan.vault.secret import Secret


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, as the forge account that was linked for it knows it."""

    id: str
    """`owner/name`: readable through the tenant's forge account, never a URL from a ticket."""
    clone_url: str
    """https, on an origin that the account was sealed for."""
    default_branch: str


@dataclass(frozen=True, slots=True)
class GitAccess:
    """What git shows to one origin, and to no other. It never comes near the sandbox."""

    origin: str
    username: str
    password: Secret
    authorities: str | None = field(default=None, repr=False)
    """Who vouches for the origin instead of those that are trusted anyway: certificates (PEM)."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A working tree for one run."""

    run: str
    path: Path
    repository: Repository
    base_branch: str
    base_commit: str
    house_rules: str | None = field(default=None, repr=False)
    """AGENTS.md of the base branch, capped; None where there is none."""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those of the files that were asked for that the base branch has, capped, by path."""
    left_out: Sequence[str] = ()
    """What was asked for and is not there, a sentence each."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a change."""

    path: str
    status: str
    """added | modified | deleted | renamed"""
    additions: int
    deletions: int
    previous_path: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the base commit: by git's own account, files that commands made included."""

    diff: str = field(repr=False)
    files: tuple[ChangedFile, ...]
    tree: str
    """git's id of all files as they are now: two that are alike to the last byte have the same one."""
    truncated: bool = False
    left_out: Sequence[str] = ()
    """What the run changed and is not part of it, a sentence each."""

    def __bool__(self) -> bool:
        return bool(self.files)


@dataclass(frozen=True, slots=True)
class Author:
    """Whose name a commit bears."""

    name: str
    email: str


Extra = Literal["submodules", "lfs"]
"""What is fetched only for who asks."""


class Places(Protocol):
    """Working trees for runs. Every method may be called again after a crash, and ends the same way."""

    async def prepare(
        self,
        tenant: Tenant,
        run: str,
        repository: Repository,
        access: GitAccess | None,
        *,
        base_branch: str | None = None,
        commit: str | None = None,
        files: Sequence[str] = (),
        also: Sequence[Extra] = (),
        patch: bytes = b"",
    ) -> Checkout:
        """Answer the run's working tree at the head of the base branch, made if it is not there yet.

        With `commit` it is at that one, which may be somebody's proposal: house rules and the texts of
        `files` are the base branch's all the same. `patch` is what another run had changed at that commit:
        the tree begins with it, and it counts as changed.

        Raises `NotFound` (no such repository or branch), `NeedsReauth`, `Forbidden`, `TooLarge`,
        `EgressRefused`, `UpstreamError`, and `Conflict` for a patch that does not fit.
        """
        ...

    async def change(self, checkout: Checkout) -> Change:
        """Answer what the run has changed so far."""
        ...

    async def commit(self, checkout: Checkout, *, author: Author, message: str, tree: str) -> str:
        """Commit everything that changed on `codex/RUN` and answer its id; again: the same commit.

        `tree` is what people were shown. Raises `Conflict` when the files are another one by now.
        """
        ...

    async def push(self, checkout: Checkout, access: GitAccess | None, *, onto: str | None = None) -> str:
        """Push the run's branch, once, and answer its name.

        `onto` is another run's branch instead, which is to be at the commit that this run began from.

        Raises `Conflict` when somebody else's commits are on it, `NeedsReauth`, `Forbidden`, `UpstreamError`.
        """
        ...

    async def discard(self, tenant: Tenant, run: str) -> None:
        """Remove everything of the run from the disk."""
        ...

    async def there(self) -> Mapping[Tenant, frozenset[str]]:
        """Answer of which tenants something is on the disk, and of which of their runs."""
        ...

    async def prune(self, *, unused_since: float) -> None:
        """Remove what was fetched for many runs and none has used since that time (epoch seconds)."""
        ...

    async def forget(self, tenant: Tenant) -> None:
        """Remove everything of a tenant from the disk."""
        ...


def branch_of(run: str) -> str:
    """Answer the branch that a run publishes."""
    return f"codex/{run}"


def run_of_branch(branch: str) -> str | None:
    """Answer which run publishes a branch; None where none does."""
    head, _, run = branch.partition("/")
    return run if head == "codex" and run.startswith("run_") else None
