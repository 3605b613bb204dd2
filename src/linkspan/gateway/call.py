"""One call from start to finish: scopes, arguments, account, request, answer, audit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from linkspan import errors
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Principal
from linkspan.gateway.advice import advise
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.cursor import Cursors
from linkspan.gateway.doing import Doing, Means
from linkspan.gateway.dry_run import dry_run
from linkspan.gateway.govern import Governor
from linkspan.gateway.intake import Intake
from linkspan.gateway.once import Once, by_call_id, by_key
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.gateway.trail import Trail, Trails
from linkspan.net.client import Client
from linkspan.net.pacing import Paces
from linkspan.spec.catalog import Catalog, Tool, scopes_allow

Result = Page | Item | DryRun | Blocks
Local = Callable[[Principal, Tool, Mapping[str, Any], CallInfo], Awaitable[Result]]
"""Answers calls of tools that are our own and have no operation at any product."""

log = logging.getLogger("linkspan.gateway")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as it came, and the catalog that it is answered from whatever is loaded meanwhile."""

    catalog: Catalog
    principal: Principal
    tool: Tool
    arguments: Mapping[str, Any]
    info: CallInfo
    trail: Trail


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
        self._means = Means(accounts, client, cursors, paces, governor)
        self._intake = Intake(accounts, cursors, clock)
        self._once = once
        self._trails = trails
        self._governor = governor
        self._clock = clock
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
            return await self._followed(_Call(catalog, principal, tool, arguments, info, trail))

    async def _followed(self, call: _Call) -> Result:
        catalog, principal, tool, info, trail = call.catalog, call.principal, call.tool, call.info, call.trail
        try:
            result = await self._answer(call)
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

    async def _answer(self, call: _Call) -> Result:
        catalog, principal, tool, info, trail = call.catalog, call.principal, call.tool, call.info, call.trail
        if not scopes_allow(principal.scopes, tool.key, tool.kind):
            raise errors.Forbidden(
                f"this token may not use {tool.name}: it lacks the scope {tool.key}",
                hint="Ask for a token with it: linkspan token create"
                f" --tenant {principal.tenant} --scope {tool.key}",
            )
        await self._governor.take(principal, tool.name)
        given = self._intake.check(tool, call.arguments, is_partial=info.remote.replaces_body)
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
        doing = Doing(self._means, catalog, request, trail)
        if tool.kind == "read" or (info.call_id is None and info.idempotency_key is None):
            return await doing.do()
        if info.idempotency_key is not None:
            asked = [given, info.remote.query, info.remote.body]
            whose = request.credential.whose
            once = by_key(principal.tenant, whose, tool.key, info.idempotency_key, asked)
        else:
            once = by_call_id(principal, tool, given, info)
        return await self._once.run(once, doing.write)


def _refuse_others(principal: Principal, tool: Tool, given: Mapping[str, Any]) -> None:
    """Raise `Forbidden` where a run would change another thing than the one that it was started on."""
    only = principal.only
    if only is None or tool.kind == "read" or (tool.entity, given.get("id")) == only:
        return
    raise errors.Forbidden(
        f"{tool.name} was not done: this run may change {only[0]} {only[1]} and nothing else",
        hint="Say in the summary what else should be changed, and leave it to a person.",
    )
