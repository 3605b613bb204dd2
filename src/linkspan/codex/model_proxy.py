"""The model proxy: Codex asks us for its model, with a token of its run; we ask OpenAI, as the tenant.

Codex never sees a key. What it used is read off the stream as it passes, a budget that is spent ends the run,
and a token that is revoked is refused with the next call, and within a second in the middle of an answer.

What we refuse is answered with 400: Codex hands it on word for word and does not try again
(docs/codex-versions.md). Only a token that is not good is answered with 401, as anywhere, and a wait of up to
a minute with 429, whether OpenAI wants it or we know that it would: Codex waits for that by itself.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from linkspan.accounts.principal import Principal, Tenant
from linkspan.codex.metering import Meter
from linkspan.errors import InvalidArgument, LinkspanError, QuotaExceeded, RateLimited, TooLarge
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.relay import (
    LONGEST_FAILURE,
    Relay,
    failure_in,
    incoming_headers,
    outgoing_headers,
)
from linkspan.net.limits import in_words, retry_after
from linkspan.net.messages import Streamed
from linkspan.wire import Passing

OPENAI: Final = "openai"
"""The connector whose account pays."""
NO_QUOTA: Final = ("insufficient_quota", "billing_hard_limit_reached")
"""Its words for a 429 that no wait helps against."""
_CODEX_SAYS: Final = (
    "x-codex-",
    "x-client-request-id",
    "originator",
    "session-id",
    "thread-id",
    "openai-beta",
)
_OPENAI_SAYS: Final = ("openai-", "x-codex-", "x-models-etag")
_WAITED_BY_CODEX: Final = 60.0
"""Seconds: longer ones end the turn, and the run may be tried again later."""
_TOO_MANY: Final = "rate_limit_exceeded"
_LOOK_AGAIN: Final = 1.0
LONGEST_REQUEST: Final = 32 * 2**20
"""Bytes of one request to a model; a million tokens have five, pictures the rest."""
_RETRYABLE: Final = {"rate_limited", "upstream_error", "upstream_timeout"}


class ModelGrant(Protocol):
    """What a token opens."""

    @property
    def tenant(self) -> Tenant:
        """Who pays."""
        ...

    @property
    def run(self) -> str:
        """Which run asks."""
        ...

    @property
    def account(self) -> str | None:
        """The tenant's account at OpenAI; None: the only one there is."""
        ...

    def admit(self, model: str) -> None:
        """Raise `Forbidden` when this model may not be asked with it."""
        ...


class Grants(Protocol):
    """Who keeps the tokens of runs, and their budgets."""

    async def grant(self, text: str) -> ModelGrant:
        """Answer what a token opens. Raises `Unauthenticated` and `QuotaExceeded`."""
        ...

    async def spent(
        self, tenant: Tenant, run: str, model: str, tokens: Mapping[str, int], *, asked: str
    ) -> bool:
        """Count a call of a model; answers whether the run may make another one.

        `asked` is what it was called by: a release that answers may have another name, and no price.
        """
        ...


