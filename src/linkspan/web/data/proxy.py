"""The proxy: a request handed through to a product in the name of an account, one to one.

Method, path, parameters and body go on as they came; of headers those on a list. What comes back is handed
out as it comes: Server-Sent Events, files and ranges too. Only what fails is told in our one shape, with the
product's own status, and with its words beside ours.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from linkspan.accounts.principal import Principal
from linkspan.errors import Conflict, Forbidden, InvalidArgument, LinkspanError, RateLimited, TooLarge
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.once import LEASE, by_key, raise_kept
from linkspan.gateway.relay import LONGEST_FAILURE, as_data, incoming_headers, outgoing_headers
from linkspan.net.limits import read_rate_limit
from linkspan.net.messages import Response, Streamed
from linkspan.refusals import refusal
from linkspan.spec.catalog import Connector, Kind, scopes_allow
from linkspan.store.calls import Call, First
from linkspan.web.data.asking import Asked, check_key
from linkspan.web.data.limits import limit_headers
from linkspan.web.data.pages import Listing
from linkspan.web.data.parts import DataParts
from linkspan.web.failures import is_remote, told
from linkspan.web.passing import pass_through
from linkspan.wire import Passing

MOST: Final = 512 * 2**20 + 2**20
"""Bytes of one request: a file of half a gibibyte, as OpenAI takes it, with what surrounds it."""
SHORT: Final = 2**20
"""Bytes of a body that is read before it is sent: it can be sent once more with a renewed access token."""
PATIENCE: Final = 660.0
"""Seconds until an answer begins, the body's way there included, and between two pieces of it: more than the
ten minutes that OpenAI's package waits for a model that thinks."""
_LEASE: Final = 2 * PATIENCE + LEASE
"""Seconds a write may take, which may be sent once more with a renewed access token."""
_LONGEST_PAGE: Final = 10 * 2**20
_SAFE: Final = ("GET", "HEAD")
_METHODS: Final = (*_SAFE, "POST", "PUT", "PATCH", "DELETE")
_FORMATS: Final = ("raw", "stream", "normalized")
_WITHOUT_EFFECT: Final = ("ignore_remote_data", "ignore_limit", "body_passthrough", "super_query")
"""Words of Truto's that ask for what the proxy does anyway."""
_TEXTS: Final = ("json", "xml")
_OWN_WORDS: Final = ("code", "type", "param")
_HARMLESS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
}
"""What a product answers is never run as a page of ours."""


