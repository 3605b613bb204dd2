"""What a run is about: the thing it was started on and what belongs to it, read once and kept with the run.

It is given to Codex as data. The run works with what it read when it began, whatever becomes of the thing
meanwhile; it may read it again with its tools.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from linkspan.accounts.principal import Principal, Tenant
from linkspan.codex.engine import Image, Material
from linkspan.codex.places import Checkout
from linkspan.errors import (
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
)
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.runs.about import person_of
from linkspan.spec.catalog import Catalog
from linkspan.spec.recipe import Gathered, Recipe
from linkspan.store.runs import Run
from linkspan.text.markdown import render

Json = dict[str, Any]
Sleep = Callable[[float], Awaitable[object]]
_MOST_PAGES: Final = 10
_MOST_TEXT: Final = 200_000
_MOST_PICTURES: Final = 10
_LARGEST_PICTURE: Final = 4_000_000
"""Bytes."""
_PICTURES: Final = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""What models look at."""
_TITLES: Final = ("title", "name", "summary", "subject")
WAITS: Final = (1.0, 5.0, 20.0, 60.0)
"""Seconds between attempts at a product that does not answer now."""
_LONGEST_WAIT: Final = 120.0
_PASSING: Final = (RateLimited, UpstreamTimeout, UpstreamError)


@dataclass(frozen=True, slots=True)
class Context:
    """What was read."""

    entity: Json | None = None
    materials: tuple[Material, ...] = field(default=(), repr=False)
    account: str | None = None
    """Where the thing is: what belongs to it is there too."""
    subject: Json | None = field(default=None, repr=False)
    """What a review is of (`Subject`)."""
    difference: Material | None = field(default=None, repr=False)
    """What is different from when a run on the same thing last succeeded, where that is told."""
    missing: tuple[str, ...] = ()
    """Sentences about what could not be read, and could be done without. They are told, not kept."""

    @property
    def told(self) -> tuple[Material, ...]:
        """What Codex is given."""
        return self.materials if self.difference is None else (*self.materials, self.difference)

    @property
    def title(self) -> str | None:
        """What the thing is called."""
        item = self.entity or {}
        return next((str(item[name]) for name in _TITLES if item.get(name)), None)

    @property
    def url(self) -> str | None:
        """Where people find the thing; no other address than one that a browser opens as a page."""
        url = (self.entity or {}).get("url")
        return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None

    def dump(self) -> bytes:
        """Answer it as it is kept."""
        kept: Json = {
            "entity": self.entity,
            "materials": [_plain(each) for each in self.materials],
            "account": self.account,
            "difference": _plain(self.difference) if self.difference is not None else None,
        }
        return json.dumps({**kept, "subject": self.subject}, ensure_ascii=False).encode()

    @staticmethod
    def load(data: bytes) -> Context:
        """Read what was kept."""
        told = json.loads(data)
        materials = tuple(_kept_material(each) for each in told["materials"])
        different = told.get("difference")
        return Context(
            told["entity"],
            materials,
            told["account"],
            told.get("subject"),
            _kept_material(different) if different is not None else None,
        )


