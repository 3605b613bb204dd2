"""What happened in a run as lines for people: on a terminal, in a transcript, in an export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from linkspan.runs.about import STILL
from linkspan.store.run_events import RunEvent

_SHORT: Final = 200
_OUTPUT_LINES: Final = 12


def lines_of(event: RunEvent) -> list[str]:
    """Answer the lines that tell an event; none for what another event tells better (deltas, usage)."""
    data = event.data
    match event.kind:
        case "state":
            return [f"* {STILL.get(str(data.get('state')), data.get('state'))}"]
        case "prepared":
            return [f"* {data.get('repository')} at {str(data.get('base_commit'))[:12]}"]
        case "item_completed":
            return _item(data.get("item") or data)
        case "plan":
            return _plan(data)
        case "asked":
            reason = f": {data['reason']}" if data.get("reason") else ""
            return [
                f"? {data.get('what')} needs a person{reason} ({data.get('approval')}){_what_is_shown(data)}"
            ]
        case "decided":
            return [f"! {data.get('by')}: {data.get('decision')} ({data.get('approval')})"]
        case "steered":
            return [f"> {data.get('by')}: {_short(data.get('text'))}"]
        case "cancel_requested" | "interrupt_requested":
            what = "cancel" if event.kind == "cancel_requested" else "interrupt"
            return [f"> {data.get('by')}: {what}"]
        case "change":
            return _change(data)
        case "published":
            return [f"* published: {_published(data)}"]
        case "warning" | "error":
            return [f"! {_short(data.get('message'))}"]
    return []


def asked_for(data: Mapping[str, Any]) -> list[str]:
    """Answer the lines that say what a person would let Codex do: a command, files outside, wider bounds."""
    lines = [f"$ {data['command']}"] if data.get("command") else []
    changes = [each for each in data.get("changes") or () if isinstance(each, Mapping)]
    lines += [f"~ {each.get('path')}" for each in changes]
    if data.get("permissions"):
        lines.append(f"+ {json.dumps(data['permissions'], ensure_ascii=False)}")
    return lines


def searched(lines: Sequence[str]) -> list[str]:
    """Answer those of an event's lines by whose words a run is found: not what commands printed."""
    return [line for line in lines if not line.startswith("  ")]


def _item(item: Mapping[str, Any]) -> list[str]:
    match item.get("type"):
        case "agentMessage":
            return [line for line in str(item.get("text") or "").splitlines() if line.strip()]
        case "commandExecution":
            code = item.get("exitCode")
            first = f"$ {_short(item.get('command'))}"
            ended = [] if code == 0 else [f"  {_ended(item.get('status'), code)}"]
            return [first, *_output(item.get("aggregatedOutput")), *ended]
        case "fileChange":
            changes = item.get("changes") or []
            return [f"~ {_kind(change)} {change.get('path')}" for change in changes]
        case "mcpToolCall":
            failed = item.get("status") == "failed" or item.get("error")
            return [f"@ {item.get('tool')}{' (failed)' if failed else ''}"]
    return []


def _output(text: Any) -> list[str]:
    lines = str(text or "").splitlines()
    left = len(lines) - _OUTPUT_LINES
    shown = [f"  {_short(line)}" for line in (lines if left <= 0 else lines[-_OUTPUT_LINES:])]
    return [f"  … {left} lines before", *shown] if left > 0 else shown


def _ended(status: Any, code: Any) -> str:
    return f"exit code {code}" if code is not None else str(status or "did not end")


def _kind(change: Mapping[str, Any]) -> str:
    kind = change.get("kind")
    word = kind.get("type") if isinstance(kind, Mapping) else kind
    return {"add": "add", "delete": "delete"}.get(str(word), "edit")


def _plan(data: Mapping[str, Any]) -> list[str]:
    marks = {"completed": "x", "inProgress": "-", "in_progress": "-"}
    steps = data.get("steps") or []
    return [f"[{marks.get(str(step.get('status')), ' ')}] {_short(step.get('step'))}" for step in steps]


def _change(data: Mapping[str, Any]) -> list[str]:
    files = data.get("files") or []
    if not files:
        return ["* nothing was changed"]
    return [
        f"~ {each.get('path')} +{each.get('additions', 0)} -{each.get('deletions', 0)}"
        for each in files
        if isinstance(each, Mapping)
    ]


def _published(data: Mapping[str, Any]) -> str:
    made = data.get("pull_request") or data.get("review") or {}
    if data.get("patch"):
        return "a patch, among what the run made"
    url = made.get("url") if isinstance(made, Mapping) else None
    return str(url or "done")


def _what_is_shown(data: Mapping[str, Any]) -> str:
    """Answer which files a question whether to publish is about: these and no others are published."""
    if not data.get("tree"):
        return ""
    return f": tree {str(data['tree'])[:12]} on {str(data.get('base_commit'))[:12]}"


def _short(value: Any) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
