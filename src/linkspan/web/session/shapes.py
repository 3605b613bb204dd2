"""Runs and their events, in the words of Codex's protocol (0.163 to 0.169).

Items stand in events as Codex told them. What is changed of them: places of this machine are named as they
are called here, and the first thing that a person said is shown without the recipe's own words before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from linkspan import __version__
from linkspan.spec.recipe import Recipe
from linkspan.store.approvals import Approval
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run
from linkspan.store.session_threads import SessionThread

Json = dict[str, Any]
WORKSPACE: Final = "/workspace"
"""What a session's working tree is called, wherever it is."""
_PROVIDER: Final = "linkspan"
_LONGEST_PREVIEW: Final = 200
_DELTAS: Final[Mapping[str, tuple[str, Json]]] = {
    "message_delta": ("item/agentMessage/delta", {}),
    "reasoning_delta": ("item/reasoning/summaryTextDelta", {"summaryIndex": 0}),
    "output_delta": ("item/commandExecution/outputDelta", {}),
}
_QUESTIONS: Final = {
    "command": "item/commandExecution/requestApproval",
    "file_change": "item/fileChange/requestApproval",
    "permissions": "item/permissions/requestApproval",
}


def welcome() -> Json:
    """Answer `initialize`: no place of this machine is told."""
    return {
        "userAgent": f"linkspan/{__version__}",
        "codexHome": "/",
        "platformFamily": "unix",
        "platformOs": "linux",
    }


def thread_of(thread: SessionThread, runs: Sequence[Run], recipe: Recipe, turns: Sequence[Json] = ()) -> Json:
    """Answer a thread; its turns are given where they were asked for."""
    return {
        "id": thread.id,
        "sessionId": thread.id,
        "preview": str(runs[0].plan.get("words") or "")[:_LONGEST_PREVIEW] if runs else "",
        "createdAt": int(thread.created),
        "updatedAt": int(thread.updated),
        "cwd": WORKSPACE,
        "cliVersion": (runs[-1].versions.get("codex") if runs else None) or __version__,
        "ephemeral": False,
        "historyMode": "paginated",
        "model": recipe.model,
        "modelProvider": _PROVIDER,
        "projectId": None,
        "source": {"custom": _PROVIDER},
        "status": status_of(runs[-1] if runs else None),
        "turns": list(turns),
    }


def opened(thread: Json, recipe: Recipe) -> Json:
    """Answer `thread/start` and `thread/resume`."""
    return {
        "thread": thread,
        "cwd": WORKSPACE,
        "model": recipe.model or "default",
        "modelProvider": _PROVIDER,
        "reasoningEffort": recipe.effort,
        "approvalPolicy": "on-request" if recipe.asks_commands else "never",
        "approvalsReviewer": "user",
        "sandbox": {"type": "workspaceWrite", "networkAccess": bool(recipe.network)},
        "instructionSources": [],
    }


def models_of(recipe: Recipe) -> list[Json]:
    """Answer the one model that the recipe names, or none: then Codex takes its default."""
    if recipe.model is None:
        return []
    effort = recipe.effort or "medium"
    told = {"reasoningEffort": effort, "description": "As the recipe says."}
    return [
        {
            "id": recipe.model,
            "model": recipe.model,
            "displayName": recipe.model,
            "description": "The model that the recipe names.",
            "defaultReasoningEffort": effort,
            "supportedReasoningEfforts": [told],
            "hidden": False,
            "isDefault": True,
            "inputModalities": ["text"],
        }
    ]


def status_of(run: Run | None) -> Json:
    """Answer what a thread does now, by its last turn."""
    if run is None or run.is_finished:
        return {"type": "idle"}
    waits = run.state == "waiting_approval"
    return {"type": "active", "activeFlags": ["waitingOnApproval"] if waits else []}


def turn_of(run: Run, items: Sequence[Json] = (), *, interrupted: bool = False) -> Json:
    """Answer a turn. `interrupted`: somebody ended it, and what it had done was kept."""
    states = {"succeeded": "completed", "cancelled": "interrupted", "failed": "failed", "timed_out": "failed"}
    status = "interrupted" if interrupted and run.is_finished else states.get(run.state, "inProgress")
    turn: Json = {
        "id": run.id,
        "status": status,
        "items": list(items),
        "itemsView": "full" if items else "notLoaded",
        "startedAt": int(run.created),
        "error": None,
    }
    if run.finished is not None:
        turn |= {
            "completedAt": int(run.finished),
            "durationMs": max(0, int((run.finished - run.created) * 1000)),
        }
    if status == "failed":
        turn["error"] = {"message": run.error_message or "The turn failed."}
    return turn


