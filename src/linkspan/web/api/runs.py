"""Runs: asked for, watched, steered, decided and ended by a product's backend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

from linkspan.errors import Unauthenticated
from linkspan.runs.shown import (
    shown_approval,
    shown_artifact,
    shown_budget,
    shown_event,
    shown_run,
    shown_usage,
)
from linkspan.store import runs as rows
from linkspan.store.approvals import Decision
from linkspan.web.api import cursors
from linkspan.web.api.accounts import seconds
from linkspan.web.api.endpoint import Call, Endpoint, Handler, Raw
from linkspan.web.api.models import MaybeOfTenant, Page
from linkspan.web.api.reading import Model
from linkspan.web.api.repeated import HEADER, key_of
from linkspan.web.api.run_models import (
    Approval,
    Approvals,
    Artifact,
    Artifacts,
    Budget,
    Decided,
    EventListing,
    Events,
    NewRun,
    Run,
    RunEvent,
    RunListing,
    Said,
    Usage,
    UsageOf,
    Usages,
    Who,
)

EVENT_STREAM: Final = "text/event-stream"
_KEY: Final = (HEADER, "The same key is the same run: a repetition starts no other one.")
_LAST: Final = ("Last-Event-ID", "Of a stream that was lost: the `id` of the last event that came.")
_BEGINNING: Final = 0.0
_LOOK_AGAIN: Final = 5.0
"""Seconds for which somebody who watches needs no new look at the key."""


async def start(call: Call) -> Run:
    """Ask for a run."""
    asked: NewRun = call.body
    principal = await call.principal()
    call.about(principal.tenant, "run", asked.entity_id, account=asked.integrated_account_id)
    run = await call.parts.runs.start(
        principal,
        asked.recipe,
        source="api",
        entity_id=asked.entity_id,
        account=asked.integrated_account_id,
        key=key_of(call.headers),
        person=asked.person,
    )
    return _shown(run)


async def list_(call: Call) -> Page[Run]:
    """Answer runs, the one that changed last first; with `updated_after` as they changed."""
    asked: RunListing = call.query
    principal = await call.principal()
    place = cursors.opened(call, "runs")
    at = None if place is None else (float(place[0]), str(place[1]))
    forwards = asked.updated_after is not None
    found = await call.parts.runs.list(
        principal,
        states=[asked.state] if asked.state else (),
        recipe=asked.recipe,
        entity=asked.entity,
        entity_id=asked.entity_id,
        person=asked.person,
        updated_after=seconds(asked.updated_after) if at is None else None,
        after=at if forwards else None,
        before=None if forwards else at,
        limit=asked.limit + 1,
    )
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    return Page[Run](
        result=[_shown(each) for each in shown],
        next_cursor=cursors.seal(call, "runs", [shown[-1].updated, shown[-1].id]) if more else None,
    )


async def get(call: Call) -> Run:
    """Answer one run."""
    return _shown(await call.parts.runs.get(await call.principal(), call.path["id"]))


async def events(call: Call) -> Events | Raw:
    """Answer what happened in a run: a page, or for who accepts it a stream that ends with the run."""
    asked: EventListing = call.query
    principal, run = await call.principal(), call.path["id"]
    if EVENT_STREAM in call.headers.get("accept", ""):
        found = await call.parts.runs.get(principal, run)
        last = call.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else asked.after
        return Raw(EVENT_STREAM, _stream(call, found, after))
    after = asked.after if asked.next_cursor is None else int(asked.next_cursor)
    told = await call.parts.runs.events(principal, run, after=after, limit=asked.limit)
    following = told[-1].seq if told else after
    return Events(
        result=[RunEvent(**shown_event(each)) for each in told],
        next_cursor=str(following) if len(told) == asked.limit else None,
        next_after=following,
    )


async def _stream(call: Call, run: rows.Run, after: int) -> AsyncIterator[bytes]:
    """Answer events as HTML's server-sent events (WHATWG HTML 9.2); the last one is called `end`."""
    principal, looked = await call.principal(), call.parts.clock()
    yield b"retry: 1000\n\n"
    async for batch in call.parts.feed.follow(principal.tenant, run.id, after):
        now = call.parts.clock()
        if now - looked >= _LOOK_AGAIN:
            looked = now
            try:
                await call.look_again()
            except Unauthenticated:
                return
        if not batch:
            yield b": nothing new\n\n"
            continue
        yield b"".join(
            f"id: {each.seq}\nevent: {each.kind}\ndata: {json.dumps(shown_event(each))}\n\n".encode()
            for each in batch
        )
    ended = await call.parts.runs.find(principal.tenant, run.id)
    if ended.is_finished:
        yield f"event: end\ndata: {json.dumps(shown_run(ended))}\n\n".encode()


async def cancel(call: Call) -> Run:
    """Ask a run to end."""
    principal, run, asked = await call.principal(), call.path["id"], call.body
    call.about(principal.tenant, "run", run)
    return _shown(await call.parts.runs.cancel(principal, run, person=asked.person))


async def interrupt(call: Call) -> Run:
    """End Codex's turn, and go on with what it has done."""
    principal, run, asked = await call.principal(), call.path["id"], call.body
    call.about(principal.tenant, "run", run)
    return _shown(await call.parts.runs.interrupt(principal, run, person=asked.person))


async def steer(call: Call) -> Run:
    """Say something to Codex while it works."""
    principal, run = await call.principal(), call.path["id"]
    asked: Said = call.body
    call.about(principal.tenant, "run", run)
    return _shown(await call.parts.runs.steer(principal, run, asked.text, person=asked.person))


