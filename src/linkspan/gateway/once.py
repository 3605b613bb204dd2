"""A write that comes twice is done once.

Codex repeats a call after 401 and 404, with the same call id; programs repeat what they got no answer to,
with the same `Idempotency-Key`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkspan import errors
from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.spec.catalog import Tool
from linkspan.store import calls
from linkspan.store.calls import Call, First
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


def by_call_id(principal: Principal, tool: Tool, arguments: Mapping[str, Any], info: CallInfo) -> Call:
    """Answer how a call of Codex is told apart: by principal, thread and call id, tool and arguments.

    Several tool calls of one piece of code-mode script share a call id, so the tool and the arguments belong
    to what is remembered.
    """
    digest = digest_of(arguments)
    key = _hash(f"{info.thread_id}\0{info.call_id}\0{tool.name}\0{digest}")
    return Call(principal.tenant, f"{principal.kind}:{principal.subject}", key, tool.name, digest)


def by_caller(tenant: Tenant | None, token: str, what: str, key: Any, asked: Any) -> Call:
    """Answer how a write at the management API is told apart: by token, what is done, and key.

    Other tokens may do less, so none is given what another was answered.
    """
    return Call(tenant, f"api:{token}", digest_of([tenant, what, key]), what, digest_of(asked), "api_calls")


def by_key(tenant: Tenant, whose: str, what: str, key: str, asked: Any) -> Call:
    """Answer how a write of a program is told apart: by whose it is, what is done, and the key that it chose.

    `whose` is that of the credential which is used, named or not: one person is not given another's answer.

    The same key with something else `asked` is told as a conflict.
    """
    return Call(tenant, "key", _hash(f"{whose}\0{what}\0{key}"), what[:200], digest_of(asked))


class Once:
    """Remembers writes for a day. Safe with several replicas: a call is begun by a row."""

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

    async def run(self, call: Call, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do the work, or answer what came of it when it was done before; raises what `begin` does."""
        begun = await self.begin(call)
        if not isinstance(begun, First):
            return _again(begun)
        try:
            answer = await work()
        except asyncio.CancelledError:
            await self.leave(call, begun)
            raise
        except errors.LinkspanError as error:
            await self.failed(call, begun, error)
            raise
        match answer:
            case Item():
                await self.keep(call, begun, {"item": [answer.result, answer.account, answer.connector]})
            case Blocks():
                await self.keep(call, begun, {"blocks": [answer.blocks, answer.account]})
        return answer

    async def begin(self, call: Call, *, lease: float = LEASE) -> First | dict[str, Any]:
        """Answer the right to do it within `lease` seconds, or what came of it.

        Raises `Conflict` for a call that is still done after `PATIENCE`, for one whose outcome nobody knows
        (its process died in the middle), never to be written twice, and for a key that was used for something
        else.
        """
        owner = self._random(12).hex()
        waited = 0.0
        while True:
            begun = await calls.begin(self._database, call, owner=owner, now=self._clock(), lease=lease)
            if not isinstance(begun, calls.Running):
                break
            if waited >= PATIENCE:
                raise errors.Conflict("this very call is still being done")
            await self._sleep(_POLL)
            waited += _POLL
        match begun:
            case First():
                return begun
            case calls.Done(answer):
                opened = await self._vault.open_stored(_PURPOSE, call.tenant, call.id, answer)
                outcome: dict[str, Any] = json.loads(opened)
                return outcome
            case calls.Different():
                raise errors.Conflict(
                    "this Idempotency-Key was used for something else within the last day",
                    hint="Choose another key for another request.",
                )
            case _:
                raise errors.Conflict(
                    "this call was begun before and its outcome is not known: it may have been done"
                )

    async def leave(self, call: Call, first: First) -> None:
        """Give a call up in the middle: nobody knows how far it came, and who repeats it is told so."""
        await asyncio.shield(calls.give_up(self._database, call, first, self._clock()))

    async def failed(self, call: Call, first: First, error: errors.LinkspanError) -> None:
        """Note a failure. After one with which nothing was done the call may be made again."""
        if isinstance(error, _NOTHING_DONE) and not error.partly_done:
            await calls.forget(self._database, call, first)
        else:
            await self.keep(call, first, {"error": [error.code, error.message, error.upstream_status]})

    async def keep(self, call: Call, first: First, outcome: dict[str, Any]) -> None:
        """Keep what came of a call, sealed."""
        data = json.dumps(outcome, default=str).encode()
        try:
            sealed = await self._vault.seal_stored(_PURPOSE, call.tenant, call.id, data)
            await calls.finish(self._database, call, first, sealed)
        except errors.Internal as fault:
            # The work is done and must be answered so. A repetition will be told that the outcome is unknown.
            log.error("the answer of a write of tenant %s could not be kept: %s", call.tenant, fault.message)


def raise_kept(outcome: Mapping[str, Any]) -> None:
    """Raise the failure that was kept, if it was one."""
    if "error" in outcome:
        code, message, status = outcome["error"]
        raise _BY_CODE[code](message, upstream_status=status)


def _again(outcome: Mapping[str, Any]) -> Answer:
    raise_kept(outcome)
    if "item" in outcome:
        result, account, *connector = outcome["item"]  # The release before kept no connector.
        return Item(result, account, is_replayed=True, connector="".join(connector))
    return Blocks(*outcome["blocks"])


def digest_of(asked: Any) -> str:
    """Answer what tells one request from another."""
    return _hash(json.dumps(asked, sort_keys=True, default=str))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
