"""How a step of a run ends: it goes on, it waits for a person, or the run is over with a sentence.

What the journal keeps of a step is a verdict and nothing else, as plain data: no customer's text is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from linkspan.errors import LinkspanError
from linkspan.store.runs import State

GO_ON: Final[dict[str, Any]] = {}
WAIT: Final[dict[str, Any]] = {"wait": True}


@dataclass(frozen=True, slots=True)
class End:
    """A run is over.

    `code` is one of errors.py, or cancelled, declined, superseded, timed_out, nothing_to_publish.
    """

    state: State
    code: str | None = None
    message: str | None = None

    def plain(self) -> dict[str, Any]:
        """Answer what the journal keeps."""
        return {"end": [self.state, self.code, self.message]}


BROKEN: Final = End("failed", "internal", "Something went wrong inside Linkspan; its log has more.")
"""The end of a run by a fault of ours."""


def end_of(verdict: dict[str, Any]) -> End | None:
    """Answer how the run ends; None when it goes on or waits."""
    return End(*verdict["end"]) if "end" in verdict else None


def failed(error: LinkspanError, *, doing: str) -> End:
    """Answer the end of a run that could not do something."""
    message = error.message.strip().rstrip(".")
    sentence = f"{doing}: {message}."
    return End("failed", error.code, f"{sentence} {error.hint}" if error.hint else sentence)


def cancelled(who: str | None) -> End:
    """Answer the end of a run that somebody cancelled, or that an event ended."""
    if who is not None and who.startswith("event:"):
        return End("cancelled", "superseded", f"It was ended by what happened: {who.partition(':')[2]}.")
    return End("cancelled", "cancelled", f"{name_of(who)} cancelled it." if who else "It was cancelled.")


def name_of(who: str) -> str:
    """Answer who did something as people say it: `bo`, or `al (through desk)`."""
    kind, _, rest = who.partition(":")
    subject, _, person = rest.partition(" for ")
    if person:
        return f"{person} (through {subject})"
    return "The operator" if kind == "operator" else subject