class Passage:
    """One request on its way."""

    def __init__(self, parts: DataParts, asked: Asked, address: str, connector: Connector | None) -> None:
        """`connector` is the account's, where the address names none."""
        self._parts = parts
        self._asked = asked
        self._address = address
        self._limits: dict[str, str] = {}
        self._connector = connector

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand it through."""
        await pass_through(
            scope, receive, send, self.open, self.refused, request_id=self._asked.request_id, max_bytes=MOST
        )

    def refused(self, error: LinkspanError) -> tuple[int, dict[str, str], bytes]:
        """Answer how a failure is told: with the product's status and words, where it was the product's."""
        status = error.upstream_status if is_remote(error) else None
        if isinstance(error, RateLimited) or (status is not None and not 400 <= status <= 599):
            status = None
        shown, body, headers = told(error, self._asked.request_id, status=status, own=_own_words(error))
        return shown, {**headers, **self._limits, **_HARMLESS}, body

    @contextlib.asynccontextmanager
    async def open(self, content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        """Open the answer. Raises an error of the tree for everything that is no success."""
        asked, parts = self._asked, self._parts
        principal = await parts.entrance.enter(asked, self._address)
        connector = await self._chosen(principal)
        _check_words(asked)
        kind: Kind = "read" if asked.method in _SAFE else "write"
        self._allow(principal, connector, kind)
        await parts.governor.take(principal, f"proxy.{connector.name}")
        passing, listing, position = self._passing(principal, connector)
        passing = await _with_body(passing, asked, content)
        call = await self._call(principal, connector, passing)
        if call is None:
            async with self._passed(principal, connector, passing, listing, position) as answer:
                yield answer
            return
        begun = await parts.once.begin(call, lease=_LEASE)
        if not isinstance(begun, First):
            yield _replayed(begun)
            return
        is_done = False
        try:
            async with self._passed(principal, connector, passing, None, None) as coming:
                kept, answer = await _kept(coming)
                await parts.once.keep(call, begun, kept)
                is_done = True
                yield answer
        except LinkspanError as error:
            if not is_done:
                await parts.once.failed(call, begun, error)
            raise
        except BaseException:
            if not is_done:
                await parts.once.leave(call, begun)
            raise

    async def _call(self, principal: Principal, connector: Connector, passing: Passing) -> Call | None:
        """Answer how a write with an `Idempotency-Key` is told apart; None where there is none of ours.

        A body that is not here yet cannot be compared with another: then the key is the product's to heed.
        """
        asked = self._asked
        key = asked.headers.get("idempotency-key")
        if key is None or asked.method in _SAFE or passing.content is not None:
            return None
        check_key(key)
        what = f"{asked.method} {connector.name} {passing.path}"
        whose = await self._parts.relay.whose(principal, connector.name, asked.account)
        body = (passing.body or b"").hex()
        return by_key(principal.tenant, whose, what, key, [passing.query, body])

    @contextlib.asynccontextmanager
    async def _passed(
        self,
        principal: Principal,
        connector: Connector,
        passing: Passing,
        listing: Listing | None,
        position: str | int | None,
    ) -> AsyncIterator[Streamed]:
        """Open the product's answer. Raises an error of the tree for everything that is no success."""
        asked, parts = self._asked, self._parts
        info = CallInfo(asked.request_id, via="rest", thread_id=asked.headers.get("thread-id"))
        async with parts.relay.open(
            principal,
            connector.name,
            passing,
            info=info,
            name=f"proxy_{asked.method.lower()}",
            account=asked.account,
            timeout=PATIENCE,
            idle=PATIENCE,
            about=passing.path[:200],
        ) as answer:
            await parts.governor.go_on(principal)
            now = parts.clock()
            self._limits = limit_headers(read_rate_limit(answer.headers, now), now)
            if answer.status >= 400:
                raise _failure(await answer.read(LONGEST_FAILURE), connector, now)
            headers = {**self._headers(answer, connector), **self._limits, **_HARMLESS}
            if listing is None:
                yield replace(answer, headers=headers)
                return
            whole = await answer.read(_LONGEST_PAGE + 1)
            if len(whole.body) > _LONGEST_PAGE:
                raise TooLarge("a page of this list is too large to be read", hint="Ask for fewer at once.")
            data = listing.shown(as_data(whole.body), answer.headers, answer.url, _base(answer.url), position)
            headers = {**headers, "content-type": "application/json"}
            headers.pop("content-length", None)
            yield Streamed.whole(Response(answer.status, headers, to_json(data), answer.url))

    async def _chosen(self, principal: Principal) -> Connector:
        if self._connector is not None:
            return self._connector
        name = await self._parts.entrance.connector_of(self._asked, principal)
        connector = self._parts.gateway.catalog.connectors.get(name)
        if connector is None:
            raise InvalidArgument(f"tools.yaml has no connector {name!r} any more")
        return connector

    def _allow(self, principal: Principal, connector: Connector, kind: Kind) -> None:
        """Raise unless the token may do it and the path is one that is passed on."""
        asked = self._asked
        key = f"proxy.{connector.name.replace('-', '_')}"
        if asked.method not in _METHODS:
            raise InvalidArgument(f"{asked.method} is not passed on", hint=f"Use {', '.join(_METHODS)}.")
        if not scopes_allow(principal.scopes, key, kind):
            needed = "read, write" if kind == "read" else "write"
            raise Forbidden(
                f"this token may not {kind} at {connector.title} through the proxy",
                hint=f"Ask for a token with one of the scopes {needed} or {key}.",
            )
        rule = connector.proxy
        if not rule.tiers:
            return
        tier = rule.tier_of(asked.path)
        if tier is None:
            hint = f"Paths that are begin with: {', '.join(sum((rule.tiers[on] for on in rule.on), ()))}."
            raise Forbidden(f"{connector.title}'s {asked.path or '/'} is not passed on", hint=hint)
        if tier not in rule.on:
            raise Forbidden(
                f"{connector.title}'s {tier} paths are not passed on here",
                hint=f"The operator adds {tier} to `proxy: {{on: […]}}` of the connector in tools.yaml.",
            )

    def _passing(
        self, principal: Principal, connector: Connector
    ) -> tuple[Passing, Listing | None, str | int | None]:
        asked = self._asked
        headers = outgoing_headers(asked.headers, connector.proxy.headers)
        query, listing, position = asked.query, None, None
        if asked.word("response_format") == "normalized" and asked.method == "GET":
            parts = self._parts
            listing = Listing(connector, asked.path, principal.tenant, parts.sealer, parts.clock)
            query, position = listing.asked(asked.pairs)
        return Passing(asked.method, asked.path, query, headers), listing, position

    def _headers(self, answer: Streamed, connector: Connector) -> dict[str, str]:
        headers = incoming_headers(answer.headers, connector.proxy.answers)
        theirs = headers.pop("x-request-id", None)
        return {**headers, **({"x-remote-request-id": theirs} if theirs else {})}


