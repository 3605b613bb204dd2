"""How a run begins: what is settled when it is asked for, and whether it may be written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.codex.places import branch_of
from linkspan.errors import Conflict, InvalidArgument, QuotaExceeded, RateLimited
from linkspan.runs.about import is_talk_of, readers_of, still
from linkspan.runs.asked import same_run
from linkspan.runs.bell import Bell
from linkspan.runs.budgets import Budget, budget_of, used_up
from linkspan.runs.ids import run_id
from linkspan.runs.recipes import TenantRecipe
from linkspan.runs.rights import asked_by, may_look
from linkspan.spec.recipe import RunsPolicy
from linkspan.store import runs as rows
from linkspan.store import starts
from linkspan.store import usage as usage_rows
from linkspan.store.database import Database
from linkspan.store.runs import ParentHow, Run

_LONGEST_KEY: Final = 200
_COME_BACK: Final = 60.0
"""Seconds, for who finds too many runs waiting."""


class QueueFull(RateLimited):
    """As many runs of a tenant wait for their turn as may."""


class WorkedOn(Conflict):
    """A run of the recipe works on the thing already; `run` is its id, which not everybody may be told."""

    def __init__(self, there: Run, *, told: bool) -> None:
        thing = f"{there.entity} {there.entity_id}"
        if told:
            super().__init__(
                f"{there.id} works on {thing} already: it {still(there)}",
                hint=f"Watch it with: linkspan run watch {there.id}",
                details={"run": there.id, "state": there.state},
            )
        else:
            super().__init__(
                f"somebody else has {thing} worked on already", hint="Ask again when that has ended."
            )
        self.run = there.id


class Starting:
    """Writes down what is to be worked."""

    def __init__(
        self,
        db: Database,
        *,
        policy: Callable[[], RunsPolicy],
        has_own: Callable[[Tenant, str], Awaitable[bool]],
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        bell: Bell,
    ) -> None:
        """`has_own` tells whether a person may be shown by products what others of the tenant are not."""
        self._db = db
        self._policy = policy
        self._has_own = has_own
        self._clock = clock
        self._random = random
        self._bell = bell

    async def budget(self, tenant: Tenant) -> Budget:
        """Answer what the tenant's runs used of what they may, and what is left."""
        return await budget_of(self._db, self._policy(), tenant, now=self._clock())

    async def budget_left(self, tenant: Tenant) -> tuple[int | None, float | None]:
        """Answer the tokens and the money that the tenant's runs may still use; None: without bounds."""
        policy = self._policy()
        if policy.tenant_tokens is None and policy.tenant_money is None:
            return None, None
        used = await usage_rows.since(self._db, tenant, self._clock() - policy.every)
        tokens = None if policy.tenant_tokens is None else policy.tenant_tokens - used.total_tokens
        money = None if policy.tenant_money is None else policy.tenant_money - (used.cost or 0.0)
        return tokens, money

    async def seconds_left(self, tenant: Tenant) -> float | None:
        """Answer how long Codex may still work for the tenant's runs; None: without bounds."""
        policy = self._policy()
        if policy.tenant_seconds is None:
            return None
        worked = await rows.worked_seconds(self._db, tenant, self._clock() - policy.every)
        return policy.tenant_seconds - worked

    def new(
        self, principal: Principal, found: TenantRecipe, source: str, key: str | None, who: str | None
    ) -> Run:
        """Answer a run as it is written down; `key` is the caller's, and another caller's is another one."""
        if key is not None and (not key or len(key) > _LONGEST_KEY or not key.isprintable()):
            raise InvalidArgument(f"the key must have 1 to {_LONGEST_KEY} printable characters")
        named = key or self._random(16).hex()
        if principal.subject == source:  # a door of ours that asks by itself
            identified = run_id(principal.tenant, source, named)
        else:
            identified = run_id(principal.tenant, source, named, f"{principal.kind}:{principal.subject}")
        now = self._clock()
        recipe = found.recipe
        return Run(
            tenant=principal.tenant,
            id=identified,
            source=source,
            asker_kind=principal.kind,
            asker=principal.subject,
            person=who,
            recipe=recipe.name,
            plan={"recipe": recipe.plain, "settings": found.settings},
            state="queued",
            created=now,
            updated=now,
            engine=recipe.engine,
            model=recipe.model,
            repository=found.of_type("repository"),
            base_branch=found.of_type("branch"),
            branch=branch_of(identified) if recipe.publish.how == "pull_request" else None,
        )

    def after(
        self,
        principal: Principal,
        found: TenantRecipe,
        before: Run,
        how: ParentHow,
        key: str | None,
        who: str | None,
    ) -> Run:
        """Answer a run that goes on from one that has ended."""
        run = self.new(principal, found, f"{how}:{before.id}", key, who)
        asked = {name: before.plan[name] for name in ("comment",) if how == "retry" and name in before.plan}
        run = replace(
            run,
            plan={**run.plan, **asked},
            entity=before.entity,
            entity_id=before.entity_id,
            parent=before.id,
            parent_how=how,
        )
        if how == "fork":  # its conversation holds what was read then
            run = replace(run, private_to=before.private_to)
        if before.private_to in (None, principal.subject if principal.kind == "person" else None):
            run = replace(
                run,
                entity_title=before.entity_title,
                entity_url=before.entity_url,
                account=before.account,
            )
        return run

    def on_the_same(self, run: Run, before: Run, reviews: Sequence[str]) -> Run:
        """Answer a run that goes on in the conversation and with the pull request of one before it."""
        return replace(
            run,
            plan={**run.plan, "reviews": list(reviews)},
            person=before.person,
            entity_title=before.entity_title,
            entity_url=before.entity_url,
            account=before.account,
            repository=before.repository,
            base_branch=before.base_branch,
            branch=before.branch,
            pull_request=before.pull_request,
            thread_id=before.thread_id,
        )

    async def add(self, principal: Principal, run: Run) -> Run:
        """Write a run down, and answer it; or the same one, when it was asked for before.

        Raises `QuotaExceeded`, `QueueFull`, `WorkedOn`, and `Conflict` when the key was another run's.
        """
        there = await rows.find(self._db, run.tenant, run.id)
        if there is not None:
            return same_run(there, run)
        tenant = Tenant(run.tenant)
        await self._check_budget(tenant)
        if run.private_to is None and run.asker_kind == "person" and await self._has_own(tenant, run.asker):
            run = replace(run, private_to=run.asker)
        most, told = self._policy().waiting, {"state": "queued"}
        words = run.plan.get("words")
        said = {"by": asked_by(principal, run.person), "text": words} if words else None
        readers = readers_of(run)
        added = await starts.add(self._db, run, told=told, said=said, readers=readers, most_waiting=most)
        if added is None:
            raise no_tenant(run.tenant)
        if added == "full":
            raise QueueFull(
                f"tenant {tenant} has {most} runs that wait for their turn, and no more are taken for now",
                hint="Come back when some have begun, or cancel some: linkspan run list --state queued. It is"
                " `runs.waiting` in tools.yaml.",
                retry_after=_COME_BACK,
            )
        kept, is_new = added
        if kept.id != run.id:
            told_which = may_look(principal, kept) and is_talk_of(kept, run.asker, run.person)
            raise WorkedOn(kept, told=told_which)
        if not is_new:
            return same_run(kept, run)
        self._bell.ring()
        return kept

    async def _check_budget(self, tenant: Tenant) -> None:
        tokens, money = await self.budget_left(tenant)
        left = (tokens, money, await self.seconds_left(tenant))
        if any(each is not None and each <= 0 for each in left):
            raise QuotaExceeded(
                used_up(tenant, self._policy()),
                hint="It is `runs.budget` in tools.yaml; GET /usage says what was used.",
            )
