"""Entities over REST: one set of fields and one shape, whatever the product."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import from_json, to_json

from linkspan.accounts.principal import Principal
from linkspan.errors import InvalidArgument
from linkspan.gateway.call import Result
from linkspan.gateway.calls import CallInfo, Remote
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.gateway.watch import Watch
from linkspan.net.limits import RateLimit
from linkspan.web.data.asking import Asked, check_key
from linkspan.web.data.limits import limit_headers
from linkspan.web.data.pages import page
from linkspan.web.data.parts import DataParts
from linkspan.web.data.resources import Target
from linkspan.web.data.words import Words, arguments_of, read_words

IDEMPOTENCY: Final = "idempotency-key"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, ready to be sent."""

    status: int
    body: bytes
    media_type: str = _JSON
    limits: RateLimit | None = None
    is_replayed: bool = False

    def headers(self, now: float) -> dict[str, str]:
        """Answer its headers."""
        replayed = {"idempotent-replayed": "true"} if self.is_replayed else {}
        return {"content-type": self.media_type, **limit_headers(self.limits, now), **replayed}


@dataclass(frozen=True, slots=True)
class Wish:
    """One call of an operation, as somebody asked for it."""

    target: Target
    arguments: Mapping[str, Any]
    words: Words
    body: Any = None
    """The body as it came: what is sent instead of the operation's own, where that was asked."""
    remote_body: Any = None


def wish_of(asked: Asked, target: Target, body: Any) -> Wish:
    """Answer what a request asks for. `body` is its JSON, None without one. Raises `InvalidArgument`."""
    properties = target.tool.input_schema.get("properties", {})
    words = read_words(asked, properties)
    arguments = arguments_of(words.pairs, properties)
    remote_body = None
    if body is not None and not words.passes_body:
        if not isinstance(body, dict):
            raise InvalidArgument("The body is no JSON object")
        given = dict(body)
        if "remote_data" not in properties:
            remote_body = given.pop("remote_data", None)
        if words.dry_run is None and isinstance(
            given.get("dry_run"), bool
        ):  # what else it is meets the schema
            words = replace(words, dry_run=given.pop("dry_run"))
        if twice := [name for name in given if name in arguments]:
            raise InvalidArgument(f"{twice[0]} is in the address and in the body")
        arguments |= given
    if target.id is not None:
        arguments["id"] = target.id
    if words.ignores_limit:
        arguments.pop("limit", None)
    return Wish(target, arguments, words, body, remote_body)


async def fulfil(
    parts: DataParts, principal: Principal, asked: Asked, wish: Wish
) -> tuple[Result, Watch | None]:
    """Make the call. Raises what `Gateway.call` raises."""
    words, tool = wish.words, wish.target.tool
    arguments = dict(wish.arguments)
    if asked.account is not None:
        arguments["account"] = asked.account
    if words.dry_run and tool.kind != "read":
        arguments["dry_run"] = True
    key = _key(asked)
    if key is not None and words.format == "raw" and tool.kind != "read":
        raise InvalidArgument(
            "an answer as the product gave it is not kept for a repetition; nothing was done",
            hint="Leave out either Idempotency-Key or response_format=raw.",
        )
    watch = Watch() if words.format == "raw" else None
    body = wish.body if words.passes_body else wish.remote_body
    remote = Remote(
        words.remote_query, body, words.passes_body, words.with_remote, words.format == "normalized"
    )
    info = CallInfo(
        asked.request_id,
        via="rest",
        thread_id=asked.headers.get("thread-id"),
        idempotency_key=key,
        only_show=bool(words.dry_run),
        watch=watch,
        remote=remote,
    )
    return await parts.gateway.call(principal, tool, arguments, info=info), watch


def _key(asked: Asked) -> str | None:
    key = asked.headers.get(IDEMPOTENCY)
    return None if key is None else check_key(key)


def answered(result: Result, watch: Watch | None, wish: Wish) -> Answered:
    """Answer a result in the shape that was asked for."""
    words, tool = wish.words, wish.target.tool
    if watch is not None and watch.exchanges and not isinstance(result, DryRun):
        last = watch.exchanges[-1]
        return Answered(last.status, last.body, last.headers.get("content-type", _JSON))
    match result:
        case Page():
            things: Any = [_without(thing, words) for thing in result.result]
            shown = page(things, result.next_cursor, truncated=result.truncated) | _whose(result)
            if words.key_by is not None:
                shown["result"] = {str(thing.get(words.key_by)): thing for thing in things}
            return Answered(200, to_json(shown), limits=result.rate_limit)
        case Item():
            thing = _without(result.result, words)
            if thing is None and tool.operation == "delete":
                thing = {"id": wish.arguments.get("id")}
            status = 201 if tool.operation == "create" else 200
            body = to_json(thing if words.is_bare else {"result": thing, **_whose(result)})
            return Answered(status, body, _JSON, result.rate_limit, result.is_replayed)
        case DryRun():
            return Answered(200, _object({"dry_run": True, "request": result.request}, words))
        case Blocks():
            return _file(result) or Answered(200, _object({"content": result.blocks}, words))


def _object(thing: Any, words: Words) -> bytes:
    return to_json(thing if words.is_bare else {"result": thing})


def _whose(result: Page | Item) -> dict[str, Any]:
    """Answer which linked account something came from, as REST calls an account and a connector."""
    return {"integrated_account_id": result.account, "integration": result.connector}


def _without(thing: Any, words: Words) -> Any:
    if not words.without or not isinstance(thing, Mapping):
        return thing
    return {name: value for name, value in thing.items() if name not in words.without}


def _file(blocks: Blocks) -> Answered | None:
    """Answer a file as what it is."""
    if len(blocks.blocks) != 1:
        return None
    block = blocks.blocks[0]
    held = block.get("resource", block)
    media = held.get("mimeType") or "application/octet-stream"
    data = held.get("blob", held.get("data"))
    if data is not None:
        return Answered(200, base64.b64decode(data), media)
    return Answered(200, str(held["text"]).encode(), f"{media}; charset=utf-8") if "uri" in held else None


def read_json(raw: bytes, content_type: str) -> Any:
    """Answer the JSON of a body, None for none. Raises `InvalidArgument`."""
    if not raw:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", _JSON) and not kind.endswith("+json"):
        raise InvalidArgument("The body is not JSON", hint="Send Content-Type: application/json.")
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidArgument("The body is not JSON") from error