async def _kept(answer: Streamed) -> tuple[dict[str, Any], Streamed]:
    """Answer what is kept of an answer for a day, and the answer to go on with.

    A stream, and what is long, is not kept: who repeats it is told that it was done. What may be a stream is
    not held back for that.
    """
    if not _is_short(answer):
        return {"streamed": answer.status}, answer
    head = bytearray()
    async for chunk in answer.chunks:
        head += chunk
        if len(head) > SHORT:
            return {"streamed": answer.status}, replace(answer, chunks=_rest(bytes(head), answer.chunks))
    kept = {"raw": [answer.status, dict(answer.headers), base64.b64encode(head).decode()]}
    return kept, Streamed.whole(Response(answer.status, answer.headers, bytes(head), answer.url))


def _is_short(answer: Streamed) -> bool:
    """Tell whether an answer is, by what it says of itself, no stream: short, or data of no told length."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = answer.headers.get("content-length")
    if kind == "text/event-stream" or (length is None and answer.status not in (204, 304)):
        return re.split(r"[/+]", kind)[-1] in _TEXTS
    return length is None or (length.isdecimal() and len(length) < 15 and int(length) <= SHORT)


async def _rest(head: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in chunks:
        yield chunk


def _replayed(outcome: dict[str, Any]) -> Streamed:
    raise_kept(outcome)
    if "raw" not in outcome:
        raise Conflict(
            "this request was done; its answer was a stream or too long to be kept",
            hint="Read what came of it, or choose another Idempotency-Key to do it again.",
        )
    status, headers, body = outcome["raw"]
    headers = {**headers, "idempotent-replayed": "true"}
    return Streamed.whole(Response(status, headers, base64.b64decode(body), ""))


async def _with_body(passing: Passing, asked: Asked, content: AsyncIterator[bytes]) -> Passing:
    """Put the body in: a short one as it is, a long one as it comes."""
    length = asked.headers.get("content-length")
    if length is None and "transfer-encoding" in asked.headers:
        return replace(passing, content=content)
    if length is not None and (not length.isdecimal() or len(length) > 15):
        raise InvalidArgument("Content-Length is no number")
    if int(length or 0) > SHORT:
        return replace(passing, content=content)
    body = b"".join([part async for part in content])
    return replace(passing, body=body or None)


def _check_words(asked: Asked) -> None:
    """Raise `InvalidArgument` for a word of ours that is not heeded here: a dry run that writes is none."""
    for name, values in asked.words.items():
        message = "is not known to the proxy"
        hint = f"Known here: {', '.join(f'truto_{word}' for word in ('response_format', *_WITHOUT_EFFECT))}."
        if name == "response_format":
            if values[-1] in _FORMATS:
                continue
            message, hint = f"is {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}", "Leave it out for what comes."
        elif name in _WITHOUT_EFFECT:
            continue
        elif name == "dry_run":
            message = "is not for the proxy, which has no dry run: it sends what it is given"
            hint = "Leave it out to have it done. The doors of /unified have dry_run."
        path = f"truto_{name}"
        details = [{"path": path, "message": message}]
        raise InvalidArgument(f"{path} {message}; nothing was sent", hint=hint, details=details)


def _failure(answer: Response, connector: Connector, now: float) -> LinkspanError:
    root = {"status": answer.status, "headers": answer.headers, "body": as_data(answer.body)}
    return refusal(root, connector, now=now)


def _own_words(error: LinkspanError) -> dict[str, Any]:
    """Answer what a product calls its error, where it does so as OpenAI does: its clients read it there."""
    raw = error.raw_response
    said = raw.get("error") if isinstance(raw, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return {}
    return {word: said[word] for word in _OWN_WORDS if isinstance(said.get(word), str)}


def _base(url: str) -> str:
    """Answer the origin of a URL: pages of a list stay there."""
    return "/".join(url.split("/")[:3])
