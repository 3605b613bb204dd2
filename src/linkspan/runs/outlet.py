"""Letting a change out: commit, push, pull request or review, each once, whatever dies when."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linkspan.accounts.principal import Tenant
from linkspan.codex.engine import Engine
from linkspan.codex.places import Author, Change, Checkout, GitAccess, Places
from linkspan.errors import Conflict
from linkspan.runs.about import person_of, thread_of
from linkspan.runs.bell import Bell
from linkspan.runs.context import Context, Reader
from linkspan.runs.ids import approval_id
from linkspan.runs.kept import Kept
from linkspan.runs.lease import Lease, Mask
from linkspan.runs.ports import Forge, Publication
from linkspan.runs.recipes import AUTHOR
from linkspan.runs.subject import Subject
from linkspan.runs.tokens import RunTokens
from linkspan.runs.write_back import WriteBack
from linkspan.spec.templates import render
from linkspan.store import approvals as approval_rows
from linkspan.store import run_turns
from linkspan.store import tenants as tenant_rows
from linkspan.store.database import Database
from linkspan.store.runs import Run
from linkspan.telemetry import SILENT, Telemetry

Point = Callable[[str], None]
_LONGEST_TITLE = 200
_UNUSED = 14 * 86_400.0
"""Seconds for which a repository that was fetched is kept without a run on it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps work with."""

    db: Database
    kept: Kept
    tokens: RunTokens
    reader: Reader
    write_back: WriteBack
    engines: Mapping[str, Engine]
    places: Places
    forge: Forge
    bell: Bell
    work: Path
    """Where runs have their files."""
    base_url: str
    """Where the model proxy and the MCP endpoints are, as Codex reaches them."""
    clock: Callable[[], float]
    mask: Mask
    clean: Callable[[str], str]
    """Filters what a model wrote for people."""
    point: Point = lambda _name: None
    """Told at each moment at which dying would be worst: tests die there."""
    telemetry: Telemetry = SILENT


class Outlet:
    """Publishes what runs changed."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    async def publish(self, lease: Lease, context: Context) -> None:
        """Let the change out as the recipe says. Raises what the forge and git answer."""
        how = lease.recipe.publish.how
        if how == "patch":
            await self._keep_patch(lease)
        elif how != "nothing":
            await self._publish(lease, how, context)

    async def checkout(self, lease: Lease) -> tuple[Checkout, GitAccess | None]:
        """Answer the run's working tree, made if it is not there, and what opens its repository."""
        run = lease.run
        tenant = Tenant(run.tenant)
        repository, access = await self._p.forge.locate(
            tenant, str(run.repository), run=run.id, person=person_of(run)
        )
        goes_on_from = run.parent if thread_of(run) else None
        patch = b""
        if goes_on_from is not None:
            _artifact, patch = await self._p.kept.take(run.tenant, goes_on_from, "diff")
        checkout = await self._p.places.prepare(
            tenant,
            run.id,
            repository,
            access,
            base_branch=run.base_branch,
            commit=run.base_commit if lease.recipe.reviews_entity or run.goes_on or goes_on_from else None,
            files=[str(file) for file in lease.recipe.files_of(run.plan["settings"]).values()],
            also=lease.recipe.fetch,
            patch=patch,
        )
        return checkout, access

    async def keep(self, lease: Lease, name: str, media_type: str, data: bytes) -> None:
        """Keep something that the run made."""
        run = lease.run
        if not await self._p.kept.put(run.tenant, run.id, name, media_type, data, epoch=lease.epoch):
            await lease.check()

    async def tidy(self) -> None:
        """Remove from the disk what stayed behind of runs that have ended, and all of removed tenants."""
        there = await self._p.places.there()
        # Read after it: a tenant and a run are written down before they have a folder.
        known = {name for name, _created in await tenant_rows.everyone(self._p.db)}
        going_on = set(await run_turns.going_on(self._p.db))
        for tenant, runs in there.items():
            if tenant not in known:
                await self._p.places.forget(tenant)
                continue
            for run in runs:
                if (tenant, run) not in going_on:
                    await self._p.places.discard(tenant, run)
        await self._p.places.prune(unused_since=self._p.clock() - _UNUSED)

    async def _publish(self, lease: Lease, how: str, context: Context) -> None:
        base, tree = await self._shown(lease)
        checkout, access = await self.checkout(lease)
        if checkout.base_commit != base:
            raise Conflict(
                f"The working tree of the run was made anew, from {checkout.base_commit[:12]}: what was shown"
                f" was of {base[:12]}; nothing was published",
                hint="Retry the run: it makes its change anew, and asks again.",
            )
        change = await self._p.places.change(checkout)
        publication = self._publication(lease, checkout, access, change, context)
        if how == "review":
            output = json.loads((await self._p.kept.take(lease.run.tenant, lease.run.id, "output"))[1])
            await lease.check()
            told = await self._p.forge.review(publication, output)
            await lease.note("published", review=dict(told) or None)
            return
        message = _message(publication, lease.run, self._p.write_back.plain)
        await self._p.places.commit(checkout, author=_author(lease), message=message, tree=tree)
        self._p.point("committed")
        await lease.check()
        onto = lease.run.branch if lease.run.goes_on else None
        branch = await self._p.places.push(checkout, access, onto=onto)
        await lease.change(branch=branch)
        self._p.point("pushed")
        await lease.check()
        opened = await self._p.forge.open_pull_request(publication)
        self._p.point("opened")
        await lease.change(pull_request=dict(opened))
        await lease.note("published", pull_request=dict(opened))

    async def _shown(self, lease: Lease) -> tuple[str, str]:
        """Answer the base commit and the tree that may be published: those that a person has approved.

        Where nobody is asked they are those of the diff that was kept.
        """
        run = lease.run
        if not lease.recipe.asks_before_publishing:
            return str(run.base_commit), str(run.tree)
        asked = await approval_rows.find(self._p.db, run.tenant, approval_id(run.id, "publish"))
        if asked is None or asked.decision != "approve":
            raise Conflict("nobody has approved it; nothing was published")
        return str(asked.data.get("base_commit")), str(asked.data.get("tree"))

    def _publication(
        self,
        lease: Lease,
        checkout: Checkout,
        access: GitAccess | None,
        change: Change,
        context: Context,
    ) -> Publication:
        run, publish = lease.run, lease.recipe.publish
        values = self._p.write_back.values(run, context)
        title = render(publish.title, values) if publish.title else self._usual_title(lease)
        body = render(publish.body or "{{ run.summary }}", values)
        return Publication(
            tenant=Tenant(run.tenant),
            run=run.id,
            checkout=checkout,
            access=access,
            change=change,
            title=" ".join(self._p.clean(title).split())[:_LONGEST_TITLE],
            body=self._p.clean(body),
            draft=publish.draft,
            owner=person_of(run),
            person=run.person,
            subject=Subject.load(context.subject) if context.subject else None,
            branch=run.branch if run.goes_on else None,
            may_approve=publish.may_approve,
        )

    def _usual_title(self, lease: Lease) -> str:
        run, plain = lease.run, self._p.write_back.plain
        if run.entity_title:
            return f"{plain(run.entity_title)} ({plain(str(run.entity_id))})"
        return lease.recipe.title

    async def _keep_patch(self, lease: Lease) -> None:
        _artifact, diff = await self._p.kept.take(lease.run.tenant, lease.run.id, "diff")
        await self.keep(lease, "patch", "text/x-patch; charset=utf-8", diff)
        await lease.note("published", patch=True)


def _author(lease: Lease) -> Author:
    """Answer whose name the commit bears: the tenant's choice, where the recipe asks for one."""
    run, setting = lease.run, lease.recipe.setting_of("author")
    chosen = run.plan["settings"].get(setting.name) or setting.default if setting else None
    found = AUTHOR.fullmatch(str(chosen or ""))
    if found is None:
        return Author("Codex", f"codex+{run.tenant}@linkspan.invalid")
    return Author(found[1], found[2])


def _message(publication: Publication, run: Run, plain: Callable[[str], str]) -> str:
    """Answer the commit's message: a title, and what it is of as trailers (git-interpret-trailers)."""
    trailers = [f"Linkspan-Run: {run.id}"]
    if run.entity_id is not None:
        trailers.append(f"{str(run.entity).capitalize()}: {' '.join(plain(run.entity_id).split())}")
    if run.person is not None:
        trailers.append(f"Requested-by: {' '.join(run.person.split())}")
    return f"{publication.title}\n\n" + "\n".join(trailers) + "\n"
