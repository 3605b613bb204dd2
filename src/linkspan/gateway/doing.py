"""One settled request being done: the exchanges that belong to it, and what is made of their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from linkspan import errors, wire
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Tenant
from linkspan.gateway.blocks import file_block, render_blocks
from linkspan.gateway.cursor import Cursor, Cursors, Trace
from linkspan.gateway.dry_run import nothing_to_do
from linkspan.gateway.govern import Governor, caller_of
from linkspan.gateway.intake import Request
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.gateway.shaping import as_fields, given_to, items_of, shape_of, thing_of, wants_remote
from linkspan.gateway.trail import Trail
from linkspan.gateway.watch import PageSeen
from linkspan.net import paging
from linkspan.net.client import Client
from linkspan.net.kept import Kept
from linkspan.net.messages import Response
from linkspan.net.pacing import Pace, Paces
from linkspan.spec.catalog import AuthMethod, Catalog, Include, Operation, RequestPlan
from linkspan.vault.credential import Credential
from linkspan.wire import Answer, Position

_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Means:
    """What requests of every call go out with."""

    accounts: Accounts
    client: Client
    cursors: Cursors
    paces: Paces
    governor: Governor
    kept: Kept = field(default_factory=Kept)


@dataclass(frozen=True, slots=True)
class Doing:
    """A request for which everything is decided, by the catalog that it was settled with."""

    means: Means
    catalog: Catalog
    request: Request
    trail: Trail

    async def do(self) -> Page | Item | Blocks:
        """Make every request that belongs to it, and answer what came of them."""
        request = self.request
        operation, info = request.operation, request.info
        found = request.known()
        if operation.elicit is not None:
            found["elicit"] = await _ask(operation, request)
        steps = list(operation.progress.steps) if operation.progress and info.progress else []
        total = operation.progress.total if operation.progress else None
        tell = info.progress
        if steps and tell:
            await tell(steps[0], total)
        answer = await self._take_steps(found)
        if operation.items is not None:
            return await self._page(found)
        if operation.plan is not None:
            answer = await self._last(found, answer)
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
            thing = {**thing, **await self._included(thing)}
        given = given_to(request, found)
        shown = as_fields(request, thing, given)
        return Item(shown, account, answer.rate_limit, connector=operation.connector)

    async def _last(self, found: Mapping[str, Any], before: Answer | None) -> Answer:
        """Make the operation's own request; where it is left out, the answer before it stands."""
        request = self.request
        when = request.operation.when
        if when is None or when(wire.scope_of(request.arguments, request.credential, found)):
            return await self._exchange(request.position, found)
        if before is None:
            raise nothing_to_do(request.operation, request)
        return before

    async def _included(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Make the reads that are joined into an item, all at once."""
        request = self.request

        async def read(one: Include) -> Any:
            try:
                answer = await self._exchange(request.position, {"item": thing}, one.plan)
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

    async def write(self) -> Page | Item | Blocks:
        """Do it, and say of a failure whether a part of it was done before."""
        try:
            return await self.do()
        except errors.LinkspanError as error:
            error.partly_done = self.trail.has_written
            raise

    async def _take_steps(self, found: dict[str, Any]) -> Answer | None:
        """Make the requests before the operation's own, keep what they find, and answer the last answer."""
        request = self.request
        answer = None
        for step in request.operation.steps:
            scope = wire.scope_of(request.arguments, request.credential, found)
            if step.when is None or step.when(scope):
                answer = await self._exchange(request.position, found, step.plan)
                self.trail.has_written |= not _is_safe(step.plan)
                if step.find is not None:
                    kept = step.find(answer.body, scope)
                else:
                    kept = step.item(answer.body) if step.item else answer.body
                if step.name:
                    found[step.name] = kept
        return answer

    async def _exchange(
        self, position: Position, found: Mapping[str, Any], other: RequestPlan | None = None
    ) -> Answer:
        """Send the operation's own request, or another that belongs to it."""
        catalog, request, trail, means = self.catalog, self.request, self.trail, self.means
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
            return means.paces.of(
                (tenant, credential.account), path, caller_of(request.principal), connector.title
            )

        async def send(credential: Credential) -> Answer:
            return await wire.send(
                plan,
                wire.scope_of(request.arguments, credential, found),
                connector,
                credential,
                means.client,
                page=operation.paging if operation.items and other is None else None,
                position=position,
                timeout=operation.timeout,
                kept=means.kept,
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
                fresh = await means.accounts.after_refusal(tenant, credential, connector, error.message)
                if fresh is None:
                    raise
                answer = await self._again(tenant, fresh, send)
        except errors.LinkspanError as error:
            trail.sent(plan, error.upstream_status)
            if not isinstance(error, errors.Forbidden):
                raise
            await means.accounts.note_forbidden(
                tenant, credential.account, error, resource=operation.entity, method=operation.name
            )
            raise
        trail.upstream_status = answer.status
        trail.sent(plan, answer.status)
        await means.governor.go_on(request.principal)
        return answer

    async def _again(
        self, tenant: Tenant, fresh: Credential, send: Callable[[Credential], Awaitable[Answer]]
    ) -> Answer:
        try:
            return await send(fresh)
        except errors.NeedsReauth as error:
            if error.upstream_status is not None:
                await self.means.accounts.refused(tenant, fresh, error.message)
            raise

    async def _page(self, known: Mapping[str, Any]) -> Page:
        """Read one page; empty pages that a vendor puts before the end are read through."""
        catalog, request = self.catalog, self.request
        operation, tenant = request.operation, request.principal.tenant
        connector = catalog.connectors[operation.connector].through(request.credential.method)
        base_url = wire.base_url(connector, request.credential.settings)
        position, seen = request.position, list[Any]()
        while True:
            try:
                answer = await self._exchange(position, known)
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
            return self.means.cursors.seal(tenant, request.tool.key, here)

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
