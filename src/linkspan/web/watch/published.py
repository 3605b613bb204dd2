"""How a run's pull request stands at its forge, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from linkspan.errors import LinkspanError, NotFound
from linkspan.runs.checks import Check, Checks
from linkspan.runs.runs import Runs
from linkspan.web.watch.viewer import Viewer

SAFE: Final = ("https://", "http://")
"""What begins an address that a browser opens as a page."""
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "draft": ("Draft", "waits"),
    "open": ("Open", "works"),
    "merged": ("Merged", "good"),
    "closed": ("Closed", "waits"),
}
_REVIEWS: Final[Mapping[str, str]] = {
    "requested": "a review is asked for",
    "commented": "reviewers commented",
    "changes_requested": "reviewers ask for changes",
    "approved": "reviewers approve",
}
_CONCLUSIONS: Final[Mapping[str, tuple[str, str]]] = {
    "success": ("passed", "good"),
    "failure": ("failed", "bad"),
    "timed_out": ("failed: out of time", "bad"),
    "action_required": ("waits for somebody", "bad"),
    "neutral": ("passed, with remarks", "good"),
    "skipped": ("skipped", "waits"),
    "cancelled": ("cancelled", "waits"),
    "stale": ("stale", "waits"),
}
_ORDER: Final = ("bad", "works", "waits", "good")
"""What somebody has to look at comes first."""


async def standing_of(checks: Checks, viewer: Viewer, runs: Runs, run: str) -> dict[str, Any]:
    """Answer the words for it; a forge that cannot be asked now is said to be one."""
    found = await runs.get(viewer.principal, run)
    try:
        standing = await checks.of(found)
    except NotFound:
        return _fault("The forge shows it no more, or not to the account that is linked.", again=False)
    except LinkspanError:
        return _fault("The forge could not be asked just now.", again=True)
    word, tone = _STATES.get(standing.state, (standing.state.capitalize(), "waits"))
    known = standing.checks or ()
    may_grow = standing.checks is not None and checks.may_grow(found)
    shown = sorted(map(_shown, known), key=lambda each: (_ORDER.index(each["tone"]), each["name"]))
    return {
        "fault": None,
        "word": word,
        "tone": tone,
        "review": _REVIEWS.get(standing.review or ""),
        "checks": shown,
        "knows": standing.checks is not None,
        "sum": _sum(shown),
        "again": standing.state in ("draft", "open")
        and (may_grow or not all(each.is_over for each in known)),
    }


def _fault(told: str, *, again: bool) -> dict[str, Any]:
    return {"fault": told, "again": again}


def _shown(check: Check) -> dict[str, Any]:
    word, tone = "is under way" if check.status == "in_progress" else "waits to begin", "works"
    if check.is_over:
        word, tone = _CONCLUSIONS.get(check.conclusion or "", ("has ended", "waits"))
    url = check.url if check.url is not None and check.url.startswith(SAFE) else None
    return {"name": check.name, "word": word, "tone": tone, "url": url}


def _sum(shown: list[dict[str, Any]]) -> str:
    counts = Counter(each["tone"] for each in shown)
    words = {"good": "passed", "bad": "failed", "works": "under way", "waits": "left out"}
    return ", ".join(f"{counts[tone]} {word}" for tone, word in words.items() if counts[tone])
