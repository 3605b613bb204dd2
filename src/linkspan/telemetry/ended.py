"""A call that has ended, as meters count it and lines tell it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallEnded:
    """By names and ids alone: no argument, no word of an answer, and not which thing it was about."""

    tenant: str
    principal: str
    """`KIND:SUBJECT`."""
    tool: str
    entity: str
    connector: str
    account: str | None
    via: str
    outcome: str
    """`ok`, `dry_run`, `cancelled` or the code of an error."""
    status: int | None
    """What the product answered last."""
    seconds: float
    request_id: str
    writes: bool
