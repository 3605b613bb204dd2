"""Several calls in one request, each with what others found: `POST /batch-request`.

Calls that depend on nothing that is still being asked are made at once, a few at a time. Lists are read to
their end, as far as a bound. A call that fails takes those with it that depend on it, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import Field
from pydantic_core import from_json, to_json

from linkspan.accounts.principal import Principal
from linkspan.errors import Conflict, Internal, InvalidArgument, LinkspanError, NotFound
from linkspan.gateway.once import digest_of
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.spec.catalog import Catalog
from linkspan.web.api.reading import Model, validated
from linkspan.web.data.asking import Asked, check_key
from linkspan.web.data.doors import log
from linkspan.web.data.parts import DataParts
from linkspan.web.data.placeholders import fill
from linkspan.web.data.resources import Target, entity_of
from linkspan.web.data.unified import IDEMPOTENCY, Answered, Wish, fulfil, read_json
from linkspan.web.data.words import Words, arguments_of, read_words
from linkspan.web.failures import told

MOST_CALLS: Final = 500
"""Calls that one request may make, pages and turns of loops counted."""
MOST_ITEMS: Final = 1_000
"""Things that one list of it may have."""
_AT_ONCE: Final = 4
_NAME: Final = r"^[A-Za-z0-9_./-]{1,100}$"


class Part(Model):
    """One call, or one for each thing of a list (`loop_on`)."""

    resource: str = Field(pattern=_NAME, description="PLURAL or GROUP/PLURAL.")
    method: str = Field("list", pattern=r"^[a-z][a-z0-9_]{0,60}$", description="The operation.")
    name: str | None = Field(None, pattern=_NAME, description="What others call it; else its resource.")
    id: str | int | None = None
    query: dict[str, Any] = {}
    body: Any = None
    depends_on: list[str] = Field([], max_length=50)
    loop_on: str | None = Field(None, pattern=_NAME)
    persist: bool = Field(True, description="Whether what it found is in the answer.")

    @property
    def key(self) -> str:
        """What it is called in the answer."""
        return self.name or self.resource

    @property
    def needs(self) -> set[str]:
        """The others that have to be done before."""
        return {*self.depends_on, *([self.loop_on] if self.loop_on else [])}


class Batch(Model):
    """What is asked for."""

    integrated_account_id: str | None = None
    tenant_id: str | None = None
    resources: list[Part] = Field(min_length=1, max_length=50)
    args: dict[str, Any] = {}


class BatchAnswer(Model):
    """What was found and what failed, by name."""

    result: dict[str, list[Any]]
    errors: dict[str, list[dict[str, Any]]]
    is_partial_response: bool
    """Whether a list was longer than what is read of one."""


def read_batch(raw: bytes, content_type: str) -> Batch:
    """Answer the body. Raises `InvalidArgument` with every fault, circles and unknown names among them."""
    batch = validated(Batch, read_json(raw, content_type), "The body does not fit", [])
    names = [part.key for part in batch.resources]
    faults = [
        {"path": f"resources.{index}", "message": f"{name!r} is there twice: give it a name"}
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    for index, part in enumerate(batch.resources):
        faults += [
            {"path": f"resources.{index}", "message": f"depends on {need!r}, which is not there"}
            for need in sorted(part.needs - set(names))
        ]
    if not faults and (left := _in_circles(batch.resources)):
        faults = [{"path": "resources", "message": f"{', '.join(left)} wait for each other"}]
    if faults:
        raise InvalidArgument("; ".join(fault["message"] for fault in faults), details=faults)
    return batch


def _in_circles(parts: Sequence[Part]) -> list[str]:
    left = {part.key: part.needs for part in parts}
    while ready := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in ready:
            del left[name]
    return list(left)


class Doing:
    """One batch while it is done."""

    def __init__(
        self, parts: DataParts, principal: Principal, asked: Asked, batch: Batch, *, only_shows: bool
    ) -> None:
        """`only_shows`: what would write is shown and not sent; what reads is done, since others need it."""
        self._only_shows = only_shows
        self._parts = parts
        self._principal = principal
        self._asked = asked
        self._batch = batch
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._done = {part.key: asyncio.Event() for part in batch.resources}
        self._found: dict[str, list[Any]] = {}
        self._failed: dict[str, list[dict[str, Any]]] = {}
        self._calls = 0
        self._is_partial = False

    async def run(self) -> BatchAnswer:
        """Do all of it."""
        async with asyncio.TaskGroup() as group:
            for part in self._batch.resources:
                group.create_task(self._part(part))
        shown = {part.key: self._found.get(part.key, []) for part in self._batch.resources if part.persist}
        return BatchAnswer(result=shown, errors=self._failed, is_partial_response=self._is_partial)

    async def _part(self, part: Part) -> None:
        try:
            for need in sorted(part.needs):
                await self._done[need].wait()
            lost = sorted(need for need in part.needs if need in self._failed)
            if lost:
                self._fail(part, Conflict(f"{lost[0]}, which it depends on, failed"))
                return
            things: Sequence[Any] = self._found[part.loop_on] if part.loop_on is not None else (None,)
            found = await asyncio.gather(*(self._once(part, n, thing) for n, thing in enumerate(things)))
            self._found[part.key] = [thing for some in found for thing in some]
        finally:
            self._done[part.key].set()

    async def _once(self, part: Part, number: int, thing: Any) -> list[Any]:
        """Make one call, and answer what it found; what fails is noted."""
        seen: dict[str, Any] = dict(self._found)
        if part.loop_on is not None:
            seen[part.loop_on] = thing
        try:
            given = fill({"id": part.id, "query": part.query, "body": part.body}, self._batch.args, seen)
            async with self._turn:
                return await self._call(part, number, given)
        except LinkspanError as error:
            self._fail(part, error)
        except Exception:
            log.exception("request %s: %s of a batch failed", self._asked.request_id, part.key)
            self._fail(part, Internal("something went wrong inside Linkspan"))
        return []

    async def _call(self, part: Part, number: int, given: Mapping[str, Any]) -> list[Any]:
        tool = _target(self._parts.gateway.catalog, part).tool
        properties = tool.input_schema.get("properties", {})
        query = {name: value for name, value in given["query"].items() if value is not None}
        texts = [(name, value) for name, value in query.items() if isinstance(value, str)]
        arguments = arguments_of(texts, properties)
        arguments |= {name: value for name, value in query.items() if not isinstance(value, str)}
        if isinstance(given["body"], Mapping):
            arguments |= given["body"]
        if given["id"] is not None:
            arguments["id"] = str(given["id"])
        asked = self._asked
        if (key := asked.headers.get(IDEMPOTENCY)) is not None:
            own = f"{digest_of(key)}:{part.key}:{number}"  # not longer than a key may be
            asked = replace(asked, headers={**asked.headers, IDEMPOTENCY: own})
        words = Words(dry_run=self._only_shows and tool.kind != "read")
        found: list[Any] = []
        while True:
            self._calls += 1
            if self._calls > MOST_CALLS:
                raise InvalidArgument(f"a batch may make {MOST_CALLS} calls")
            wish = Wish(Target(tool), arguments, words)
            result, _ = await fulfil(self._parts, self._principal, asked, wish)
            match result:
                case Page():
                    found += result.result
                    if result.next_cursor is None:
                        return found
                    if len(found) >= MOST_ITEMS:
                        self._is_partial = True
                        return found
                    arguments = {**arguments, "cursor": result.next_cursor}
                case Item():
                    return [] if result.result is None else [result.result]
                case DryRun():
                    return [result.to_dict()]
                case Blocks():
                    return [result.to_dict()]

    def _fail(self, part: Part, error: LinkspanError) -> None:
        _, body, _ = told(error, self._asked.request_id)
        self._failed.setdefault(part.key, []).append(from_json(body))


def _target(catalog: Catalog, part: Part) -> Target:
    group, _, plural = part.resource.rpartition("/")
    entity = entity_of(catalog, group or None, plural)
    tool = catalog.tool_for(f"{entity.name}.{part.method}")
    if tool is None or not tool.operations:
        raise InvalidArgument(f"{plural} have no operation {part.method!r}")
    return Target(tool)


def with_account(asked: Asked, raw: bytes) -> Asked:
    """Put the account and tenant that the body names where they are looked for: before who asks is known.

    A body that cannot be read says nothing; it is refused afterwards, to who may know why.
    """
    if asked.account is not None:
        return asked
    try:
        body = from_json(raw)
    except ValueError:
        return asked
    body = body if isinstance(body, dict) else {}
    account, tenant = body.get("integrated_account_id"), body.get("tenant_id")
    return replace(
        asked,
        account=account if isinstance(account, str) else None,
        tenant=tenant if isinstance(tenant, str) else asked.tenant,
    )


async def batch(parts: DataParts, asked: Asked, principal: Principal, raw: bytes) -> Answered:
    """Answer a batch."""
    if any(asked.segments):
        raise NotFound("There is nothing at this address", hint="Batches are sent to /batch-request.")
    if asked.method != "POST":
        raise InvalidArgument(f"This address does not take {asked.method}", hint="Use POST.")
    only_shows = _is_dry_run(asked)
    if (key := asked.headers.get(IDEMPOTENCY)) is not None:
        check_key(key)
    wanted = read_batch(raw, asked.headers.get("content-type", ""))
    asked = replace(asked, account=wanted.integrated_account_id or asked.account)
    answer = await Doing(parts, principal, asked, wanted, only_shows=only_shows).run()
    return Answered(200, to_json(answer.model_dump(mode="json")))


def _is_dry_run(asked: Asked) -> bool:
    """Answer what `dry_run` of the address says, the one parameter that a batch has. Raises for any other."""
    words = read_words(asked, {})
    others = [name for name, _ in asked.pairs if name != "dry_run"]
    others += [f"truto_{name}" for name in asked.words if name != "dry_run"]
    if others:
        details = [{"path": name, "message": "is not known here"} for name in others]
        hint = "A batch takes dry_run; parameters of its calls are in the body."
        raise InvalidArgument(f"{others[0]} is not known here", hint=hint, details=details)
    return bool(words.dry_run)
