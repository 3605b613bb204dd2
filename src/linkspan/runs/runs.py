"""Runs as people and programs have them: asked for, watched, steered, decided and ended.

Nothing here works a run. It writes down what is asked, and whoever works runs, in this process or another,
finds it there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.codex.places import branch_of
from linkspan.errors import Conflict, InvalidArgument, NotFound, QuotaExceeded, RateLimited
from linkspan.runs.about import approvers_of, readers_of, still, waits_to_publish
from linkspan.runs.asked import already_decided, check_input, check_words, same_run
from linkspan.runs.bell import Bell
from linkspan.runs.ids import run_id
from linkspan.runs.kept import Kept, no_artifact
from linkspan.runs.recipes import Recipes, TenantRecipe
from linkspan.runs.rights import asked_by, may, may_look, person_for, person_says, reader_of
from linkspan.runs.verdicts import End, cancelled
from linkspan.spec.recipe import RunsPolicy
from linkspan.store import approvals as approval_rows
from linkspan.store import run_events as event_rows
from linkspan.store import runs as rows
from linkspan.store import usage as usage_rows
from linkspan.store.approvals import Approval, Decision
from linkspan.store.artifacts import Artifact
from linkspan.store.database import Database
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import ParentHow, Run
from linkspan.store.usage import Usage

_LONGEST_KEY: Final = 200
_COME_BACK: Final = 60.0
"""Seconds, for who finds too many runs waiting."""
_SHOWN: Final = ("diff", "patch", "transcript", "output")
"""What a tenant reads of what a run made. The engine's own record and what was read for it have everything in
them that a command printed and a product answered, unmasked: they are for the operator."""


class QueueFull(RateLimited):
    """As many runs of a tenant wait for their turn as may."""


class Runs:
    """Starts, finds, steers and ends the runs of tenants."""

    def __init__(
        self,
        db: Database,
        kept: Kept,
        recipes: Recipes,
        *,
        policy: Callable[[], RunsPolicy],
        has_own: Callable[[Tenant, str], Awaitable[bool]],
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        bell: Bell | None = None,
    ) -> None:
        """`has_own` tells whether a person may be shown by products what others of the tenant are not."""
        self._db = db
        self._kept = kept
        self._recipes = recipes
        self._policy = policy
        self._has_own = has_own
        self._clock = clock
        self._random = random
        self.bell = bell or Bell()

    async def start(
        self,
        principal: Principal,
        recipe: str,
        *,
        source: str,
        entity_id: str | None = None,
        account: str | None = None,
        key: str | None = None,
        person: str | None = None,
    ) -> Run:
        """Ask for a run of a recipe, and answer it; asked again with the same `key`, the same one.

        `source` is the door that the caller came through (api, mcp, cli, button, `webhook:NAME`): keys of
        different doors are different. `person` is for whom a service asks. Raises `NotFound`, `Forbidden`
        (it is off, or the token may not), `InvalidArgument`, `QuotaExceeded` (the tenant's budget), and
        `Conflict` when the recipe is worked for that thing already, or the key was used for something else.
        """
        who = person_for(principal, person)
        found = await self.check(principal, recipe, entity_id=entity_id)
        run = self._new(principal, found, source, key, who)
        run = replace(run, entity=found.recipe.entity, entity_id=entity_id, account=account)
        return await self._add(run)

    async def recipe(self, tenant: Tenant, name: str) -> TenantRecipe:
        """Answer a recipe as the tenant has it, on or off. Raises `NotFound`."""
        return await self._recipes.get(tenant, name)

    async def check(self, principal: Principal, recipe: str, *, entity_id: str | None = None) -> TenantRecipe:
        """Answer the recipe, when it may be started so. Raises what `start` raises before it begins."""
        may(principal, "run.start")
        found = await self._recipes.require(principal.tenant, recipe)
        check_input(found.recipe, entity_id)
        return found

    async def retry(
        self, principal: Principal, run: str, *, key: str | None = None, person: str | None = None
    ) -> Run:
        """Do once more, from the beginning, what did not succeed. Raises `Conflict` while it goes on."""
        may(principal, "run.start")
        who = person_for(principal, person)
        before = await self.get(principal, run)
        if not before.is_finished or before.state == "succeeded":
            raise Conflict(f"{run} {still(before)}, so there is nothing to retry")
        found = await self._recipes.require(principal.tenant, before.recipe)
        return await self._add(self._after(principal, found, before, "retry", key, who))

    async def fork(
        self,
        principal: Principal,
        run: str,
        words: str,
        *,
        key: str | None = None,
        person: str | None = None,
    ) -> Run:
        """Go on from where a run ended, in a run of its own, with a person's words for Codex.

        Raises `Conflict` while it goes on, or when it had not begun to talk.
        """
        may(principal, "run.start")
        who = person_for(principal, person)
        before = await self.get(principal, run)
        if not before.is_finished or before.thread_id is None:
            raise Conflict(f"{run} {still(before)} and has no conversation to go on with")
        found = await self._recipes.require(principal.tenant, before.recipe)
        forked = self._after(principal, found, before, "fork", key, who)
        return await self._add(
            replace(forked, plan={**forked.plan, "words": check_words(words)}, thread_id=before.thread_id)
        )

    async def get(self, principal: Principal, run: str) -> Run:
        """Answer a run of the principal's tenant that it may look at. Raises `NotFound`."""
        may(principal, "run.get", "read")
        found = await self.find(principal.tenant, run)
        if not may_look(principal, found):
            raise _no_run(run)
        return found

    async def find(self, tenant: Tenant, run: str) -> Run:
        """Answer a run of the tenant, whoever asks. Raises `NotFound`."""
        found = await rows.find(self._db, tenant, run)
        if found is None:
            raise _no_run(run)
        return found

    async def list(
        self,
        principal: Principal,
        *,
        states: Sequence[str] = (),
        recipe: str | None = None,
        entity: str | None = None,
        entity_id: str | None = None,
        person: str | None = None,
        updated_after: float | None = None,
        after: tuple[float, str] | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Answer runs of the principal's tenant that it may look at, the one that changed last first.

        With `updated_after`, or `after` (change and id of the last one that was seen), in the order of their
        changes, for whoever follows them; with `before`, those that changed earlier.
        """
        may(principal, "run.list", "read")
        wrong = [state for state in states if state not in rows.STATES]
        if wrong:
            known = ", ".join(rows.STATES)
            raise InvalidArgument(f"no states of a run: {', '.join(wrong)}", hint=f"There are {known}.")
        return await rows.listed(
            self._db,
            principal.tenant,
            states=states,
            recipe=recipe,
            entity=entity,
            entity_id=entity_id,
            asker=person,
            reader=reader_of(principal),
            updated_after=updated_after,
            after=after,
            before=before,
            limit=limit,
        )

    async def events(
        self, principal: Principal, run: str, *, after: int = 0, limit: int = 500
    ) -> Sequence[RunEvent]:
        """Answer the events of a run after that number, in order. Raises `NotFound`."""
        await self.get(principal, run)
        return await event_rows.after(self._db, principal.tenant, run, after, limit=limit)

    async def approvals(self, principal: Principal, run: str) -> Sequence[Approval]:
        """Answer what a run has asked, decided or not. Raises `NotFound`."""
        await self.get(principal, run)
        return await approval_rows.of_run(self._db, principal.tenant, run)

    async def artifacts(self, principal: Principal, run: str) -> Sequence[Artifact]:
        """Answer what a run made, without the bytes. Raises `NotFound`."""
        await self.get(principal, run)
        made = await self._kept.of_run(principal.tenant, run)
        return [each for each in made if principal.kind == "operator" or each.name in _SHOWN]

    async def artifact(self, principal: Principal, run: str, name: str) -> tuple[Artifact, bytes]:
        """Answer one thing that a run made: diff, patch, transcript, output. Raises `NotFound`."""
        there = [each.name for each in await self.artifacts(principal, run)]
        if name not in there:
            raise no_artifact(run, name, there)
        return await self._kept.take(principal.tenant, run, name)

    async def cancel(self, principal: Principal, run: str, *, person: str | None = None) -> Run:
        """Ask a run to end; it has ended when its state says so. One that has ended stays as it is."""
        may(principal, "run.cancel")
        who = asked_by(principal, person_for(principal, person))
        return await self._stop(await self.get(principal, run), who, cancelled(who))

    async def _stop(self, before: Run, who: str, end: End) -> Run:
        told = await rows.ask_to_stop(
            self._db,
            before.tenant,
            before.id,
            who=who,
            code=end.code or "cancelled",
            message=end.message,
            now=self._clock(),
        )
        if told is None:
            return await self.find(Tenant(before.tenant), before.id)
        if before.stop is None:
            await self._tell(told, "cancel_requested", {"by": who})
        if told.is_finished:
            news = {"state": told.state, "code": told.error_code, "message": told.error_message}
            await self._tell(told, "state", news)
        self.bell.ring()
        return told

    async def end_by_event(self, tenant: Tenant, run: str, event: str) -> Run:
        """Ask a run to end because of what happened; one that publishes already, or is over, goes its way."""
        found = await self.find(tenant, run)
        if found.is_finished or found.state == "publishing":
            return found
        end = cancelled(f"event:{event}")
        return await self._stop(found, f"event:{event}", end)

    async def steer(self, principal: Principal, run: str, words: str, *, person: str | None = None) -> Run:
        """Say something to Codex while it works. Raises `Conflict` when it does not."""
        may(principal, "run.steer")
        who = asked_by(principal, person_for(principal, person))
        text = check_words(words)
        found = await self.get(principal, run)
        if found.is_finished or found.state == "publishing" or waits_to_publish(found):
            raise Conflict(f"{run} {still(found)}: Codex is not at work, so nobody would hear it")
        now = self._clock()
        await event_rows.say(self._db, principal.tenant, run, kind="steer", words=text, who=who, now=now)
        await self._tell(found, "steered", {"by": who, "text": text})
        self.bell.ring()
        return found

    async def interrupt(self, principal: Principal, run: str, *, person: str | None = None) -> Run:
        """End Codex's turn, and go on with what it has done. Raises `Conflict` when it does not work."""
        may(principal, "run.steer")
        who = asked_by(principal, person_for(principal, person))
        found = await self.get(principal, run)
        if found.state != "running":
            raise Conflict(f"{run} {still(found)}: Codex is not at work")
        now = self._clock()
        await event_rows.say(self._db, principal.tenant, run, kind="interrupt", words="", who=who, now=now)
        await self._tell(found, "interrupt_requested", {"by": who})
        self.bell.ring()
        return found

    async def decide(
        self,
        principal: Principal,
        run: str,
        approval: str,
        decision: Decision,
        *,
        person: str | None = None,
        note: str | None = None,
    ) -> Approval:
        """Answer a question of a run, for a person. The first answer counts; the same again is no fault.

        Raises `Forbidden` (no person, or none of the approvers), `NotFound`, and `Conflict` when it was
        decided otherwise, or too late.
        """
        may(principal, "run.approve")
        found = await self.get(principal, run)
        who = person_says(principal, "run.approve", person, approvers_of(found))
        there = await approval_rows.find(self._db, principal.tenant, approval)
        if there is None or there.run != run:
            raise NotFound(f"{run} has no question {approval!r}", hint=f"See: linkspan run show {run}")
        now = self._clock()
        decided = await approval_rows.decide(
            self._db,
            principal.tenant,
            approval,
            decision,
            kind=principal.kind,
            who=principal.subject,
            person=who,
            note=note,
            now=now,
        )
        if decided is None:
            again = await approval_rows.find(self._db, principal.tenant, approval)
            return already_decided(again or there, decision)
        await self._tell(
            found, "decided", {"approval": approval, "decision": decision, "by": asked_by(principal, who)}
        )
        self.bell.ring()
        return decided

    async def open_approval(self, principal: Principal, run: str) -> Approval:
        """Answer the one question that waits to be answered. Raises `NotFound` and `Conflict`."""
        now = self._clock()
        there = [each for each in await self.approvals(principal, run) if each.is_open(now)]
        if not there:
            raise NotFound(f"{run} waits for nobody")
        if len(there) > 1:
            ids = ", ".join(each.id for each in there)
            raise Conflict(f"{run} waits for {len(there)} answers", hint=f"Name one: {ids}.")
        return there[0]

    async def usage(self, principal: Principal, start: float, end: float | None = None) -> Sequence[Usage]:
        """Answer what the tenant's runs used that began in a time, by recipe and model."""
        may(principal, "usage.get", "read")
        return await usage_rows.by_recipe_and_model(self._db, principal.tenant, start, end)

    async def budget_left(self, tenant: Tenant) -> tuple[int | None, float | None]:
        """Answer the tokens and the money that the tenant's runs may still use; None: without bounds."""
        policy = self._policy()
        if policy.tenant_tokens is None and policy.tenant_money is None:
            return None, None
        used = await usage_rows.since(self._db, tenant, self._clock() - policy.every)
        tokens = None if policy.tenant_tokens is None else policy.tenant_tokens - used.total_tokens
        money = None if policy.tenant_money is None else policy.tenant_money - (used.cost or 0.0)
        return tokens, money

    def _new(
        self, principal: Principal, found: TenantRecipe, source: str, key: str | None, who: str | None
    ) -> Run:
        if key is not None and (not key or len(key) > _LONGEST_KEY or not key.isprintable()):
            raise InvalidArgument(f"the key must have 1 to {_LONGEST_KEY} printable characters")
        identified = run_id(principal.tenant, source, key or self._random(16).hex())
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

    def _after(
        self,
        principal: Principal,
        found: TenantRecipe,
        before: Run,
        how: ParentHow,
        key: str | None,
        who: str | None,
    ) -> Run:
        run = self._new(principal, found, f"{how}:{before.id}", key, who)
        run = replace(
            run,
            entity=before.entity,
            entity_id=before.entity_id,
            parent=before.id,
            parent_how=how,
        )
        if how == "fork":  # its conversation holds what was read then
            run = replace(run, private_to=before.private_to)
        if before.private_to in (None, principal.subject if principal.kind == "person" else None):
            run = replace(run, entity_title=before.entity_title, account=before.account)
        return run

    async def _add(self, run: Run) -> Run:
        there = await rows.find(self._db, run.tenant, run.id)
        if there is not None:
            return same_run(there, run)
        tenant = Tenant(run.tenant)
        await self._check_budget(tenant)
        if run.private_to is None and run.asker_kind == "person" and await self._has_own(tenant, run.asker):
            run = replace(run, private_to=run.asker)
        most, told = self._policy().waiting, {"state": "queued"}
        added = await rows.add(self._db, run, told=told, readers=readers_of(run), most_waiting=most)
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
            raise Conflict(
                f"{kept.id} works on {run.entity} {run.entity_id} already: it {still(kept)}",
                hint=f"Watch it with: linkspan run watch {kept.id}",
                details={"run": kept.id, "state": kept.state},
            )
        if not is_new:
            return same_run(kept, run)
        self.bell.ring()
        return kept

    async def _check_budget(self, tenant: Tenant) -> None:
        tokens, money = await self.budget_left(tenant)
        if (tokens is not None and tokens <= 0) or (money is not None and money <= 0):
            days = self._policy().every / 86_400
            raise QuotaExceeded(
                f"tenant {tenant} has used up its budget for runs of the last {days:g} days",
                hint="It is `runs.budget` in tools.yaml; GET /usage says what was used.",
            )

    async def _tell(self, run: Run, kind: str, data: Mapping[str, Any]) -> None:
        await event_rows.append(
            self._db, run.tenant, run.id, [(self._clock(), kind, data)], epoch=None, durable=True
        )


def _no_run(run: str) -> NotFound:
    return NotFound(f"there is no run {run!r}", hint="See: linkspan run list")
