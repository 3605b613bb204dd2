"""What a run says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkspan.spec.recipe import Recipe, read
from linkspan.store.runs import Run, State

TITLES: Final[Mapping[State, str]] = {
    "queued": "Queued",
    "preparing": "Preparing",
    "running": "Codex is at work",
    "waiting_approval": "Waits for a person",
    "publishing": "Publishing",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "timed_out": "Ran out of time",
}
"""What a state is called where it stands by itself."""
STILL: Final[Mapping[str, str]] = {
    "queued": "waits for its turn",
    "preparing": "is being prepared",
    "running": "is at work",
    "waiting_approval": "waits for a person",
    "publishing": "is being published",
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "timed_out": "ran out of time",
}
"""What is said of a run in a state, in a sentence."""


def recipe_of(run: Run) -> Recipe:
    """Answer the recipe that a run was started with."""
    return read(run.recipe, run.plan["recipe"])


def approvers_of(run: Run) -> tuple[str, ...]:
    """Answer who may approve what a run asks; nobody named: everybody whose token may."""
    setting = recipe_of(run).setting_of("people")
    return tuple(run.plan["settings"].get(setting.name) or ()) if setting else ()


def readers_of(run: Run) -> tuple[str, ...]:
    """Answer the people who may look at a run that is private: who asked, and who may be asked."""
    return () if run.private_to is None else (run.private_to, *approvers_of(run))


def person_of(run: Run) -> str | None:
    """Answer whose own accounts a run may use: those of the person whose own token asked, if it is theirs."""
    return run.private_to if (run.asker_kind, run.asker) == ("person", run.private_to) else None


def thread_of(run: Run) -> str | None:
    """Answer which thread of an embedded session it is a turn of."""
    thread = run.plan.get("thread")
    return None if thread is None else str(thread)


def is_talk_of(run: Run, asker: str, person: str | None) -> bool:
    """Tell whether a run is a turn of this person's, or of nobody's: what is said in one is for no other.

    `asker` is the backend that vouches for the person.
    """
    return thread_of(run) is None or (run.asker, run.person) == (asker, person)


def waits_to_publish(run: Run) -> bool:
    """Tell whether it waits for a person with nobody at work: before it publishes."""
    return run.state == "waiting_approval" and run.worker is None


def still(run: Run) -> str:
    """Answer a run's state as a sentence goes on with it."""
    return STILL[run.state]


def in_a_line(run: Run) -> str:
    """Answer for a log what became of a run that has ended: no customer's words, its row has the sentence."""
    seconds = (run.finished or run.updated) - (run.started or run.created)
    return (
        f"run {run.id} of tenant {run.tenant} ended: {run.state}, {run.error_code or 'no error'}"
        f" (recipe {run.recipe}, {seconds:.0f} s, {run.total_tokens} tokens)"
    )
