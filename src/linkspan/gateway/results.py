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
    connector: str = ""

    def to_dict(self) -> dict[str, Any]:
        """`{"result": […], "next_cursor": …}`, whose it is, and `truncated` where it applies."""
        shown: dict[str, Any] = {"result": self.result, "next_cursor": self.next_cursor}
        if self.truncated:
            shown["truncated"] = True
        return {**shown, **_whose(self.account, self.connector)}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing, or what a write answered (None for an empty answer)."""

    result: Any
    account: str
    rate_limit: RateLimit | None = None
    is_replayed: bool = False
    """Whether it is the answer of an earlier call that was the same."""
    connector: str = ""

    def to_dict(self) -> dict[str, Any]:
        """`{"result": {…}}`, and whose it is."""
        return {"result": self.result, **_whose(self.account, self.connector)}


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


def _whose(account: str, connector: str) -> dict[str, Any]:
    """Answer which linked account something came from; what Linkspan answers by itself is of none."""
    told = {"account": account, "connector": connector}
    return {name: value for name, value in told.items() if value}
