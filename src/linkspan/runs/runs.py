"""Runs as people and programs have them: asked for, watched, steered, decided and ended.

Nothing here works a run. It writes down what is asked, and whoever works runs, in this process or another,
finds it there.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.errors import Conflict, InvalidArgument, LinkspanError, NotFound
from linkspan.runs.about import approvers_of, still, thread_of, waits_to_publish
from linkspan.runs.asked import already_decided, check_input, check_texts, check_words
from linkspan.runs.bell import Bell
from linkspan.runs.budgets import Budget
from linkspan.runs.kept import Kept, no_artifact
from linkspan.runs.observed import tell_ended
from linkspan.runs.recipes import Recipes, TenantRecipe
from linkspan.runs.remembering import remember
from linkspan.runs.rights import asked_by, may, may_look, person_for, person_says, reader_of
from linkspan.runs.starting import Starting
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
from linkspan.store.runs import Run
from linkspan.store.usage import Usage
from linkspan.telemetry import SILENT, Telemetry

log = logging.getLogger("linkspan.runs")
_SHOWN: Final = ("diff", "patch", "transcript", "output")
"""What a tenant reads of what a run made. The engine's own record and what was read for it have everything in
them that a command printed and a product answered, unmasked, and its log names places of this machine: they
are for the operator."""


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
        telemetry: Telemetry = SILENT,
    ) -> None:
        """`has_own` tells whether a person may be shown by products what others of the tenant are not."""
        self._telemetry = telemetry
        self._db = db
        self._kept = kept
        self._recipes = recipes
        self._clock = clock
        self.bell = bell or Bell()
        self.starting = Starting(
            db, policy=policy, has_own=has_own, clock=clock, random=random, bell=self.bell
        )

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
        comment: str | None = None,
    ) -> Run:
        """Ask for a run of a recipe, and answer it; asked again with the same `key`, the same one.

        `source` is the door that the caller came through (api, mcp, cli, button, `webhook:NAME`): keys of
        different doors, and of different callers, are different. `person` is for whom a service asks;
        `comment` the id of the one that asks for it, which Codex is given.

        Raises `NotFound`, `Forbidden` (it is off, or the token may not), `InvalidArgument`, `QuotaExceeded`
        (the tenant's budget), `QueueFull`, and `Conflict` when the recipe is worked for that thing already,
        or the key was used for something else.
        """
        who = person_for(principal, person)
        found = await self.check(principal, recipe, entity_id=entity_id)
        check_texts(account, comment)
        run = self.starting.new(principal, found, source, key, who)
        run = replace(run, entity=found.recipe.entity, entity_id=entity_id, account=account)
        if comment is not None:
            run = replace(run, plan={**run.plan, "comment": comment})
        return await self.starting.add(principal, run)

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
        _check_no_turn(before)
        if not before.is_finished or before.state == "succeeded":
            raise Conflict(f"{run} {still(before)}, so there is nothing to retry")
        found = await self._recipes.require(principal.tenant, before.recipe)
        again = self.starting.after(principal, found, before, "retry", key, who)
        if before.goes_on:
            again = self.starting.on_the_same(again, before, before.plan.get("reviews", ()))
            again = replace(again, parent=before.parent, parent_how="review", person=who)
        return await self.starting.add(principal, again)

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
        _check_no_turn(before)
        if not before.is_finished or before.thread_id is None:
            raise Conflict(f"{run} {still(before)} and has no conversation to go on with")
        found = await self._recipes.require(principal.tenant, before.recipe)
        forked = self.starting.after(principal, found, before, "fork", key, who)
        return await self.starting.add(
            principal,
            replace(forked, plan={**forked.plan, "words": check_words(words)}, thread_id=before.thread_id),
        )

    async def go_on(self, principal: Principal, before: Run, *, reviews: Sequence[str], key: str) -> Run:
        """Let Codex go on after reviews, in the same thread and on the same branch. Raises what `start` does.

        `reviews` are the ids of those that ask for it.
        """
        may(principal, "run.start")
        found = await self._recipes.require(principal.tenant, before.recipe)
        run = self.starting.after(principal, found, before, "review", key, None)
        return await self.starting.add(principal, self.starting.on_the_same(run, before, reviews))

    async def get(self, principal: Principal, run: str) -> Run:
        """Answer a run of the principal's tenant that it may look at. Raises `NotFound`."""
        may(principal, "run.get", "read")
        found = await self.find(principal.tenant, run)
        if not may_look(principal, found):
            raise no_run(run)
        return found

    async def find(self, tenant: Tenant, run: str) -> Run:
        """Answer a run of the tenant, whoever asks. Raises `NotFound`."""
        found = await rows.find(self._db, tenant, run)
        if found is None:
            raise no_run(run)
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
            if not before.is_finished:
                tell_ended(told, self._telemetry)
                await self._remember(told)
        self.bell.ring()
        return told

    async def _remember(self, run: Run) -> None:
        """Keep the transcript of a run that ended before anybody took it. Without it, it has ended too."""
        try:
            await remember(self._db, self._kept, run, ending=run.error_message, epoch=None)
        except LinkspanError as error:
            log.warning("the transcript of run %s could not be kept: %s", run.id, error.message)
        except Exception:
            log.exception("the transcript of run %s could not be kept", run.id)

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
        check_texts(approval, note)
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

    async def budget(self, principal: Principal) -> Budget:
        """Answer what the tenant's runs used of its budget, and what is left."""
        may(principal, "usage.get", "read")
        return await self.starting.budget(principal.tenant)

    async def budget_left(self, tenant: Tenant) -> tuple[int | None, float | None]:
        """Answer the tokens and the money that the tenant's runs may still use; None: without bounds."""
        return await self.starting.budget_left(tenant)

    async def seconds_left(self, tenant: Tenant) -> float | None:
        """Answer how long Codex may still work for the tenant's runs; None: without bounds."""
        return await self.starting.seconds_left(tenant)

    async def _tell(self, run: Run, kind: str, data: Mapping[str, Any]) -> None:
        await event_rows.append(
            self._db, run.tenant, run.id, [(self._clock(), kind, data)], epoch=None, durable=True
        )
        self.bell.of(run.id).ring()


def no_run(run: str) -> NotFound:
    """Answer what is said of a run that is not there, or not for whoever asks."""
    return NotFound(f"there is no run {run!r}", hint="See: linkspan run list")


def _check_no_turn(run: Run) -> None:
    """Raise `Conflict` for a turn of a conversation: as a run of its own it would be open to others."""
    if thread_of(run) is not None:
        raise Conflict(
            f"{run.id} is a turn of a conversation, which goes on where it is had", hint="Say it there."
        )
