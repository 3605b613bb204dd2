"""What becomes of pull requests that runs opened: told to their things, and gone on with after a review.

A forge's event is a hint like any other: the pull request and its reviews are read anew. Which run opened it
says the name of its branch, and that run must know it as its own: somebody else's branch of that name is
none of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from linkspan.accounts.principal import AccountId, Principal, Tenant
from linkspan.codex.places import run_of_branch
from linkspan.errors import NotFound
from linkspan.runs.context import Context, Json
from linkspan.runs.outlet import Parts
from linkspan.runs.runs import Runs
from linkspan.runs.starting import WorkedOn
from linkspan.spec.expressions import compile_predicate
from linkspan.spec.recipe import Aftermath, Follow, Recipe
from linkspan.store import run_events
from linkspan.store import runs as rows
from linkspan.store.deliveries import Arrival
from linkspan.store.runs import Run

_OVER: Final[dict[str, Aftermath]] = {"merged": "merged", "closed": "closed"}
_DECISIVE: Final = ("approved", "changes_requested", "dismissed")
_MOST_OF_ONE: Final = 100


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of an event; `waits_for`: it is looked at again when that run has ended."""

    told: str
    came_true: bool = False
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class _Afterwards:
    """A run that has ended, as what is told of it."""

    parts: Parts
    run: Run
    recipe: Recipe

    async def check(self) -> None:
        """Nobody works it any more."""

    async def note(self, kind: str, **data: Any) -> None:
        """Store an event of it."""
        run, now = self.run, self.parts.clock()
        data = {key: self.parts.mask(each) if isinstance(each, str) else each for key, each in data.items()}
        await run_events.append(
            self.parts.db, run.tenant, run.id, [(now, kind, data)], epoch=None, durable=True
        )
        self.parts.bell.of(run.id).ring()


class Following:
    """Works events of pull requests."""

    def __init__(self, parts: Parts, runs: Runs) -> None:
        self._p = parts
        self._runs = runs

    async def follow(self, arrival: Arrival, recipe: Recipe, follow: Follow, there: Json) -> Followed:
        """Answer what came of an event; `there` is the pull request, read anew.

        Raises what reading and writing at the products raises.
        """
        tenant = Tenant(arrival.tenant)
        first = await self._opened(arrival, recipe, str(there.get("head") or ""))
        if first is None:
            return Followed("no run of it opened this pull request")
        if first.pull_request is None:
            return Followed(f"{first.id} is about to open it", waits_for=first.id)
        chain = await rows.listed(
            self._p.db, tenant, recipe=recipe.name, branch=first.branch, limit=_MOST_OF_ONE
        )
        chain.sort(key=lambda run: run.created)
        going_on = next((run for run in chain if not run.is_finished), None)
        if (moment := _OVER.get(str(there.get("state")))) is not None:
            if going_on is not None:
                await self._runs.end_by_event(tenant, going_on.id, f"{arrival.connector}.{arrival.event}")
                return Followed(f"{going_on.id} ends first", waits_for=going_on.id)
            return await self._tell(chain, recipe, follow, moment, there)
        if arrival.does == "follow_end":
            return Followed("our own account did it")
        reviews = await self._reviews(arrival, first, follow)
        if not any(each.get("state") == "changes_requested" for each in reviews):
            if any(each.get("state") == "approved" for each in reviews):
                return await self._tell(chain, recipe, follow, "approved", there)
            return Followed("no review that decides anything")
        if follow.prompt is None:
            return await self._tell(chain, recipe, follow, "changes_requested", there)
        return await self._go_on(arrival, chain, follow, reviews, going_on)

    async def _go_on(
        self,
        arrival: Arrival,
        chain: Sequence[Run],
        follow: Follow,
        reviews: Sequence[Json],
        going_on: Run | None,
    ) -> Followed:
        """Start the next round, unless the reviews were gone on from already."""
        asked = [each for each in reviews if each.get("state") == "changes_requested"]
        if follow.when is not None:
            asked = [each for each in asked if compile_predicate(follow.when)(each)]
        known = {identified for run in chain for identified in run.plan.get("reviews", ())}
        fresh = [str(each["id"]) for each in asked if str(each["id"]) not in known]
        if not fresh:
            return Followed("no review that asks for more than was gone on from")
        if going_on is not None:
            return Followed(f"{going_on.id} goes on with it", waits_for=going_on.id)
        rounds = sum(run.goes_on for run in chain)
        if rounds >= follow.rounds:
            return Followed(f"Codex went on {rounds} times already, which is as often as it may")
        last = next((run for run in reversed(chain) if run.state == "succeeded"), chain[0])
        if last.private_to is not None:
            return Followed(f"{last.id} reads with a person's own accounts, and goes on when they say so")
        account = AccountId(arrival.account)
        source = f"webhook:{arrival.connector}"
        principal = Principal(Tenant(arrival.tenant), "service", source, ("run.start",), account=account)
        try:
            run = await self._runs.go_on(principal, last, reviews=fresh, key=arrival.id)
        except WorkedOn as error:  # on another branch, for another reason
            return Followed(error.message, waits_for=error.run)
        return Followed(run.id, came_true=True)

    async def _tell(
        self, chain: Sequence[Run], recipe: Recipe, follow: Follow, moment: Aftermath, there: Json
    ) -> Followed:
        """Note where the pull request stands, and tell the thing."""
        last = next((run for run in reversed(chain) if run.state == "succeeded"), chain[0])
        shown = {**(last.pull_request or {}), "state": there.get("state"), "draft": there.get("draft")}
        known = (last.pull_request or {}).get("state") == there.get("state")
        afterwards = _Afterwards(self._p, last, recipe)
        if not known and await rows.note_pull_request(
            self._p.db, last.tenant, last.id, shown, now=self._p.clock()
        ):
            await afterwards.note("pull_request", state=moment)
        back = follow.backs.get(moment)
        if back:
            await self._p.write_back.write(afterwards, moment, back, await self._context(last))
        self._p.bell.ring()
        return Followed(f"{last.id}: {moment}", came_true=True)

    async def _opened(self, arrival: Arrival, recipe: Recipe, branch: str) -> Run | None:
        """Answer the run that opened the pull request, or is about to."""
        named = run_of_branch(branch)
        found = await rows.find(self._p.db, arrival.tenant, named) if named is not None else None
        if found is None or found.recipe != recipe.name:
            return None
        if found.pull_request is None:
            return found if found.state == "publishing" else None
        return found if str(found.pull_request.get("id")) == arrival.entity_id else None

    async def _reviews(self, arrival: Arrival, first: Run, follow: Follow) -> list[Json]:
        """Answer the last review of each reviewer that decides something."""
        if follow.prompt is None and not follow.backs.keys() & {"approved", "changes_requested"}:
            return []
        seen_by = replace(first, account=arrival.account)
        found = await self._p.reader.pages(seen_by, "pull_request.reviews", {"id": arrival.entity_id})
        decisive = [each for each in found if each.get("state") in _DECISIVE]
        return list({str((each.get("author") or {}).get("id")): each for each in decisive}.values())

    async def _context(self, run: Run) -> Context:
        try:
            _artifact, data = await self._p.kept.take(run.tenant, run.id, "context")
        except NotFound:
            return Context()
        return Context.load(data)