class Reader:
    """Calls the tenant's products for a run, patiently."""

    def __init__(self, gateway: Gateway, *, random: Callable[[int], bytes], sleep: Sleep) -> None:
        self._gateway = gateway
        self._random = random
        self.sleep = sleep

    async def gather(self, run: Run, recipe: Recipe) -> Context:
        """Read the thing and what belongs to it. Raises what a call of the gateway raises."""
        if recipe.entity is None:
            return Context()
        item = await self.call(run, f"{recipe.entity}.get", {"id": run.entity_id})
        run = replace(run, account=item.account)
        entity = item.result if isinstance(item, Item) and isinstance(item.result, dict) else {}
        catalog = self._gateway.catalog
        title = catalog.entities[recipe.entity].title
        materials = [self._material(recipe.entity, str(run.entity_id), title, entity)]
        missing = []
        for gathered in recipe.context:
            try:
                materials += await self._gathered(run, recipe.entity, gathered, materials)
            except (Forbidden, NotFound, InvalidArgument) as error:
                if not gathered.is_optional:
                    raise
                missing.append(error.message)
        return Context(entity, tuple(materials), item.account, missing=tuple(missing))

    async def _gathered(
        self, run: Run, entity: str, gathered: Gathered, before: Sequence[Material]
    ) -> list[Material]:
        """Read what belongs to a thing: a list of others, or what an operation of its own answers."""
        told, catalog = str(run.entity_id), self._gateway.catalog
        pictures = sum(len(each.images) for each in before)
        if gathered.entity is None:
            name = f"{str(gathered.operation).replace('_', ' ')} of {entity.replace('_', ' ')} {told}"
            made = await self._shown(run, entity, told, str(gathered.operation), name, pictures)
            return [made] if made is not None else []
        name = gathered.entity
        found = await self._list(run, name, {entity: told})
        shown: list[Material] = []
        for index, each in enumerate(found[: gathered.whole]):
            got = await self.call(run, f"{name}.get", {"id": each["id"]})
            found[index] = got.result if isinstance(got, Item) and got.result else each
            if gathered.operation is not None:
                heading = f"{gathered.operation.replace('_', ' ')} of {name.replace('_', ' ')} {each['id']}"
                seen = pictures + sum(len(one.images) for one in shown)
                made = await self._shown(run, name, str(each["id"]), gathered.operation, heading, seen)
                shown += [made] if made is not None else []
        if not found:
            return shown
        plural = catalog.entities[name].plural.replace("_", " ")
        heading = f"{plural.capitalize()} of {catalog.entities[entity].title.lower()} {told}"
        text = "\n".join(render(each, title=catalog.entities[name].title) for each in found)
        return [Material(heading, _source(entity, told), text[:_MOST_TEXT]), *shown]

    async def _shown(
        self, run: Run, entity: str, identified: str, operation: str, name: str, pictures: int
    ) -> Material | None:
        """Answer what an operation of a thing answers, its pictures as pictures; None for nothing at all."""
        key, source = f"{entity}.{operation}", _source(entity, identified)
        tool = self._gateway.catalog.tool_for(key)
        arguments = {"id": identified}
        if tool is not None and any(operation.is_list for operation in tool.operations.values()):
            found = await self.pages(run, key, arguments)
            text = "\n".join(render(each, title=name) for each in found)
            return Material(name, source, text[:_MOST_TEXT]) if found else None
        got = await self._answer(run, key, arguments)
        if isinstance(got, Blocks):
            return _of_blocks(got, name, source, most=_MOST_PICTURES - pictures)
        if not isinstance(got, Item) or got.result in (None, {}, []):
            return None
        item = got.result if isinstance(got.result, dict) else {"answer": got.result}
        return Material(name, source, render(item, title=name)[:_MOST_TEXT])

    async def call(
        self, run: Run, key: str, arguments: Json, *, call_id: str | None = None, patient: bool = True
    ) -> Item | Page:
        """Call `ENTITY.OPERATION` for a run. What passes by itself is waited for; raises what does not."""
        result = await self._answer(run, key, arguments, call_id=call_id, patient=patient)
        assert isinstance(result, Item | Page)  # noqa: S101 - neither blocks nor dry runs are asked for
        return result

    async def _answer(
        self, run: Run, key: str, arguments: Json, *, call_id: str | None = None, patient: bool = True
    ) -> Item | Page | Blocks | DryRun:
        tool = self._gateway.catalog.tool_for(key)
        if tool is None:
            raise Internal(f"tools.yaml has no {key} any more")
        given = {name: value for name, value in arguments.items() if value is not None}
        if run.account is not None:
            given["account"] = run.account
        principal = self.principal(run, key)
        waits = list(WAITS) if patient else []
        while True:
            info = CallInfo(self._random(16).hex(), via="run", thread_id=run.thread_id, call_id=call_id)
            try:
                return await self._gateway.call(principal, tool, given, info=info)
            except _PASSING as error:
                if not waits or not _passes(error):
                    raise
                await self.sleep(min(max(waits.pop(0), error.retry_after or 0.0), _LONGEST_WAIT))

    def principal(self, run: Run, *scopes: str) -> Principal:
        """Answer whom the products see: the run, for the person who asked."""
        return Principal(Tenant(run.tenant), "run", run.id, scopes, person=person_of(run))

    @property
    def catalog(self) -> Catalog:
        """What tools.yaml says now."""
        return self._gateway.catalog

    def has(self, key: str) -> bool:
        """Tell whether tools.yaml has `ENTITY.OPERATION`."""
        return self._gateway.catalog.tool_for(key) is not None

    async def _list(self, run: Run, entity: str, arguments: Json) -> list[Json]:
        return await self.pages(run, f"{entity}.list", arguments)

    async def pages(self, run: Run, key: str, arguments: Json) -> list[Json]:
        """Answer what a list has, up to a bound."""
        found: list[Json] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self.call(run, key, {**arguments, "cursor": cursor})
            assert isinstance(page, Page)  # noqa: S101
            found += page.result
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def every(self, run: Run, entity: str, arguments: Json) -> list[Json]:
        """Answer all that a list has, up to a bound."""
        return await self._list(run, entity, arguments)

    def _material(self, entity: str, identified: str, title: str, item: Json) -> Material:
        sections = [each.name for each in self._gateway.catalog.entities[entity].fields if each.markdown]
        text = render(item, title=title, sections=sections)
        return Material(f"{title.lower()} {identified}", _source(entity, identified), text[:_MOST_TEXT])


