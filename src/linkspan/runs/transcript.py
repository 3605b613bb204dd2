"""The transcript of a run: what people and Codex did, in order, as Markdown that is read without us."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from linkspan.runs.telling import lines_of, searched
from linkspan.store.audit import AuditRow
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run

_TICKS: Final = re.compile("`+")
_WORDS: Final = ("agentMessage", "userMessage")


def transcript_of(
    run: Run, events: Sequence[RunEvent], calls: Sequence[AuditRow], *, ending: str | None = None
) -> str:
    """Answer the transcript; `ending` is the sentence of an end that the run's row does not have yet."""
    called = {call.call_id: call for call in calls if call.call_id}
    parts = [f"# {_title(run)}", "\n".join(f"- {line}" for line in facts_of(run, ending=ending))]
    if run.summary:
        parts += ["## What Codex says it did", _quoted(run.summary)]
    parts.append("## What happened")
    for event in events:
        told = _told(event, called)
        if told:
            parts.append(f"{clock(event.time)} {told}")
    return "\n\n".join(parts) + "\n"


def terms_texts(run: Run, events: Iterable[RunEvent], *, ending: str | None = None) -> list[str]:
    """Answer the texts by whose words a run is found: nothing of what commands printed, or files held."""
    known = (run.id, run.recipe, run.entity_id, run.entity_title, run.repository, run.branch)
    people = (run.person, run.asker)
    texts = [text for text in (*known, *people, run.summary, ending or run.error_message) if text]
    return texts + [line for event in events for line in searched(lines_of(event))]


def facts_of(run: Run, *, ending: str | None = None) -> list[str]:
    """Answer in lines what a run was, by whom and where."""
    about = f" for {run.entity} {run.entity_id}" if run.entity_id else ""
    lines = [
        f"Run {run.id} of the recipe {run.recipe}{about}",
        f"Asked for by {run.person or run.asker} ({run.source}), {moment(run.created)}",
    ]
    if run.repository:
        base = f", from {run.base_commit[:12]}" if run.base_commit else ""
        branch = f", branch {run.branch}" if run.branch else ""
        lines.append(f"Repository {run.repository}{branch}{base}")
    if run.thread_id:
        lines.append(f"Conversation {run.thread_id}{f', model {run.model}' if run.model else ''}")
    if run.total_tokens:
        cost = f", cost {run.cost:g}" if run.cost is not None else ""
        lines.append(f"{run.total_tokens:,} tokens{cost}")
    if run.pull_request and run.pull_request.get("url"):
        lines.append(f"Published: {run.pull_request['url']}")
    end = ending or run.error_message
    if end:
        lines.append(f"Ended: {end}")
    return lines


def call_line(call: AuditRow) -> str:
    """Answer what a call did in a line: the tool, the thing, how it ended."""
    thing = f"{call.entity} {call.entity_id}" if call.entity_id else call.entity
    status = f" (upstream {call.upstream_status})" if call.upstream_status else ""
    return f"{call.tool} on {thing}: {call.outcome}{status}, {call.duration_ms:.0f} ms"


def clock(seconds: float) -> str:
    """Answer a time of day."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")


def moment(seconds: float) -> str:
    """Answer a moment as people read it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def item_of(event: RunEvent) -> Mapping[str, Any]:
    """Answer the item that an event tells of; empty for another event."""
    found = event.data.get("item") if event.kind == "item_completed" else None
    return found if isinstance(found, Mapping) else {}


def _title(run: Run) -> str:
    title = f": {run.entity_title}" if run.entity_title else ""
    return " ".join(f"{run.recipe} {run.entity_id or ''}{title}".split())


def _told(event: RunEvent, called: Mapping[str, AuditRow]) -> str:
    item = item_of(event)
    call = called.get(str(item.get("id"))) if item.get("type") == "mcpToolCall" else None
    if call is not None:
        return f"Tool {_code(call_line(call))}"
    lines = lines_of(event)
    if not lines:
        return ""
    if item.get("type") in _WORDS:
        return f"Codex:\n\n{_quoted(str(item.get('text') or ''))}"
    if len(lines) == 1 and item.get("type") != "commandExecution":
        return _code(lines[0])
    return f"\n\n{_fenced(lines)}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _code(text: str) -> str:
    fence = "`" * (_longest(text) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _fenced(lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    fence = "`" * max(3, _longest(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest(text: str) -> int:
    return max((len(each) for each in _TICKS.findall(text)), default=0)
