"""One call from start to finish: scopes, arguments, account, request, answer, audit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from linkspan import errors, wire
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.advice import advise
from linkspan.gateway.blocks import file_block, render_blocks
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.cursor import Cursor, Cursors, Trace
from linkspan.gateway.dry_run import dry_run, nothing_to_do
from linkspan.gateway.govern import Governor, caller_of
from linkspan.gateway.intake import Intake, Request
from linkspan.gateway.once import Once, by_call_id, by_key
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.gateway.shaping import as_fields, given_to, items_of, shape_of, thing_of, wants_remote
from linkspan.gateway.trail import Trail, Trails
from linkspan.gateway.watch import PageSeen
from linkspan.net import paging
from linkspan.net.client import Client
from linkspan.net.kept import Kept
from linkspan.net.messages import Response
from linkspan.net.pacing import Pace, Paces
from linkspan.spec.catalog import (
    AuthMethod,
    Catalog,
    Include,
    Operation,
    RequestPlan,
    Tool,
    scopes_allow,
)
from linkspan.vault.credential import Credential
from linkspan.wire import Answer, Position

Result = Page | Item | DryRun | Blocks
Local = Callable[[Principal, Tool, Mapping[str, Any], CallInfo], Awaitable[Result]]
"""Answers calls of tools that are our own and have no operation at any product."""
_SAFE = ("GET", "HEAD", "OPTIONS")

log = logging.getLogger("linkspan.gateway")


class Gateway:
    """Calls operations for principals. One for all tenants; the catalog is replaced whole on a hot reload."""

    def __init__(
        self,
        catalog: Catalog,
        accounts: Accounts,
        client: Client,
        *,
        cursors: Cursors,
        once: Once,
        trails: Trails,
        governor: Governor,
        paces: Paces,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._accounts = accounts
        self._client = client
        self._cursors = cursors
        self._intake = Intake(accounts, cursors, clock)
        self._once = once
        self._trails = trails
        self._governor = governor
        self._paces = paces
        self._clock = clock
        self._kept = Kept()
        self._locals: dict[str, Local] = {}

    def answer_by(self, entity: str, local: Local) -> None:
        """Let the tools of an entity that have no operation be answered here, behind the same checks."""
        self._locals[entity] = local

    @property
    def catalog(self) -> Catalog:
        """The catalog that calls are answered from now."""
        return self._catalog

    def replace_catalog(self, catalog: Catalog) -> None:
        """Answer calls from another catalog from now on; calls in flight end with the old one."""
        self._catalog = catalog
        self._intake.forget()

    async def call(
        self, principal: Principal, tool: Tool, arguments: Mapping[str, Any], *, info: CallInfo
    ) -> Result:
        """Do what the tool does for the principal.

        `arguments` may hold the reserved `cursor`, `limit`, `account` and `dry_run`. Raises an error of the
        tree whose hint names the next step; whatever happens, one audit row says so.
        """
        catalog = self._catalog
        trail = Trail(principal, tool, info, self._clock(), next(iter(tool.operations), "linkspan"))
        with self._trails.span(trail) as trail.span:
            return await self._followed(catalog, principal, tool, arguments, info, trail)

    async def _followed(
        self,
        catalog: Catalog,
        principal: Principal,
        tool: Tool,
        arguments: Mapping[str, Any],
        info: CallInfo,
        trail: Trail,
    ) -> Result:
        try:
            result = await self._call(catalog, principal, tool, arguments, info, trail)
            if isinstance(result, Item):
                trail.ended(result.result)
        except errors.LinkspanError as error:
            trail.failed(error)
            error.request_id = info.request_id
            if trail.has_written:
                error.message = f"{error.message.rstrip('. ')}; the first part of {tool.name} was done"
            advise(error, tool, catalog, principal.tenant, trail.connector, for_run=info.via == "run")
            raise
        except asyncio.CancelledError:
            trail.outcome = "cancelled"
            raise
        except Exception as cause:
            trail.outcome = "internal"
            log.exception(
                "request %s: %s failed for tenant %s",
                *(info.request_id, tool.name, principal.tenant),
                extra={"fields": {"request_id": info.request_id, "tenant": principal.tenant}},
            )
            fault = errors.Internal("something went wrong inside Linkspan", request_id=info.request_id)
            advise(fault, tool, catalog, principal.tenant, trail.connector, for_run=info.via == "run")
            raise fault from cause
        finally:
            await self._trails.close(trail, self._clock())
        return result

    async def _call(
        self,
        catalog: Catalog,
        principal: Principal,
        tool: Tool,
        arguments: Mapping[str, Any],
        info: CallInfo,
        trail: Trail,
    ) -> Result:
        if not scopes_allow(principal.scopes, tool.key, tool.kind):
            raise errors.Forbidden(
                f"this token may not use {tool.name}: it lacks the scope {tool.key}",
                hint="Ask for a token with it: linkspan token create"
                f" --tenant {principal.tenant} --scope {tool.key}",
            )
        await self._governor.take(principal, tool.name)
        given = self._intake.check(tool, arguments, is_partial=info.remote.replaces_body)
        _refuse_others(principal, tool, given)
        if not tool.operations:
            trail.settled(trail.connector, "", given)
            return await self._locals[tool.entity](principal, tool, given, info)
        request = await self._intake.settle(catalog, principal, tool, given, info)
        await self._trails.settled(
            trail, request.operation.connector, request.credential.account, request.arguments
        )
        if info.only_show or (given.get("dry_run") and tool.kind != "read"):
            trail.outcome = "dry_run"
            return dry_run(catalog, request)
        if tool.kind != "read" and request.credential.sandbox:
            raise errors.Forbidden(
                f"account {request.credential.account} is a sandbox account, which only reads: {tool.name}"
                " was not done",
                hint=f"Call {tool.name} with dry_run to see what it would send, or name another account.",
            )
        if tool.kind == "read" or (info.call_id is None and info.idempotency_key is None):
            return await self._do(catalog, request, trail)
        if info.idempotency_key is not None:
            asked = [given, info.remote.query, info.remote.body]
            account = request.credential.account
            call = by_key(principal.tenant, account, tool.key, info.idempotency_key, asked)
        else:
            call = by_call_id(principal, tool, given, info)
        return await self._once.run(call, lambda: self._write(catalog, request, trail))

    async def _do(self, catalog: Catalog, request: Request, trail: Trail) -> Page | Item | Blocks:
        operation, info = request.operation, request.info
        found = request.known()
        if operation.elicit is not None:
            found["elicit"] = await _ask(operation, request)
        steps = list(operation.progress.steps) if operation.progress and info.progress else []
        total = operation.progress.total if operation.progress else None
        tell = info.progress
        if steps and tell:
            await tell(steps[0], total)
        answer = await self._take_steps(catalog, request, found, trail)
        if operation.items is not None:
            return await self._page(catalog, request, found, trail)
        if operation.plan is not None:
            answer = await self._last(catalog, request, found, trail, answer)
            found["answer"] = answer.root
        for step in steps[1:]:
            if tell:
                await tell(step, total)
        account = request.credential.account
        if operation.blocks:
            scope = wire.scope_of(request.arguments, request.credential, found)
            return Blocks(render_blocks(operation.blocks, scope), account)
        if answer is None:
            return Item(None, account, connector=operation.connector)
        if operation.is_download:
            name = quote(str(request.arguments.get("id", operation.name)), safe="")
            uri = f"linkspan://{operation.entity}/{name}"
            return Blocks([file_block(answer.body, answer.headers.get("content-type", ""), uri)], account)
        thing = thing_of(operation, answer, wire.scope_of(request.arguments, request.credential, found))
        if operation.include and isinstance(thing, dict):
            thing = {**thing, **await self._included(catalog, request, thing, trail)}
        given = given_to(request, found)
        shown = as_fields(request, thing, given)
        return Item(shown, account, answer.rate_limit, connector=operation.connector)

    async def _last(
        self,
        catalog: Catalog,
        request: Request,
        found: Mapping[str, Any],
        trail: Trail,
        before: Answer | None,
    ) -> Answer:
        """Make the operation's own request; where it is left out, the answer before it stands."""
        when = request.operation.when
        if when is None or when(wire.scope_of(request.arguments, request.credential, found)):
            return await self._exchange(catalog, request, request.position, found, trail)
        if before is None:
            raise nothing_to_do(request.operation, request)
        return before

    async def _included(
        self, catalog: Catalog, request: Request, thing: dict[str, Any], trail: Trail
    ) -> dict[str, Any]:
        """Make the reads that are joined into an item, all at once."""

        async def read(one: Include) -> Any:
            try:
                answer = await self._exchange(
                    catalog, request, request.position, {"item": thing}, trail, one.plan
                )
            except errors.NotFound:
                if one.is_optional:
                    return None
                raise
            return one.item(answer.body)

        try:
            async with asyncio.TaskGroup() as group:
                reads = [(one.name, group.create_task(read(one))) for one in request.operation.include]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {name: task.result() for name, task in reads}

    async def _write(self, catalog: Catalog, request: Request, trail: Trail) -> Page | Item | Blocks:
        try:
            return await self._do(catalog, request, trail)
        except errors.LinkspanError as error:
            error.partly_done = trail.has_written
            raise

    async def _take_steps(
        self, catalog: Catalog, request: Request, found: dict[str, Any], trail: Trail
    ) -> Answer | None:
        """Make the requests before the operation's own, keep what they find, and answer the last answer."""
        answer = None
        for step in request.operation.steps:
            scope = wire.scope_of(request.arguments, request.credential, found)
            if step.when is None or step.when(scope):
                answer = await self._exchange(catalog, request, request.position, found, trail, step.plan)
                trail.has_written |= not _is_safe(step.plan)
                if step.find is not None:
                    kept = step.find(answer.body, scope)
                else:
                    kept = step.item(answer.body) if step.item else answer.body
                if step.name:
                    found[step.name] = kept
        return answer

    async def _exchange(
        self,
        catalog: Catalog,
        request: Request,
        position: Position,
        found: Mapping[str, Any],
        trail: Trail,
        other: RequestPlan | None = None,
    ) -> Answer:
        """Send the operation's own request, or another that belongs to it."""
        operation, credential = request.operation, request.credential
        connector, tenant = catalog.connectors[operation.connector], request.principal.tenant
        plan = other or operation.plan
        assert plan is not None  # noqa: S101
        watch = request.info.watch

        def seen(outgoing: wire.Outgoing, method: AuthMethod, response: Response) -> None:
            trail.exchanged(plan, outgoing, response)
            if watch is not None:
                shown = wire.show(outgoing, method, catalog.variables)
                watch.exchanged(operation.connector, plan.line, shown, response)

        def pace(path: str) -> Pace:
            return self._paces.of(
                (tenant, credential.account), path, caller_of(request.principal), connector.title
            )

        async def send(credential: Credential) -> Answer:
            return await wire.send(
                plan,
                wire.scope_of(request.arguments, credential, found),
                connector,
                credential,
                self._client,
                page=operation.paging if operation.items and other is None else None,
                position=position,
                timeout=operation.timeout,
                kept=self._kept,
                tenant=tenant,
                watch=seen if watch is not None or trail.bodies is not None else None,
                pace=pace,
            )

        try:
            try:
                answer = await send(credential)
            except errors.NeedsReauth as error:
                if error.upstream_status is None:
                    raise
                # Refused, so nothing was done: once more with a renewed access token, where there is one.
                fresh = await self._accounts.after_refusal(tenant, credential, connector, error.message)
                if fresh is None:
                    raise
                answer = await self._again(tenant, fresh, send)
        except errors.LinkspanError as error:
            trail.sent(plan, error.upstream_status)
            if not isinstance(error, errors.Forbidden):
                raise
            await self._accounts.note_forbidden(
                tenant, credential.account, error, resource=operation.entity, method=operation.name
            )
            raise
        trail.upstream_status = answer.status
        trail.sent(plan, answer.status)
        await self._governor.go_on(request.principal)
        return answer

    async def _again(
        self, tenant: Tenant, fresh: Credential, send: Callable[[Credential], Awaitable[Answer]]
    ) -> Answer:
        try:
            return await send(fresh)
        except errors.NeedsReauth as error:
            if error.upstream_status is not None:
                await self._accounts.refused(tenant, fresh, error.message)
            raise

    async def _page(self, catalog: Catalog, request: Request, known: Mapping[str, Any], trail: Trail) -> Page:
        """Read one page; empty pages that a vendor puts before the end are read through."""
        operation, tenant = request.operation, request.principal.tenant
        connector = catalog.connectors[operation.connector].through(request.credential.method)
        base_url = wire.base_url(connector, request.credential.settings)
        position, seen = request.position, list[Any]()
        while True:
            try:
                answer = await self._exchange(catalog, request, position, known, trail)
            except errors.NotFound:
                # Some products say that there is no such page, rather than that it is empty.
                if position.at is None or operation.paging.style not in {"page", "offset"}:
                    raise
                return Page(
                    *([], None, request.credential.account, lambda _count: ""), connector=operation.connector
                )
            found = items_of(operation, answer)
            page = paging.Read(
                answer.body, answer.headers, answer.url, len(found), position.at, position.size
            )
            following = paging.next_position(operation.paging, page, base_url=base_url, seen=seen)
            if request.info.watch is not None:
                request.info.watch.read(found, PageSeen(position.at, position.size, len(found), following))
            skip = request.skip if position is request.position else 0
            if found[skip:] or following is None:
                break
            seen.append(position.at)
            position = Position(following, position.size)
        whole = found[skip:]
        shown = whole if request.limit is None else whole[: request.limit]
        shape, account = shape_of(request), request.credential.account
        given = given_to(request, known)
        items = [shape(item, given) for item in shown] if shape else shown
        if shape and wants_remote(request):
            items = [{**item, "remote_data": raw} for item, raw in zip(items, shown, strict=True)]

        def cursor(at: Position, skipped: int, trace: Trace) -> str:
            now = request.now if operation.uses_now else None
            here = Cursor(account, at, skipped, request.arguments, now, trace)
            return self._cursors.seal(tenant, request.tool.key, here)

        def resume_after(count: int) -> str:
            return cursor(position, skip + count, request.trace)

        onward = None
        if len(shown) < len(whole):
            onward = resume_after(len(shown))
        elif following is not None:
            told = found if operation.paging.style in {"page", "offset"} else None
            onward = cursor(Position(following, position.size), 0, request.trace.onward(following, told))
        return Page(
            *(items, onward, account, resume_after),
            rate_limit=answer.rate_limit,
            connector=operation.connector,
        )


def _refuse_others(principal: Principal, tool: Tool, given: Mapping[str, Any]) -> None:
    """Raise `Forbidden` where a run would change another thing than the one that it was started on."""
    only = principal.only
    if only is None or tool.kind == "read" or (tool.entity, given.get("id")) == only:
        return
    raise errors.Forbidden(
        f"{tool.name} was not done: this run may change {only[0]} {only[1]} and nothing else",
        hint="Say in the summary what else should be changed, and leave it to a person.",
    )


def _is_safe(plan: RequestPlan) -> bool:
    return plan.method in _SAFE or (plan.is_graphql and plan.repeatable)


async def _ask(operation: Operation, request: Request) -> dict[str, Any]:
    """Ask the person; raises `Forbidden` when the client cannot ask."""
    elicit = operation.elicit
    assert elicit is not None  # noqa: S101
    message = elicit.message(wire.scope_of(request.arguments, request.credential))
    answer = await request.info.elicit(str(message), elicit.schema) if request.info.elicit else None
    if answer is None:
        raise errors.Forbidden(
            elicit.missing or "this needs a question to the person, which this client cannot show",
            hint=f"Ask the person yourself, or call {request.tool.name} from a client with elicitation.",
        )
    return answer
