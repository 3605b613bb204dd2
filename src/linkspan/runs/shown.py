"""A run, its approvals and its events as every face shows them: no secrets, times in ISO 8601."""

from __future__ import annotations

from typing import Any

from linkspan.store.approvals import Approval
from linkspan.store.artifacts import Artifact
from linkspan.store.outbox import iso
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import Run
from linkspan.store.usage import Usage

Json = dict[str, Any]


def shown_run(run: Run) -> Json:
    """Answer a run."""
    return {
        "id": run.id,
        "tenant_id": run.tenant,
        "state": run.state,
        "recipe": run.recipe,
        "source": run.source,
        "asked_by": {"kind": run.asker_kind, "subject": run.asker, "person": run.person},
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


def shown_event(event: RunEvent) -> Json:
    """Answer an event; its `seq` is what `Last-Event-ID` is compared with."""
    return {"seq": event.seq, "time": iso(event.time), "kind": event.kind, "data": dict(event.data)}


def shown_approval(approval: Approval) -> Json:
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
    }


def run_url(base: str, tenant: str, run: str) -> str:
    """Answer where people watch a run."""
    return f"{base}/t/{tenant}/runs/{run}"
