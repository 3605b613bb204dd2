"""What was: conversations and what they called, runs found by their words, runs to take away."""

from __future__ import annotations

from linkspan.runs.export import html_of, jsonl_of
from linkspan.runs.shown import shown_run
from linkspan.store.outbox import iso
from linkspan.web.api import cursors
from linkspan.web.api.endpoint import Call, Endpoint, Raw
from linkspan.web.api.history_models import (
    CallOfConversation,
    Conversation,
    ConversationCalls,
    ConversationListing,
    Form,
    FoundRun,
    FoundRuns,
    Words,
)
from linkspan.web.api.models import MaybeOfTenant, Page
from linkspan.web.api.run_models import Run


async def list_(call: Call) -> Page[Conversation]:
    """Answer the conversations that called tools, the last one first."""
    asked: ConversationListing = call.query
    principal = await call.principal()
    place = cursors.opened(call, "history")
    await call.parts.audit.flush()
    found = await call.parts.history.threads(
        principal,
        entity=asked.entity,
        entity_id=asked.entity_id,
        before=None if place is None else (float(place[0]), str(place[1])),
        limit=asked.limit,
    )
    return Page[Conversation](
        result=[
            Conversation(
                id=each.id,
                calls=each.calls,
                subject=each.subject,
                runs=[run.id for run in runs],
                first_at=iso(each.first) or "",
                last_at=iso(each.last) or "",
            )
            for each, runs in found.shown
        ],
        next_cursor=None if found.next is None else cursors.seal(call, "history", list(found.next)),
    )


async def get(call: Call) -> ConversationCalls:
    """Answer what one conversation called, in order."""
    principal = await call.principal()
    await call.parts.audit.flush()
    found = await call.parts.history.thread(principal, call.path["id"])
    return ConversationCalls(
        id=found.id,
        runs=[run.id for run in found.runs],
        calls=[
            CallOfConversation(
                at=iso(each.time) or "",
                tool=each.tool,
                entity=each.entity,
                entity_id=each.entity_id,
                integration=each.connector,
                integrated_account_id=each.account or None,
                subject=each.principal_subject,
                outcome=each.outcome,
                upstream_status=each.upstream_status,
                duration_ms=each.duration_ms,
                turn_id=each.turn_id,
                call_id=each.call_id,
            )
            for each in found.calls
        ],
    )


async def search(call: Call) -> FoundRuns:
    """Answer runs that have ended, in which each word begins a word."""
    asked: Words = call.query
    found = await call.parts.history.search(await call.principal(), asked.words, limit=asked.limit)
    return FoundRuns(result=[FoundRun(run=Run(**shown_run(each.run)), line=each.line) for each in found])


async def export(call: Call) -> Raw:
    """Answer all that is kept of a run and may be told."""
    asked: Form = call.query
    principal = await call.principal()
    await call.parts.audit.flush()
    record = await call.parts.history.record(principal, call.path["id"])
    if asked.format == "html":
        return Raw("text/html; charset=utf-8", html_of(record).encode())
    return Raw("application/jsonl; charset=utf-8", "".join(jsonl_of(record)).encode())


ENDPOINTS = (
    Endpoint(
        "GET", "/history", "list_conversations", "List conversations with Codex that called tools", list_,
        Page[Conversation], query=ConversationListing, tenants=True, fails=(403, 404),
    ),
    Endpoint(
        "GET", "/history/{id}", "read_conversation", "Show what a conversation called, in order", get,
        ConversationCalls, query=MaybeOfTenant, tenants=True, fails=(403, 404),
    ),
    Endpoint(
        "GET", "/runs/search", "search_runs", "Find runs that have ended by words", search, FoundRuns,
        query=Words, tenants=True, fails=(403, 404),
    ),
    Endpoint(
        "GET", "/runs/{id}/export", "export_run", "Take away all that is kept of a run", export, None,
        query=Form, tenants=True, fails=(403, 404),
    ),
)  # fmt: skip
