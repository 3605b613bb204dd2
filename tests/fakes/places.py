"""Working trees without git, and a forge without a network: they count what is done, and can refuse it."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linkspan.accounts.principal import Tenant
from linkspan.codex.git.refusals import not_what_was_shown
from linkspan.codex.places import Author, Change, ChangedFile, Checkout, Extra, GitAccess, Repository
from linkspan.errors import LinkspanError
from linkspan.runs.ports import Publication

FILES: Mapping[str, str] = {"calc.py": "total = 2\n", "README.md": "# Cafe\n"}
RULES = "Run the tests."


@dataclass
class FakePlaces:
    """Working trees of one repository."""

    work: Path
    faults: dict[str, LinkspanError] = field(default_factory=dict)
    """What a method raises."""
    commits: dict[str, tuple[Author, str]] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    base: str = "c0ffee"

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
        """Answer the run's working tree."""
        self._fail("prepare")
        path = self.work / tenant / "runs" / run / "checkout"
        if not path.exists():
            path.mkdir(parents=True)
            for name, text in FILES.items():
                (path / name).write_text(text)
            if patch:
                await asyncio.to_thread(
                    subprocess.run, ["git", "apply", "-"], cwd=path, input=patch, check=True
                )
        branch = base_branch or repository.default_branch
        texts = {file: FILES[file] for file in files if file in FILES}
        left_out = [f"There are no {what} here." for what in also]
        return Checkout(run, path, repository, branch, commit or self.base, RULES, texts, left_out)

    async def change(self, checkout: Checkout) -> Change:
        """Answer what differs from what it was made with."""
        self._fail("change")
        diffs, files = [], []
        for path in sorted(checkout.path.iterdir()):
            before, after = FILES.get(path.name, ""), path.read_text()
            if before != after:
                lines = difflib.unified_diff(
                    before.splitlines(True), after.splitlines(True), f"a/{path.name}", f"b/{path.name}"
                )
                diffs += list(lines)
                files.append(ChangedFile(path.name, "modified", 1, 1))
        return Change("".join(diffs), tuple(files), _tree(checkout))

    async def commit(self, checkout: Checkout, *, author: Author, message: str, tree: str) -> str:
        """Remember a commit, of what was shown and nothing else."""
        self._fail("commit")
        if tree != _tree(checkout):
            raise not_what_was_shown(tree, _tree(checkout))
        self.commits[checkout.run] = (author, message)
        return "deadbeef"

    async def push(self, checkout: Checkout, access: GitAccess | None, *, onto: str | None = None) -> str:
        """Count a push, once for each branch."""
        self._fail("push")
        branch = onto or f"codex/{checkout.run}"
        if branch not in self.pushed:
            self.pushed.append(branch)
        return branch

    async def discard(self, tenant: Tenant, run: str) -> None:
        """Remove the run's directory."""
        shutil.rmtree(self.work / tenant / "runs" / run, ignore_errors=True)
        self.discarded.append(run)

    async def there(self) -> Mapping[Tenant, frozenset[str]]:
        """Answer of which tenants and runs there is a directory."""
        tenants = self.work.iterdir() if self.work.is_dir() else ()
        return {Tenant(each.name): frozenset(run.name for run in each.glob("runs/*")) for each in tenants}

    async def prune(self, *, unused_since: float) -> None:
        """Have nothing that many runs share."""

    async def forget(self, tenant: Tenant) -> None:
        """Remove a tenant's directory."""
        shutil.rmtree(self.work / tenant)

    def _fail(self, what: str) -> None:
        if what in self.faults:
            raise self.faults[what]


def _tree(checkout: Checkout) -> str:
    """Answer an id of all files of a working tree."""
    whole = hashlib.sha1(usedforsecurity=False)
    for path in sorted(checkout.path.iterdir()):
        whole.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return whole.hexdigest()


@dataclass
class FakeForge:
    """A forge that knows one repository."""

    faults: dict[str, LinkspanError] = field(default_factory=dict)
    opened: dict[str, Publication] = field(default_factory=dict)
    reviews: dict[str, Any] = field(default_factory=dict)

    async def locate(
        self, tenant: Tenant, repository: str, *, run: str, person: str | None
    ) -> tuple[Repository, GitAccess | None]:
        """Answer where it is."""
        if "locate" in self.faults:
            raise self.faults["locate"]
        return Repository(repository, f"https://forge.example/{repository}.git", "main"), None

    async def open_pull_request(self, publication: Publication) -> Mapping[str, Any]:
        """Open the one pull request of a run."""
        if "open" in self.faults:
            raise self.faults["open"]
        self.opened.setdefault(publication.run, publication)
        return {"number": 7, "url": "https://forge.example/acme/cafe/pull/7", "state": "open"}

    async def review(self, publication: Publication, output: Any) -> Mapping[str, Any]:
        """Write the one review of a run."""
        self.reviews.setdefault(publication.run, output)
        return {"url": "https://forge.example/acme/cafe/pull/7#review"}
