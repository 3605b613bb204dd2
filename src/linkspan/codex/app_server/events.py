"""Codex's notifications as events of a run: what matters for watching and for the record, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from linkspan.codex.app_server.failures import code_of, failure_of
from linkspan.codex.app_server.rpc import Told
from linkspan.codex.engine import Event, EventKind, Json

Params = Mapping[str, Any]


def event_of(told: Told) -> Event | None:
    """Answer the event that a notification is, or None for one that nobody needs."""
    made = _MAKERS.get(told.method)
    if made is None:
        return None
    kind, data = made
    return Event(kind, data(told.params))


def _turn_completed(params: Params) -> Json:
    turn = params["turn"]
    data: Json = {"id": turn["id"], "status": turn["status"]}
    if turn.get("error"):
        failure = failure_of(turn["error"])
        data["error"] = {"code": failure.code, "message": failure.message}
    return data


def _usage(params: Params) -> Json:
    total = params["tokenUsage"]["total"]
    return {
        "input_tokens": total["inputTokens"],
        "cached_input_tokens": total["cachedInputTokens"],
        "output_tokens": total["outputTokens"],
        "reasoning_output_tokens": total["reasoningOutputTokens"],
        "total_tokens": total["totalTokens"],
    }


def _error(params: Params) -> Json:
    error = params["error"]
    return {
        "message": failure_of(error).message,
        "code": code_of(error),
        "will_retry": params["willRetry"],
    }


def _delta(params: Params) -> Json:
    return {"item_id": params["itemId"], "text": params["delta"]}


def _item(params: Params) -> Json:
    return {"item": dict(params["item"])}


def _warning(params: Params) -> Json:
    return {"message": params.get("message") or params.get("summary") or ""}


_MAKERS: Final[dict[str, tuple[EventKind, Callable[[Params], Json]]]] = {
    "turn/started": ("turn_started", lambda params: {"id": params["turn"]["id"]}),
    "turn/completed": ("turn_completed", _turn_completed),
    "item/started": ("item_started", _item),
    "item/completed": ("item_completed", _item),
    "item/agentMessage/delta": ("message_delta", _delta),
    "item/reasoning/summaryTextDelta": ("reasoning_delta", _delta),
    "item/reasoning/textDelta": ("reasoning_delta", _delta),
    "item/commandExecution/outputDelta": ("output_delta", _delta),
    "turn/plan/updated": (
        "plan",
        lambda params: {"steps": [{"step": s["step"], "status": s["status"]} for s in params["plan"]]},
    ),
    "turn/diff/updated": ("diff", lambda params: {"diff": params["diff"]}),
    "thread/tokenUsage/updated": ("usage", _usage),
    "warning": ("warning", _warning),
    "configWarning": ("warning", _warning),
    "error": ("error", _error),
}