class Places:
    """Says how a run's own places are called here."""

    def __init__(self, work: Path, run: Run) -> None:
        roots = dict.fromkeys((work, work.resolve()))
        folders = [root / run.tenant / "runs" / run.id for root in roots]
        self._called = [
            pair
            for folder in folders
            for pair in (
                (f"{folder}/checkout", WORKSPACE),
                (f"{folder}/empty", WORKSPACE),
                (str(folder), "/run"),
            )
        ]

    def told(self, value: Any) -> Any:
        """Answer what is told with the places in it named anew, however deep they stand."""
        if isinstance(value, str):
            for place, name in self._called:
                value = value.replace(place, name)
            return value
        if isinstance(value, Mapping):
            return {self.told(key): self.told(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.told(part) for part in value]
        return value


class Telling:
    """Writes the events of one turn as notifications, in their order."""

    def __init__(self, thread: SessionThread, run: Run, places: Places) -> None:
        self._thread = thread
        self._run = run
        self._places = places
        self._about = {"threadId": thread.id, "turnId": run.id}

    def notices(self, event: RunEvent) -> list[tuple[str, Json]]:
        """Answer the methods and parameters that tell an event; its end and questions are not among them."""
        data, about = event.data, self._about
        if self._is_hidden(event):
            return []
        match event.kind:
            case "item_started":
                return [("item/started", {**about, "item": self.item(event), "startedAtMs": _ms(event)})]
            case "item_completed":
                return [("item/completed", {**about, "item": self.item(event), "completedAtMs": _ms(event)})]
            case "message_delta" | "reasoning_delta" | "output_delta":
                method, more = _DELTAS[event.kind]
                told = self._places.told(str(data.get("text", "")))
                return [(method, {**about, "itemId": str(data.get("item_id")), "delta": told, **more})]
            case "plan":
                return [("turn/plan/updated", {**about, "plan": data.get("steps", [])})]
            case "diff":
                return [("turn/diff/updated", {**about, "diff": self._places.told(data.get("diff", ""))})]
            case "warning":
                told = self._places.told(str(data.get("message", "")))
                return [("warning", {"threadId": self._thread.id, "message": told})]
            case "error":
                told = {"message": self._places.told(str(data.get("message", "")))}
                return [("error", {**about, "error": told, "willRetry": bool(data.get("will_retry"))})]
            case "state" if data.get("state") in ("running", "waiting_approval"):
                waits = ["waitingOnApproval"] if data["state"] == "waiting_approval" else []
                status = {"type": "active", "activeFlags": waits}
                return [("thread/status/changed", {"threadId": self._thread.id, "status": status})]
        return []

    def item(self, event: RunEvent) -> Json:
        """Answer the item of an event."""
        item: Json = self._places.told(dict(event.data["item"]))
        item.setdefault("id", f"item-{event.seq}")
        if self._of_ours(item) == "begin":
            words = str(self._run.plan.get("words") or "")
            item["content"] = [{"type": "text", "text": words, "text_elements": []}]
        return item

    def items(self, events: Iterable[RunEvent]) -> list[Json]:
        """Answer the items that events tell of, as they are by the last of them."""
        found: dict[str, Json] = {}
        for event in events:
            if self._is_hidden(event):
                continue
            if event.kind in ("item_started", "item_completed"):
                item = self.item(event)
                found[item["id"]] = item
            elif event.kind in ("message_delta", "output_delta"):
                item = found.get(str(event.data.get("item_id")), {})
                name = "text" if event.kind == "message_delta" else "aggregatedOutput"
                if item.get("type") in ("agentMessage", "commandExecution"):
                    item[name] = f"{item.get(name) or ''}{self._places.told(str(event.data.get('text', '')))}"
        return list(found.values())

    def question(self, asked: Approval) -> tuple[str, Json]:
        """Answer what a person is asked, as Codex asks it."""
        data = self._places.told(dict(asked.data))
        params: Json = {
            **self._about,
            "itemId": str(data.get("item_id") or asked.id),
            "startedAtMs": int(asked.created * 1000),
            "reason": self._places.told(asked.reason),
        }
        if asked.kind == "command":
            decisions = ["accept", "decline", "cancel"]
            params |= {
                "command": data.get("command"),
                "cwd": data.get("cwd"),
                "availableDecisions": decisions,
            }
            if data.get("network"):
                params["networkApprovalContext"] = data["network"]
        elif asked.kind == "permissions":
            params |= {"cwd": WORKSPACE, "permissions": data.get("permissions") or {}}
        return _QUESTIONS[asked.kind], params

    def _is_hidden(self, event: RunEvent) -> bool:
        """Tell whether it tells of words of ours that nobody said."""
        return self._of_ours(event.data.get("item") or {}) == "go_on"

    def _of_ours(self, item: Mapping[str, Any]) -> str | None:
        """Answer what we said to Codex ourselves with an item: `begin` a turn, or `go_on` after a restart."""
        if item.get("type") != "userMessage":
            return None
        run, _, message = str(item.get("clientId") or "").partition(":")
        if run != self._run.id:
            return None
        return "go_on" if ":" in message else "begin"


def _ms(event: RunEvent) -> int:
    return int(event.time * 1000)
