"""What a call answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from linkspan.net.limits import RateLimit


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `next_cursor` is ours: sealed, bound to tenant, account and operation."""

    result: list[Any]
    next_cursor: str | None
    account: str
    resume_after: Callable[[int], str]
    """Answers the cursor that goes on after the first N items of `result` (for answers cut to a size)."""
    truncated: bool = False
    rate_limit: RateLimit | None = None

    def to_dict(self) -> dict[str, Any]:
        """`{"result": […], "next_cursor": …}`, with `truncated` where it applies."""
        shown: dict[str, Any] = {"result": self.result, "next_cursor": self.next_cursor}
        if self.truncated:
            shown["truncated"] = True
        return shown


@dataclass(frozen=True, slots=True)
class Item:
    """One thing, or what a write answered (None for an empty answer)."""

    result: Any
    account: str
    rate_limit: RateLimit | None = None
    is_replayed: bool = False
    """Whether it is the answer of an earlier call that was the same."""

    def to_dict(self) -> dict[str, Any]:
        """`{"result": {…}}`."""
        return {"result": self.result}


@dataclass(frozen=True, slots=True)
class DryRun:
    """The exact request that a call would send; the credential is masked."""

    request: dict[str, Any]
    account: str

    def to_dict(self) -> dict[str, Any]:
        """`{"dry_run": true, "request": {method, url, headers, body}}`."""
        return {"dry_run": True, "request": self.request}


@dataclass(frozen=True, slots=True)
class Blocks:
    """MCP content blocks, as the operation declares them."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    account: str = ""

    def to_dict(self) -> dict[str, Any]:
        """`{"content": […]}`."""
        return {"content": self.blocks}
