"""What surrounds a call: where it came from, and how to reach the person behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from linkspan.gateway.watch import Watch

Elicitor = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""Shows a form (message, JSON Schema); answers `{action, content}`, or None when the client cannot ask."""
ProgressTeller = Callable[[float, float | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Remote:
    """What a caller over REST knows of the product behind an operation. No model is given a way to say it."""

    query: tuple[tuple[str, str], ...] = ()
    """Parameters that are sent beside the operation's own."""
    body: Any = None
    """What is put into its body, object by object; or sent instead of it, where `replaces_body`."""
    replaces_body: bool = False
    is_shown: bool = False
    """Whether each thing has, as `remote_data`, what the product answered."""
    is_unmapped: bool = False
    """Whether things are answered as the product has them."""


NOTHING_MORE = Remote()


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Where a call came from. The Codex ids are what the client claims: recorded, never trusted."""

    request_id: str
    via: Literal["mcp", "cli", "rest", "run", "console"] = "mcp"
    client: str | None = None
    thread_id: str | None = None
    turn_id: str | None = None
    call_id: str | None = None
    elicit: Elicitor | None = None
    progress: ProgressTeller | None = None
    idempotency_key: str | None = None
    """What the caller calls this write, so that a repetition is told by it."""
    remote: Remote = NOTHING_MORE
    """What goes to the product beside the operation's own request, and how its answer is wanted."""
    only_show: bool = False
    """Show the request and send nothing. Of reads, too, whose tools have no `dry_run` to ask it with."""
    watch: Watch | None = None
    """Sees requests and answers on the way: for the operator's own command line, and for nobody else."""
