"""A run, its approvals and its events as every face shows them: no secrets, times in ISO 8601."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linkspan.runs.budgets import Budget, Share
from linkspan.store.artifacts import Artifact
from linkspan.store.outbox import iso
from linkspan.store.run_events import RunEvent
from linkspan.store.run_news import shown_approval, shown_run
from linkspan.store.usage import Usage

__all__ = [
    "run_url",
    "shown_approval",
    "shown_artifact",
    "shown_budget",
    "shown_event",
    "shown_run",
    "shown_usage",
]
Json = dict[str, Any]


def shown_event(event: RunEvent) -> Json:
    """Answer an event; its `seq` is what `Last-Event-ID` is compared with."""
    return {"seq": event.seq, "time": iso(event.time), "kind": event.kind, "data": dict(event.data)}


def shown_artifact(artifact: Artifact) -> Json:
    """Answer what is known of an artifact."""
    return {
        "name": artifact.name,
        "media_type": artifact.media_type,
        "size": artifact.size,
        "updated_at": iso(artifact.updated),
    }


def shown_usage(usage: Usage) -> Json:
    """Answer a sum of usage."""
    return {
        "recipe": usage.recipe,
        "model": usage.model,
        "runs": usage.runs,
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cost": usage.cost,
        "minutes": _minutes(usage.seconds),
    }


def shown_budget(budget: Budget) -> Json:
    """Answer what was used of a tenant's budget; without bounds where a `limit` is null."""
    return {
        "since": iso(budget.since),
        "tokens": _shown_share(budget.tokens, int),
        "money": _shown_share(budget.money, float),
        "minutes": _shown_share(budget.seconds, _minutes),
    }


def _shown_share(share: Share, unit: Callable[[float], float]) -> Json:
    said = {"used": share.used, "limit": share.limit, "left": share.left}
    return {name: None if value is None else unit(value) for name, value in said.items()}


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 3)


def run_url(base: str, tenant: str, run: str) -> str:
    """Answer where people watch a run."""
    return f"{base}/t/{tenant}/runs/{run}"