async def retry(call: Call) -> Run:
    """Do once more, from the beginning, what did not succeed."""
    principal, run, asked = await call.principal(), call.path["id"], call.body
    call.about(principal.tenant, "run", run)
    return _shown(await call.parts.runs.retry(principal, run, key=key_of(call.headers), person=asked.person))


async def fork(call: Call) -> Run:
    """Go on from where a run ended, with a person's words, in a run of its own."""
    principal, run = await call.principal(), call.path["id"]
    asked: Said = call.body
    call.about(principal.tenant, "run", run)
    forked = await call.parts.runs.fork(
        principal, run, asked.text, key=key_of(call.headers), person=asked.person
    )
    return _shown(forked)


async def approvals(call: Call) -> Approvals:
    """Answer what a run has asked, decided or not."""
    found = await call.parts.runs.approvals(await call.principal(), call.path["id"])
    return Approvals(result=[Approval(**shown_approval(each)) for each in found])


async def approve(call: Call) -> Approval:
    """Approve what a run asks."""
    return await _decide(call, "approve")


async def decline(call: Call) -> Approval:
    """Decline what a run asks."""
    return await _decide(call, "decline")


async def _decide(call: Call, decision: Decision) -> Approval:
    asked: Decided = call.body
    principal, run = await call.principal(), call.path["id"]
    call.about(principal.tenant, "run", run)
    question = call.path.get("approval")
    if question is None:
        question = (await call.parts.runs.open_approval(principal, run)).id
    done = await call.parts.runs.decide(
        principal, run, question, decision, person=asked.person, note=asked.note
    )
    return Approval(**shown_approval(done))


async def artifacts(call: Call) -> Artifacts:
    """Answer what a run has made so far."""
    found = await call.parts.runs.artifacts(await call.principal(), call.path["id"])
    return Artifacts(result=[Artifact(**shown_artifact(each)) for each in found])


async def artifact(call: Call) -> Raw:
    """Answer one thing that a run made, as it is."""
    made, data = await call.parts.runs.artifact(await call.principal(), call.path["id"], call.path["name"])
    return Raw(made.media_type, data)


async def usage(call: Call) -> Usages:
    """Answer what the tenant's runs used, by recipe and model, and what is left of its budget."""
    asked: UsageOf = call.query
    principal = await call.principal()
    start_, end = seconds(asked.created_after), seconds(asked.created_before)
    found = await call.parts.runs.usage(principal, start_ or _BEGINNING, end)
    budget = await call.parts.runs.budget(principal)
    return Usages(
        result=[Usage(**shown_usage(each)) for each in found], budget=Budget(**shown_budget(budget))
    )


def _shown(run: rows.Run) -> Run:
    return Run(**shown_run(run))


def _read(path: str, name: str, summary: str, handle: Handler, answer: type[Model] | None) -> Endpoint:
    return Endpoint(
        "GET", path, name, summary, handle, answer, query=MaybeOfTenant, tenants=True, fails=(403, 404)
    )


def _do(
    path: str, name: str, summary: str, handle: Handler, answer: type[Model], body: type[Model]
) -> Endpoint:
    return Endpoint(
        "POST", path, name, summary, handle, answer, body=body, query=MaybeOfTenant, tenants=True,
        fails=(403, 404, 409),
    )  # fmt: skip


def _make(path: str, name: str, summary: str, handle: Handler, body: type[Model]) -> Endpoint:
    return Endpoint(
        "POST", path, name, summary, handle, Run, body=body, status=201, query=MaybeOfTenant, tenants=True,
        headers=(_KEY,), fails=(403, 404, 409),
    )  # fmt: skip


ENDPOINTS = (
    _make("/runs", "start_run", "Start a run of a recipe", start, NewRun),
    Endpoint(
        "GET", "/runs", "list_runs", "List runs, the one that changed last first", list_, Page[Run],
        query=RunListing, tenants=True, fails=(403, 404),
    ),
    _read("/runs/{id}", "get_run", "Show a run", get, Run),
    Endpoint(
        "GET", "/runs/{id}/events", "list_run_events", "List or follow what happens in a run", events, Events,
        query=EventListing, tenants=True, headers=(_LAST,), streams=True, fails=(403, 404),
    ),
    _do("/runs/{id}/cancel", "cancel_run", "Ask a run to end", cancel, Run, Who),
    _do("/runs/{id}/interrupt", "interrupt_run", "End Codex's turn, and go on", interrupt, Run, Who),
    _do("/runs/{id}/steer", "steer_run", "Say something to Codex while it works", steer, Run, Said),
    _make("/runs/{id}/retry", "retry_run", "Do once more what did not succeed", retry, Who),
    _make("/runs/{id}/fork", "fork_run", "Go on from where a run ended, in another run", fork, Said),
    _read("/runs/{id}/approvals", "list_approvals", "List what a run has asked", approvals, Approvals),
    _do("/runs/{id}/approve", "approve_run", "Approve the one thing it asks", approve, Approval, Decided),
    _do("/runs/{id}/decline", "decline_run", "Decline the one thing it asks", decline, Approval, Decided),
    _do(
        "/runs/{id}/approvals/{approval}/approve", "approve", "Approve something that a run asks", approve,
        Approval, Decided,
    ),
    _do(
        "/runs/{id}/approvals/{approval}/decline", "decline", "Decline something that a run asks", decline,
        Approval, Decided,
    ),
    _read("/runs/{id}/artifacts", "list_artifacts", "List what a run made", artifacts, Artifacts),
    _read("/runs/{id}/artifacts/{name}", "read_artifact", "Read something that a run made", artifact, None),
    Endpoint(
        "GET", "/usage", "list_usage", "Sum up what runs used, and what is left of the budget", usage, Usages,
        query=UsageOf, tenants=True, fails=(403, 404),
    ),
)  # fmt: skip
