"""What webhooks are told of runs, written in the transaction in which it happens.

A run is told of when it is asked for, when a worker has begun it, at each question that it asks people, and
when it has ended. What lies between is in its events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from linkspan.store.database import Transaction
from linkspan.store.outbox import Event, iso, write

if TYPE_CHECKING:
    from linkspan.store.approvals import Approval
    from linkspan.store.runs import Run

_ENTERED: Final[dict[str, Event]] = {
    "queued": "run:queued",
    "preparing": "run:started",
    "succeeded": "run:succeeded",
    "failed": "run:failed",
    "cancelled": "run:cancelled",
    "timed_out": "run:timed_out",
}


def record(tx: Transaction, run: Run, *, now: float) -> None:
    """Write that a run has entered the state that it is in, if that is told."""
    event = _ENTERED.get(run.state)
    if event is not None:
        write(tx, run.tenant, (event,), lambda: shown_run(run), now=now)


def record_question(tx: Transaction, run: Run, asked: Approval, *, now: float) -> None:
    """Write that a run has asked something: with the question, by whose id people answer it.

    Each question is told, also one that comes while another is open; the run is told as it is about to be.
    """
    write(
        tx,
        run.tenant,
        ("run:waiting_approval",),
        lambda: {**shown_run(run), "state": "waiting_approval", "approval": shown_approval(asked)},
        now=now,
    )


def shown_run(run: Run) -> dict[str, Any]:
    """Answer a run as every face and every webhook shows it, without secrets."""
    return {
        "id": run.id,
        "tenant_id": run.tenant,
        "state": run.state,
        "recipe": run.recipe,
        "source": run.source,
        "asked_by": {"kind": run.asker_kind, "subject": run.asker, "person": run.person},
        "private_to": run.private_to,
        "input": {
            "entity": run.entity,
            "id": run.entity_id,
            "title": run.entity_title,
            "account": run.account,
        },
        "engine": run.engine,
        "model": run.model,
        "versions": dict(run.versions),
        "repository": run.repository,
        "base_branch": run.base_branch,
        "base_commit": run.base_commit,
        "branch": run.branch,
        "tree": run.tree,
        "thread_id": run.thread_id,
        "turns": run.turns,
        "items": run.items,
        "last_event": run.events,
        "usage": {
            "input_tokens": run.input_tokens,
            "cached_input_tokens": run.cached_input_tokens,
            "output_tokens": run.output_tokens,
            "total_tokens": run.total_tokens,
            "cost": run.cost,
        },
        "pull_request": None if run.pull_request is None else dict(run.pull_request),
        "summary": run.summary,
        "error": None if run.error_code is None else {"code": run.error_code, "message": run.error_message},
        "parent": None if run.parent is None else {"id": run.parent, "how": run.parent_how},
        "cancel_requested_by": run.stopped_by,
        "created_at": iso(run.created),
        "updated_at": iso(run.updated),
        "started_at": iso(run.started),
        "finished_at": iso(run.finished),
    }


def shown_approval(approval: Approval) -> dict[str, Any]:
    """Answer a question and its answer."""
    decided = None
    if approval.decision is not None:
        decided = {
            "decision": approval.decision,
            "by": {
                "kind": approval.decided_by_kind,
                "subject": approval.decided_by,
                "person": approval.person,
            },
            "note": approval.note,
            "at": iso(approval.decided),
        }
    return {
        "id": approval.id,
        "run": approval.run,
        "kind": approval.kind,
        "reason": approval.reason,
        "data": dict(approval.data),
        "created_at": iso(approval.created),
        "deadline": iso(approval.deadline),
        "decided": decided,
    }
