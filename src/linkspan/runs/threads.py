"""Threads of embedded sessions: a conversation with Codex that a person has from a product's page.

A turn is a run of the recipe that the page's view token is for. The first one is started, each later one goes
on from the last that succeeded: in its conversation, at its commit and with what was changed until then. A
turn that failed or was cancelled stays in the history, and nothing goes on from it.

A thread is its owner's alone: another person, thing, recipe or backend finds none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Conflict, Forbidden, NotFound, RateLimited
from linkspan.runs.about import still
from linkspan.runs.asked import check_input, check_words
from linkspan.runs.rights import may
from linkspan.runs.runs import Runs
from linkspan.runs.views import View
from linkspan.spec.recipe import Recipe
from linkspan.store import session_threads as rows
from linkspan.store.database import Database
from linkspan.store.runs import Run
from linkspan.store.session_threads import Owner, SessionThread
from linkspan.vault.keys import Random

MOST_THREADS: Final = 200
"""Of one person on one thing."""
MOST_TURNS: Final = 500
"""Of one thread."""


class Threads:
    """Begins threads and turns, and finds them."""

    def __init__(self, db: Database, runs: Runs, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._runs = runs
        self._clock = clock
        self._random = random

    async def recipe(self, view: View) -> Recipe:
        """Answer what a token's threads are worked by.

        Raises `Forbidden` for a token that is for none, and for a recipe that would publish by itself.
        """
        owner = owner_of(view)
        recipe = (await self._runs.recipe(view.principal.tenant, owner.recipe)).recipe
        if recipe.publish.how != "nothing" or recipe.engine != "app_server" or recipe.output is not None:
            raise Forbidden(
                f"the recipe {recipe.name} is not one to talk in",
                hint="A session's recipe publishes nothing, has no `output`, and is worked by app_server.",
            )
        return recipe

    async def start(self, view: View) -> SessionThread:
        """Begin a thread. Nothing is worked before somebody says something."""
        may(view.principal, "run.start")
        owner, recipe = owner_of(view), await self.recipe(view)
        check_input(recipe, owner.entity_id)
        if await rows.count(self._db, owner) >= MOST_THREADS:
            raise RateLimited(f"{owner.person} has {MOST_THREADS} threads on this, and no more are begun")
        now = self._clock()
        thread = SessionThread(
            owner.tenant,
            _uuid7(now, self._random(10)),
            owner.recipe,
            owner.entity_id,
            owner.account,
            owner.subject,
            owner.person,
            now,
            now,
        )
        if not await rows.insert(self._db, thread):
            raise no_tenant(owner.tenant)
        return thread

    async def get(self, view: View, thread: str) -> SessionThread:
        """Answer a thread of the token's own. Raises `NotFound` for every other."""
        found = await rows.find(self._db, owner_of(view), thread)
        if found is None:
            raise NotFound(f"there is no thread {thread[:100]!r}")
        return found

    async def list(
        self, view: View, *, before: tuple[float, str] | None = None, limit: int = 25
    ) -> Sequence[SessionThread]:
        """Answer the token's threads, the one that was spoken in last first."""
        return await rows.listed(self._db, owner_of(view), before=before, limit=limit)

    async def turns(self, thread: SessionThread) -> Sequence[Run]:
        """Answer the turns of a thread, oldest first."""
        return [run for _number, run in await rows.turns(self._db, thread.tenant, thread.id)]

    async def say(self, view: View, thread: SessionThread, words: str) -> Run:
        """Begin a turn. Raises `Conflict` while one goes on, and what starting a run raises."""
        may(view.principal, "run.start")
        await self.recipe(view)
        found = await self._runs.check(view.principal, thread.recipe, entity_id=thread.entity_id)
        turns = await self.turns(thread)
        if turns and not turns[-1].is_finished:
            raise Conflict(f"the turn {turns[-1].id} {still(turns[-1])}: steer it, or wait for its end")
        number = await rows.last_number(self._db, thread.tenant, thread.id) + 1
        if number > MOST_TURNS:
            raise Conflict(f"the thread has {MOST_TURNS} turns, and no more are begun: start another one")
        before = next((run for run in reversed(turns) if run.state == "succeeded"), None)
        key, starting = f"{thread.id}:{number}", self._runs.starting
        if before is None or before.thread_id is None:
            run = starting.new(view.principal, found, "session", key, thread.person)
            run = replace(run, entity=found.recipe.entity, entity_id=thread.entity_id, account=thread.account)
        else:
            run = starting.after(view.principal, found, before, "fork", key, thread.person)
            run = replace(
                run,
                thread_id=before.thread_id,
                repository=before.repository,
                base_branch=before.base_branch,
                base_commit=before.base_commit,
            )
        run = replace(run, plan={**run.plan, "words": check_words(words), "thread": thread.id})
        if not await rows.begin_turn(self._db, thread, number, run.id, now=self._clock()):
            raise Conflict("somebody has just said something else in this thread")
        return await starting.add(view.principal, run)

    async def turn(self, thread: SessionThread, turn: str) -> Run:
        """Answer a turn of a thread. Raises `NotFound`."""
        found = next((run for run in await self.turns(thread) if run.id == turn), None)
        if found is None:
            raise NotFound(f"the thread has no turn {turn[:100]!r}")
        return found

    async def steer(self, view: View, thread: SessionThread, turn: str, words: str) -> Run:
        """Say something to Codex in a turn that goes on. Raises `Conflict` when it does not."""
        found = await self.turn(thread, turn)
        return await self._runs.steer(view.principal, found.id, words, person=thread.person)

    async def interrupt(self, view: View, thread: SessionThread, turn: str) -> Run:
        """End a turn and keep what it has done; one that Codex is not at work on yet is cancelled."""
        found = await self.turn(thread, turn)
        if found.is_finished:
            raise Conflict(f"the turn {turn} {still(found)}")
        if found.state == "running":
            return await self._runs.interrupt(view.principal, found.id, person=thread.person)
        return await self._runs.cancel(view.principal, found.id, person=thread.person)


def owner_of(view: View) -> Owner:
    """Answer whose threads a token is for. Raises `Forbidden` for one that is for no session."""
    token = view.token
    if token.recipe is None or token.person is None:
        raise Forbidden(
            "this view token is for no session",
            hint="A session's token is for a `recipe`, not for a run, and names the `person` who talks.",
        )
    return Owner(
        Tenant(token.tenant), token.subject, token.person, token.recipe, token.entity_id, token.account
    )


def _uuid7(now: float, random: bytes) -> str:
    """Answer an id that sorts by its time, as Codex's own do (RFC 9562 §5.7)."""
    value = int(now * 1000).to_bytes(6, "big") + random
    number = int.from_bytes(value, "big")
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
