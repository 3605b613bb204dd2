"""`Places` by git: prepare a checkout, say what changed, commit, push once, clean up."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.codex.git.change import change_of, commit_of
from linkspan.codex.git.layout import Layout, Note, RunPlace, make, place_of, remove
from linkspan.codex.git.lfs import Known, Pointer, pointers_of, put_objects
from linkspan.codex.git.lfs_client import LfsClient
from linkspan.codex.git.mirror import Mirror
from linkspan.codex.git.program import At, Git, GitFailed, Remote
from linkspan.codex.git.refusals import refusal, somebody_elses
from linkspan.codex.git.submodules import Submodule, put_submodule, submodules_of
from linkspan.codex.git.tree import (
    REMEDY,
    Bounds,
    Entry,
    copy_for_codex,
    entries_of,
    house_rules,
    leave,
    put,
    put_patch,
    shown,
    text_of,
)
from linkspan.codex.places import Author, Change, Checkout, Extra, GitAccess, Repository, branch_of
from linkspan.errors import EgressRefused, InvalidArgument, TooLarge
from linkspan.net.egress_proxy import EgressProxy
from linkspan.net.transport import AiohttpTransport
from linkspan.net.urls import is_below, origin_of

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_OVERHEAD: Final = 10_000_000
"""Bytes of an exchange beside the files themselves."""


class GitPlaces:
    """Working trees below one directory."""

    def __init__(
        self,
        work: Path,
        proxy: EgressProxy,
        *,
        clock: Callable[[], float],
        git: Git | None = None,
        bounds: Bounds | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`work` is `$LINKSPAN_HOME/work`; several processes may share it."""
        self._layout = Layout(work)
        self._proxy = proxy
        self._clock = clock
        self._sleep = sleep
        self._git = git or Git()
        self._bounds = bounds or Bounds()

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
        """Answer the run's working tree at the head of the base branch, or at a commit, made if need be."""
        place = self._layout.run(tenant, run)
        note = place.read()
        if note is not None and place.checkout.is_dir() and not place.checkout.is_symlink():
            return place.as_checkout(run, note)
        branch = base_branch or repository.default_branch
        await self._check_branch(branch)
        if commit is not None and not _COMMIT.fullmatch(commit):
            raise InvalidArgument(f"{repository.id} has no commit {commit[:80]!r}")
        await asyncio.to_thread(_start_over, place)
        mirror = self._mirror(self._layout.mirror(tenant, repository.clone_url))
        async with mirror.locked():
            async with self._reach(repository, access, doing="read", branch=branch) as remote:
                head = await mirror.fetch(remote, branch)
                base = await entries_of(self._git, mirror.path, head, repository.id, self._bounds)
                rules, texts = await self._texts(mirror, base, files)
                if commit is None:
                    commit, entries = head, base
                else:
                    await mirror.fetch(remote, branch, commit=commit)
                    entries = await entries_of(self._git, mirror.path, commit, repository.id, self._bounds)
                submodules, left_out = (
                    await submodules_of(self._git, mirror.path, entries, repository.clone_url)
                    if "submodules" in also
                    else ([], [])
                )
                pointers = await pointers_of(self._git, mirror.path, entries) if "lfs" in also else []
            await self._take_over(mirror, place, branch if commit == head else commit)
        with self._explained(repository, doing="checked out", branch=branch):
            await put(self._git, place, commit, entries)
        used = await self._put_submodules(tenant, place, access, submodules, entries)
        lfs, stayed = await self._put_lfs(place, repository, access, pointers, used)
        await asyncio.to_thread(copy_for_codex, place, commit, branch_of(run))
        if patch:
            await put_patch(self._git, place, patch)
        now = int(self._clock())
        note = Note(repository, branch, commit, now, rules, texts, [*left_out, *stayed], lfs.plain())
        await asyncio.to_thread(place.write, note)
        return place.as_checkout(run, note)

    async def change(self, checkout: Checkout) -> Change:
        """Answer what the run has changed so far."""
        place, note = place_of(checkout)
        return await change_of(self._git, place, note, self._bounds)

    async def commit(self, checkout: Checkout, *, author: Author, message: str, tree: str) -> str:
        """Commit everything that changed on `codex/RUN` and answer its id; again: the same commit."""
        place, note = place_of(checkout)
        return await commit_of(
            self._git,
            place,
            note,
            self._bounds,
            author=author,
            message=message,
            branch=branch_of(checkout.run),
            only=tree,
        )

    async def push(self, checkout: Checkout, access: GitAccess | None, *, onto: str | None = None) -> str:
        """Push the run's branch, once, and answer its name; or its commit onto another run's branch."""
        place, note = place_of(checkout)
        own, repository = f"refs/heads/{branch_of(checkout.run)}", checkout.repository
        branch = onto or branch_of(checkout.run)
        ref, before = f"refs/heads/{branch}", note.base_commit if onto is not None else None
        try:
            told = await self._git.run("rev-parse", "--verify", "--quiet", own, at=At(place.git))
        except GitFailed as error:
            raise InvalidArgument("Nothing was committed yet, so there is nothing to push") from error
        commit = told.decode().strip()
        async with self._reach(repository, access, doing="pushed", branch=branch) as remote:
            there = await self._at_forge(place, remote, ref)
            if there == commit:
                return branch
            if there != before:
                raise somebody_elses(repository.id, branch)
            try:
                await self._git.run(
                    *("push", "--quiet", "--no-verify", f"--force-with-lease={ref}:{before or ''}"),
                    *("--end-of-options", remote.url, f"{commit}:{ref}"),
                    at=At(place.git),
                    remote=remote,
                )
            except GitFailed:
                # Another worker may have pushed the same commit meanwhile, or only the answer was lost.
                if await self._at_forge(place, remote, ref) != commit:
                    raise
        return branch

    async def discard(self, tenant: Tenant, run: str) -> None:
        """Remove everything of the run from the disk."""
        place = self._layout.run(tenant, run)
        for path in (place.path, place.ours):
            await asyncio.to_thread(remove, path)

    async def there(self) -> Mapping[Tenant, frozenset[str]]:
        """Answer of which tenants something is on the disk, and of which of their runs."""
        return await asyncio.to_thread(self._layout.there)

    async def prune(self, *, unused_since: float) -> None:
        """Remove mirrors that no run has used since that time: the next one fetches anew."""
        for path in await asyncio.to_thread(self._layout.mirrors):
            await asyncio.to_thread(self._mirror(path).remove_if_unused, unused_since)

    async def forget(self, tenant: Tenant) -> None:
        """Remove everything of a tenant from the disk, its mirrors too."""
        await asyncio.to_thread(remove, self._layout.tenant(tenant))

    async def _put_submodules(
        self,
        tenant: Tenant,
        place: RunPlace,
        access: GitAccess | None,
        submodules: Sequence[Submodule],
        entries: Sequence[Entry],
    ) -> int:
        """Fill in the submodules, all within the bounds of one checkout; answer the bytes of everything."""
        files, size = len(entries), sum(entry.size for entry in entries)
        for submodule in submodules:
            name = f"submodule {shown(submodule.path)}"
            repository = Repository(name, submodule.url, submodule.commit)
            bounds = replace(
                self._bounds,
                checkout_files=max(self._bounds.checkout_files - files, 0),
                checkout_bytes=max(self._bounds.checkout_bytes - size, 0),
            )
            mirror = self._mirror(self._layout.mirror(tenant, submodule.url))
            async with mirror.locked():
                async with self._reach(repository, access, doing="read", branch=submodule.commit) as remote:
                    await mirror.fetch(remote, "", commit=submodule.commit)
                    inside = await entries_of(self._git, mirror.path, submodule.commit, name, bounds)
                with self._explained(repository, doing="checked out", branch=submodule.commit):
                    await put_submodule(self._git, mirror.path, place, submodule, inside)
            files, size = files + len(inside), size + sum(entry.size for entry in inside)
        return size

    async def _put_lfs(
        self,
        place: RunPlace,
        repository: Repository,
        access: GitAccess | None,
        pointers: Sequence[Pointer],
        used: int,
    ) -> tuple[Known, list[str]]:
        """Fill in what pointers name, with what is left of the bounds; git takes it for unchanged."""
        if not pointers:
            return Known(), []
        most = max(self._bounds.checkout_bytes - used, 0)
        transport = AiohttpTransport(self._proxy.guard, tls=self._git.tls)
        try:
            client = LfsClient(transport, repository, access, clock=self._clock, sleep=self._sleep)
            known, stayed = await put_objects(client, place, pointers, most=most)
        finally:
            await transport.aclose()
        await leave(self._git, place, [each.path for each in known.pointers])
        return known, stayed

    def _mirror(self, path: Path) -> Mirror:
        return Mirror(self._git, path, max_bytes=self._bounds.checkout_bytes, clock=self._clock)

    async def _at_forge(self, place: RunPlace, remote: Remote, ref: str) -> str | None:
        """Answer the commit that a ref has at the forge, or None."""
        told = await self._git.run(
            *("ls-remote", "--refs", "--end-of-options", remote.url, ref), at=At(place.git), remote=remote
        )
        lines = (line.split("\t") for line in told.decode(errors="replace").splitlines())
        return next((line[0] for line in lines if line[1:] == [ref]), None)

    async def _texts(
        self, mirror: Mirror, entries: list[Entry], files: Sequence[str]
    ) -> tuple[str | None, dict[str, str]]:
        """Answer the house rules, and those of the files that are there."""
        rules = await house_rules(self._git, mirror.path, entries, self._bounds)
        found = {file: await text_of(self._git, mirror.path, entries, file, self._bounds) for file in files}
        return rules, {file: text for file, text in found.items() if text is not None}

    async def _take_over(self, mirror: Mirror, place: RunPlace, branch: str) -> None:
        """Make the run's own repository of the mirror's: it needs no mirror and no other run any more."""
        await self._git.run("init", "--quiet", "--bare", "--template=", at=At(place.git))
        await self._git.run(
            *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"),
            *(mirror.path.as_uri(), f"+{mirror.ref(branch)}:refs/linkspan/base"),
            at=At(place.git),
            read_from=mirror.path,
        )

    async def _check_branch(self, branch: str) -> None:
        try:
            await self._git.run("check-ref-format", f"refs/heads/{branch}", at=At(Path("/")))
        except (GitFailed, ValueError) as error:
            raise InvalidArgument(
                "The base branch has a name that no branch can have",
                hint="Look at the base branch in the recipe's settings.",
            ) from error

    @contextlib.asynccontextmanager
    async def _reach(
        self, repository: Repository, access: GitAccess | None, *, doing: str, branch: str
    ) -> AsyncIterator[Remote]:
        """Let git reach the repository's forge, and nothing else, meanwhile."""
        host, port = _place_of(repository, access)
        permit = await self._proxy.admit(
            [(host, port)],
            max_bytes=self._bounds.checkout_bytes + _OVERHEAD,
            remedy="git reaches only the forge that the account was linked for.",
        )
        try:
            with self._explained(repository, doing=doing, branch=branch):
                yield Remote(repository.clone_url, access, permit.url)
        except Exception as error:
            if isinstance(permit.refusal, TooLarge):
                said = permit.refusal.message
                raise TooLarge(
                    f"{repository.id} is larger than a run may fetch: {said[0].lower()}{said[1:]}",
                    hint=REMEDY,
                ) from error
            if isinstance(permit.refusal, EgressRefused):
                raise permit.refusal from error
            raise
        finally:
            await self._proxy.revoke(permit)

    @contextlib.contextmanager
    def _explained(self, repository: Repository, *, doing: str, branch: str) -> Iterator[None]:
        try:
            yield
        except GitFailed as error:
            raise refusal(error, repository.id, doing=doing, branch=branch) from error


def _place_of(repository: Repository, access: GitAccess | None) -> tuple[str, int]:
    """Answer host and port of the forge. Raises `InvalidArgument` for a URL that git is not sent to."""
    url = repository.clone_url
    try:
        origin = origin_of(url)
        good = not any(mark in url for mark in "?#\\ \t\r\n\0") and (
            access is None or is_below(url, origin_of(access.origin) + "/")
        )
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument(
            f"The repository {repository.id} has an address that git is not sent to",
            hint="It must be https:// and on the origin that the forge account was linked for.",
        )
    host, _, port = origin.partition("://")[2].rpartition(":")
    return host, int(port)


def _start_over(place: RunPlace) -> None:
    """Make room: what is there was left by somebody who did not come to the end."""
    place.note.unlink(missing_ok=True)
    for path in (place.checkout, place.git):
        remove(path)
    make(place.path)
    make(place.git)
