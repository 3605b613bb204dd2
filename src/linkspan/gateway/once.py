"""A write that comes twice is done once: Codex repeats a call after 401 and 404, with the same call id."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkspan import errors
from linkspan.accounts.principal import Principal
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.spec.catalog import Tool
from linkspan.store import calls
from linkspan.store.database import Database
from linkspan.vault.seal import Vault

log = logging.getLogger("linkspan.gateway")
LEASE = 120.0
"""Seconds a write may take before its outcome counts as unknown: two time-outs and the rate-limit budget."""
PATIENCE = 20.0
"""Seconds that a repetition waits for the first one to end."""
_POLL = 0.1
_PURPOSE = "call"
_NOTHING_DONE = (
    errors.InvalidArgument,
    errors.NotLinked,
    errors.NeedsReauth,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.RateLimited,
    errors.EgressRefused,
)
"""Errors after which nothing was changed, so that the call may be made again."""
_BY_CODE = {error.code: error for error in errors.LinkspanError.__subclasses__()}
Answer = Page | Item | Blocks


class Once:
    """Remembers writes by tenant, principal, Codex thread and call id, tool and arguments, for a day.

    Several tool calls of one piece of code-mode script share a call id, so the tool and the arguments belong
    to what is remembered.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._random = random
        self._sleep = sleep

    async def run(
        self,
        principal: Principal,
        tool: Tool,
        arguments: Mapping[str, Any],
        info: CallInfo,
        work: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """Do the work, or answer what came of it when it was done before.

        A call whose outcome nobody knows (its process died in the middle) raises `Conflict`, never a second
        write.
        """
        digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
        key = hashlib.sha256(f"{info.thread_id}\0{info.call_id}\0{tool.name}\0{digest}".encode()).hexdigest()
        caller = f"{principal.kind}:{principal.subject}"
        call = calls.Call(principal.tenant, caller, key, tool.name, digest)
        owner = self._random(12).hex()
        waited = 0.0
        while True:
            begun = await calls.begin(self._database, call, owner=owner, now=self._clock(), lease=LEASE)
            if not isinstance(begun, calls.Running):
                break
            if waited >= PATIENCE:
                raise errors.Conflict("this very call is still being done")
            await self._sleep(_POLL)
            waited += _POLL
        match begun:
            case calls.First():
                return await self._first(call, begun, work)
            case calls.Done(answer):
                return await self._again(call, answer)
            case _:
                raise errors.Conflict(
                    "this call was begun before and its outcome is not known: it may have been done"
                )

    async def _first(
        self, call: calls.Call, first: calls.First, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        try:
            answer = await work()
        except asyncio.CancelledError:
            # Nobody knows how far it came. Who repeats it is told so at once.
            await asyncio.shield(calls.give_up(self._database, call, first, self._clock()))
            raise
        except errors.LinkspanError as error:
            if isinstance(error, _NOTHING_DONE) and not error.partly_done:
                await calls.forget(self._database, call, first)
                raise
            await self._keep(call, first, {"error": [error.code, error.message, error.upstream_status]})
            raise
        match answer:
            case Item():
                await self._keep(call, first, {"item": [answer.result, answer.account]})
            case Blocks():
                await self._keep(call, first, {"blocks": [answer.blocks, answer.account]})
        return answer

    async def _keep(self, call: calls.Call, first: calls.First, outcome: dict[str, Any]) -> None:
        data = json.dumps(outcome, default=str).encode()
        try:
            sealed = await self._vault.seal_stored(_PURPOSE, call.tenant, call.id, data)
            await calls.finish(self._database, call, first, sealed)
        except errors.Internal as fault:
            # The work is done and must be answered so. A repetition will be told that the outcome is unknown.
            log.error("the answer of a write of tenant %s could not be kept: %s", call.tenant, fault.message)

    async def _again(self, call: calls.Call, sealed: bytes) -> Answer:
        outcome = json.loads(await self._vault.open_stored(_PURPOSE, call.tenant, call.id, sealed))
        if "item" in outcome:
            return Item(*outcome["item"])
        if "blocks" in outcome:
            return Blocks(*outcome["blocks"])
        code, message, status = outcome["error"]
        raise _BY_CODE[code](message, upstream_status=status)