class ModelProxy:
    """Two doors of OpenAI's API, for runs."""

    def __init__(self, grants: Grants, relay: Relay, *, clock: Callable[[], float]) -> None:
        self._grants = grants
        self._relay = relay
        self._clock = clock

    @contextlib.asynccontextmanager
    async def responses(
        self, token: str, headers: Mapping[str, str], content: AsyncIterator[bytes], request_id: str
    ) -> AsyncIterator[Streamed]:
        """Ask the model (`POST /responses`) and hand its answer out as it comes, counting what it cost.

        Raises an error of the tree for everything that Codex is to be told at once.
        """
        grant = await self._grants.grant(token)
        body, model = await _read(headers, content)
        grant.admit(model)
        passed = outgoing_headers(headers, _CODEX_SAYS)
        ask = Passing("POST", "/responses", "", passed, content=_once(body))
        async with self._open(grant, ask, headers, request_id, "call_model") as opened:
            answer = await self._limited(opened) if opened.status == 429 else opened
            shown = incoming_headers(answer.headers, _OPENAI_SAYS)
            async with contextlib.aclosing(self._metered(grant, token, answer, model)) as chunks:
                yield replace(answer, headers=shown, chunks=chunks)

    @contextlib.asynccontextmanager
    async def models(
        self, token: str, headers: Mapping[str, str], query: str, request_id: str
    ) -> AsyncIterator[Streamed]:
        """Answer which models the account has (`GET /models`)."""
        grant = await self._grants.grant(token)
        ask = Passing("GET", "/models", query, outgoing_headers(headers, _CODEX_SAYS))
        async with self._open(grant, ask, headers, request_id, "list_models") as answer:
            yield replace(answer, headers=incoming_headers(answer.headers, _OPENAI_SAYS))

    def _open(
        self, grant: ModelGrant, ask: Passing, headers: Mapping[str, str], request_id: str, name: str
    ) -> contextlib.AbstractAsyncContextManager[Streamed]:
        principal = Principal(grant.tenant, "run", grant.run, scopes=())
        info = CallInfo(request_id, via="run", thread_id=headers.get("thread-id"))
        return self._relay.open(principal, OPENAI, ask, info=info, name=name, account=grant.account)

    async def _limited(self, answer: Streamed) -> Streamed:
        """Let Codex wait where the wait is short; everything else is told in a sentence."""
        whole = await answer.read(LONGEST_FAILURE)
        error = failure_in(whole.body)
        if error.get("code") in NO_QUOTA or error.get("type") in NO_QUOTA:
            raise QuotaExceeded(
                "the OpenAI account has no quota left", hint="See its plan and billing.", upstream_status=429
            )
        wait = retry_after(answer.headers, self._clock())
        if wait is not None and wait > _WAITED_BY_CODEX:
            raise RateLimited(
                f"OpenAI refuses more calls for {in_words(wait)}",
                hint="Try the run again then.",
                retry_after=wait,
                upstream_status=429,
            )
        return Streamed.whole(whole)

    async def _metered(
        self, grant: ModelGrant, token: str, answer: Streamed, model: str
    ) -> AsyncGenerator[bytes, None]:
        """Hand an answer on; what it cost is counted before Codex sees its end, and so asks for more."""
        meter, looked = Meter(answer.headers.get("content-type", "")), self._clock()
        async for chunk in answer.chunks:
            meter.feed(chunk)
            await self._count(grant, meter, model)
            now = self._clock()
            if now - looked >= _LOOK_AGAIN:
                looked = now
                await self._grants.grant(token)
            yield chunk
        meter.close()
        await self._count(grant, meter, model)

    async def _count(self, grant: ModelGrant, meter: Meter, model: str) -> None:
        used = meter.used()
        if used is not None:
            await self._grants.spent(grant.tenant, grant.run, used.model, used.tokens, asked=model)


async def _read(headers: Mapping[str, str], content: AsyncIterator[bytes]) -> tuple[bytes, str]:
    """Answer a request's body and the model that it asks: it is read before anybody pays for it.

    Codex sends all of a conversation each time, so this is what a run takes of our memory: the body, and
    twice as much again for the moment in which it is read.

    Raises `TooLarge`, and `InvalidArgument` for a body that does not say its model in exactly one way.
    """
    taken = bytearray()
    async for chunk in content:
        taken += chunk
        if len(taken) > LONGEST_REQUEST:
            raise TooLarge(
                f"The conversation is larger than the {LONGEST_REQUEST // 2**20} MB that may be sent at once",
                hint="Start another run with less to read, or with fewer pictures.",
            )
    body = bytes(taken)
    del taken
    try:
        if headers.get("content-encoding", "identity") != "identity":
            raise ValueError("it is packed")
        model = json.loads(body, object_pairs_hook=_one_model)["model"]
        if not isinstance(model, str):
            raise TypeError(model)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgument("the request does not say in plain JSON which model it asks") from error
    return body, model


def _one_model(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object; said twice, a model would be one here and another one there."""
    found = dict(pairs)
    if "model" in found and sum(name == "model" for name, _ in pairs) > 1:
        raise ValueError("it names its model twice")
    return found


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def refusal(error: LinkspanError) -> tuple[int, dict[str, str], bytes]:
    """Answer status, headers and body that tell Codex of an error, and the engine behind it all of it."""
    told: dict[str, Any] = dict(error.to_dict()["error"])
    told["message"] = _sentence(error)
    told |= {"type": "linkspan", "param": None, "linkspan": {"retryable": error.code in _RETRYABLE}}
    headers = {"content-type": "application/json"}
    status = 400
    if isinstance(error, RateLimited) and error.retry_after is not None:
        if error.retry_after <= _WAITED_BY_CODEX:
            # As OpenAI says it: of another kind Codex makes no second try.
            status, told["type"], told["code"] = 429, _TOO_MANY, _TOO_MANY
    elif error.code == "unauthenticated":
        status = 401
        headers["www-authenticate"] = "Bearer"
    elif error.code in {"upstream_error", "upstream_timeout", "internal"}:
        status = 502 if error.code != "internal" else 500
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    return status, headers, json.dumps({"error": told}).encode()


def _sentence(error: LinkspanError) -> str:
    text = error.for_model().removeprefix("Error: ")
    return text[:1].upper() + text[1:]