def _source(entity: str, identified: str) -> str:
    return f"linkspan://{entity}/{quote(identified, safe='')}"


def _plain(material: Material) -> Json:
    images = [
        {"media_type": image.media_type, "data": base64.b64encode(image.data).decode()}
        for image in material.images
    ]
    return {"name": material.name, "source": material.source, "text": material.text, "images": images}


def _kept_material(told: Json) -> Material:
    images = (Image(each["media_type"], base64.b64decode(each["data"])) for each in told.get("images", ()))
    return Material(told["name"], told["source"], told["text"], tuple(images))


def _of_blocks(found: Blocks, name: str, source: str, *, most: int) -> Material | None:
    """Answer what content blocks show: texts, and the pictures that a model may look at."""
    texts: list[str] = []
    images: list[Image] = []
    for block in found.blocks:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] == "resource" and "text" in block["resource"]:
            texts.append(block["resource"]["text"])
        elif block["type"] == "image" and block.get("mimeType") in _PICTURES:
            data = base64.b64decode(block["data"])
            if len(data) <= _LARGEST_PICTURE and len(images) < most:
                images.append(Image(block["mimeType"], data))
            else:
                texts.append("(There is a picture of it that is not shown: too large, or one too many.)")
    if not texts and not images:
        return None
    return Material(name, source, "\n\n".join(texts)[:_MOST_TEXT], tuple(images))


def texts_of(recipe: Recipe, settings: Mapping[str, Any], checkout: Checkout | None) -> list[Material]:
    """Answer the files of the repository that the tenant has named, as they are at the base branch."""
    if checkout is None:
        return []
    source = f"linkspan://repository/{quote(checkout.repository.id, safe='')}"
    return [
        Material(f"{title.lower()} ({file})", source, checkout.texts[file])
        for title, file in recipe.files_of(settings).items()
        if file in checkout.texts
    ]


def _passes(error: Exception) -> bool:
    """Tell whether it is worth another attempt: too many calls, no answer, or a fault of the product."""
    if isinstance(error, UpstreamError):
        return error.upstream_status is None or error.upstream_status >= 500
    return True
