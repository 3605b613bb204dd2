"""What Codex asks, and what it is answered: people's decisions to what is theirs, no to everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from linkspan.codex.app_server.rpc import Told
from linkspan.codex.engine import Decision, Json, Question

_KINDS: Final[dict[str, Literal["command", "file_change", "permissions"]]] = {
    "item/commandExecution/requestApproval": "command",
    "item/fileChange/requestApproval": "file_change",
    "item/permissions/requestApproval": "permissions",
}
_REASONS: Final = {
    "command": "Codex wants to run a command outside of its sandbox.",
    "file_change": "Codex wants to change files outside of the checkout.",
    "permissions": "Codex wants more than its sandbox allows.",
}
_WORDS: Final = {"approve": "accept", "decline": "decline", "cancel": "cancel"}
_NO: Final[dict[str, Json]] = {
    "item/tool/requestUserInput": {"answers": {}},
    "item/tool/call": {
        "success": False,
        "contentItems": [{"type": "inputText", "text": "There is no such tool."}],
    },
    "mcpServer/elicitation/request": {"action": "decline", "content": None, "_meta": None},
    "applyPatchApproval": {"decision": "denied"},
    "execCommandApproval": {"decision": "denied"},
}
"""The answers that decline, by method; what is not here is none that we know."""


def question_of(told: Told, items: Mapping[str, Json]) -> Question | None:
    """Answer what a person is asked, or None where no person is; `items` are those of the thread by id."""
    kind = _KINDS.get(told.method)
    if kind is None:
        return None
    params = told.params
    item = str(params.get("itemId") or "")
    data: Json = {"item_id": item}
    if kind == "command":
        data |= {name: params.get(name) for name in ("command", "cwd") if params.get(name) is not None}
        network = params.get("networkApprovalContext")
        if network:
            data["network"] = network
    elif kind == "file_change":
        data["changes"] = items.get(item, {}).get("changes", [])
    else:
        data["permissions"] = params.get("permissions")
    return Question(
        id=str(params.get("approvalId") or item or told.id),
        kind=kind,
        reason=str(params.get("reason") or _REASONS[kind]),
        data=data,
    )


def answer_of(told: Told, decision: Decision) -> Json:
    """Answer what Codex is answered for a decision."""
    if _KINDS[told.method] != "permissions":
        return {"decision": _WORDS[decision]}
    asked: Any = told.params.get("permissions") or {}
    granted = {name: value for name, value in asked.items() if value is not None}
    return {"permissions": granted if decision == "approve" else {}, "scope": "turn"}


def refusal_of(told: Told) -> Json | None:
    """Answer the no to what no person is asked, None for a question that we do not know."""
    return _NO.get(told.method)
