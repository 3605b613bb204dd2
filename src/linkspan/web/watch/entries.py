"""An event of a run as an entry of its page, and the colours of what state it is in.

An entry has a key: the item's that it tells of, or its event's number. What is told of a key later stands in
the place of what was told before, so that a stream may say anything twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from linkspan.runs.about import TITLES
from linkspan.runs.telling import lines_of
from linkspan.store.outbox import iso
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import STATES as ALL_STATES
from linkspan.store.runs import State

Entry = dict[str, Any]
TOLD: Final = (
    "state",
    "prepared",
    "item_completed",
    "asked",
    "decided",
    "steered",
    "cancel_requested",
    "interrupt_requested",
    "change",
    "published",
    "warning",
    "error",
)
"""Kinds of which an entry is left when all is over."""
_TONE_OF: Final[Mapping[State, str]] = {
    "queued": "waits",
    "preparing": "works",
    "running": "works",
    "waiting_approval": "asks",
    "publishing": "works",
    "succeeded": "good",
    "failed": "bad",
    "cancelled": "waits",
    "timed_out": "bad",
}
STATES: Final[Mapping[str, tuple[str, str]]] = {
    state: (TITLES[state], _TONE_OF[state]) for state in ALL_STATES
}
"""What a state is called, and which colour it has."""
_LONGEST: Final = 20_000
_TONES: Final = {"warning": "warn", "error": "bad", "asked": "asks", "decided": "asks"}


def entry_of(event: RunEvent) -> Entry | None:
    """Answer how an event is shown; None for one that has no entry of its own."""
    if event.kind in ("item_started", "item_completed"):
        item = event.data.get("item")
        made = _item(item, is_open=event.kind == "item_started") if isinstance(item, Mapping) else None
        if made is None or not isinstance(item, Mapping):
            return None
        return {**_entry(event, str(item.get("id") or event.seq)), **made}
    if event.kind not in TOLD:
        return None
    lines = [line.lstrip("*?!> ") for line in _lines(event)]
    if not lines:
        return None
    tone = _TONES.get(event.kind, "person" if event.kind == "steered" else "")
    return {**_entry(event, str(event.seq)), "form": "line", "lines": lines, "tone": tone}


def _entry(event: RunEvent, key: str) -> Entry:
    return {"key": key, "time": iso(event.time), "tone": "", "open": False}


def _lines(event: RunEvent) -> list[str]:
    data = event.data
    match event.kind:
        case "steered":
            return [f"{_who(data)} said: {data.get('text')}"]
        case "decided":
            words = {"approve": "approved it", "decline": "declined it", "cancel": "declined it, and ended"}
            return [f"{_who(data)} {words.get(str(data.get('decision')), data.get('decision'))}"]
        case "asked":
            return [str(data.get("reason") or f"It asks about: {data.get('what')}")]
        case "cancel_requested":
            return [f"{_who(data)} asked that it ends"]
        case "interrupt_requested":
            return [f"{_who(data)} ended Codex's turn"]
        case "prepared":
            return [f"Works on {data.get('repository')} at {str(data.get('base_commit'))[:12]}"]
        case "state":
            return [STATES.get(str(data.get("state")), (str(data.get("state")), ""))[0]]
    return lines_of(event)


def _who(data: Mapping[str, Any]) -> str:
    return str(data.get("by") or "somebody").partition(":")[2] or str(data.get("by"))


def _item(item: Mapping[str, Any], *, is_open: bool) -> Entry | None:
    match item.get("type"):
        case "agentMessage":
            text = _text(item.get("text"))
            return {"form": "words", "text": text, "open": is_open} if text or is_open else None
        case "reasoning":
            text = "\n".join(str(each) for each in item.get("summary") or item.get("content") or ())
            return {"form": "thought", "text": _text(text), "open": is_open} if text or is_open else None
        case "commandExecution":
            code = item.get("exitCode")
            return {
                "form": "command",
                "command": _text(item.get("command")),
                "output": _text(item.get("aggregatedOutput")).rstrip(),
                "ended": None if is_open else _ended(item.get("status"), code),
                "failed": not is_open and code != 0,
                "open": is_open,
            }
        case "fileChange":
            changes = [each for each in item.get("changes") or () if isinstance(each, Mapping)]
            return {
                "form": "files",
                "changes": [{"path": str(each.get("path")), "kind": _kind(each)} for each in changes],
                "status": str(item.get("status") or ""),
                "open": is_open,
            }
        case "mcpToolCall":
            error = item.get("error")
            return {
                "form": "tool",
                "tool": str(item.get("tool")),
                "arguments": _json(item.get("arguments")),
                "answer": _text(_answer(item)),
                "failed": bool(error) or item.get("status") == "failed",
                "open": is_open,
            }
        case "webSearch":
            return {"form": "line", "lines": [f"Searched the web: {item.get('query')}"], "tone": ""}
    return None


def _ended(status: Any, code: Any) -> str:
    if code == 0:
        return ""
    return f"exit code {code}" if code is not None else str(status or "did not end")


def _kind(change: Mapping[str, Any]) -> str:
    kind = change.get("kind")
    word = kind.get("type") if isinstance(kind, Mapping) else kind
    return {"add": "added", "delete": "deleted"}.get(str(word), "changed")


def _answer(item: Mapping[str, Any]) -> str:
    error = item.get("error")
    if error:
        return str(error.get("message") if isinstance(error, Mapping) else error)
    result = item.get("result")
    if not isinstance(result, Mapping):
        return str(result or "")
    texts = [str(each.get("text") or "") for each in result.get("content") or () if isinstance(each, Mapping)]
    return "\n".join(text for text in texts if text)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    return _text(json.dumps(value, ensure_ascii=False, indent=1)) if value else ""


def _text(value: Any) -> str:
    text = str(value or "")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… (cut)"
