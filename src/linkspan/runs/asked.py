"""What is asked of a run, judged: whether it can be meant, and whether it was asked before."""

from __future__ import annotations

from typing import Final

from linkspan.errors import Conflict, InvalidArgument
from linkspan.spec.recipe import Recipe
from linkspan.store.approvals import Approval, Decision
from linkspan.store.runs import Run

_LONGEST_WORDS: Final = 20_000
_PAST: Final = {"approve": "approved", "decline": "declined", "cancel": "cancelled"}


def check_input(recipe: Recipe, entity_id: str | None) -> None:
    """Raise `InvalidArgument` unless a recipe is started on what it is for."""
    check_texts(entity_id)
    if recipe.entity is None and entity_id is not None:
        raise InvalidArgument(f"the recipe {recipe.name} is started on nothing: leave the id away")
    if recipe.entity is not None and not entity_id:
        raise InvalidArgument(f"the recipe {recipe.name} is started on a {recipe.entity}: give its id")


def check_texts(*texts: str | None) -> None:
    """Raise `InvalidArgument` for a text that no encoding holds: it could be neither kept nor shown.

    Such come from JSON with half of a surrogate pair, and from a command line that is not UTF-8.
    """
    try:
        for text in texts:
            (text or "").encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            "A text holds a broken character (half of a surrogate pair)", hint="Send it as UTF-8."
        ) from error


def check_words(words: str) -> str:
    """Answer what a person says to Codex. Raises `InvalidArgument` for nothing, too much, and no text."""
    check_texts(words)
    text = words.strip()
    if not text or len(text) > _LONGEST_WORDS:
        raise InvalidArgument(f"say something, in at most {_LONGEST_WORDS} characters")
    return text


def same_run(there: Run, asked: Run) -> Run:
    """Answer the run that a key was used for. Raises `Conflict` when that was about something else."""
    elsewhere = None not in (there.account, asked.account) and there.account != asked.account
    one, other = ((run.recipe, run.entity_id, run.parent) for run in (there, asked))
    if one != other or elsewhere:
        raise Conflict(
            f"this key was used for {there.id}, which is about something else",
            hint="Take another key for another run.",
            details={"run": there.id},
        )
    return there


def already_decided(there: Approval, decision: Decision) -> Approval:
    """Answer a question that was decided before. Raises `Conflict` when that was otherwise, or too late."""
    if there.decided_by_kind == "withdrawn":
        raise Conflict("nobody waits for this answer any more", hint="See what the run asks now.")
    if there.decision is None or there.decided_by_kind == "deadline":
        raise Conflict("it is too late: what nobody decides by its deadline is declined")
    if there.decision != decision:
        raise Conflict(f"{there.person or there.decided_by} has {_PAST[there.decision]} it already")
    return there
