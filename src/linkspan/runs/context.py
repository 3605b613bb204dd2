"""What a run is about: the thing it was started on and what belongs to it, read once and kept with the run.

It is given to Codex as data. The run works with what it read when it began, whatever becomes of the thing
meanwhile; it may read it again with its tools.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from linkspan.accounts.principal import Principal, Tenant
from linkspan.codex.engine import Material
from linkspan.codex.places import Checkout
from linkspan.errors import Internal, RateLimited, UpstreamError, UpstreamTimeout
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item, Page
from linkspan.runs.about import person_of
from linkspan.spec.recipe import Recipe
from linkspan.store.runs import Run
from linkspan.text.markdown import render

Json = dict[str, Any]
Sleep = Callable[[float], Awaitable[object]]
_MOST_PAGES: Final = 10
_MOST_TEXT: Final = 200_000
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

    @property
    def title(self) -> str | None:
        """What the thing is called."""
        item = self.entity or {}
        return next((str(item[name]) for name in _TITLES if item.get(name)), None)

    def dump(self) -> bytes:
        """Answer it as it is kept."""
        materials = [{"name": m.name, "source": m.source, "text": m.text} for m in self.materials]
        kept = {"entity": self.entity, "materials": materials, "account": self.account}
        return json.dumps({**kept, "subject": self.subject}, ensure_ascii=False).encode()

    @staticmethod
    def load(data: bytes) -> Context:
        """Read what was kept."""
        told = json.loads(data)
        materials = tuple(Material(**each) for each in told["materials"])
        return Context(told["entity"], materials, told["account"], told.get("subject"))


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
        for gathered in recipe.context:
            name = gathered.entity
            found = await self._list(run, name, {recipe.entity: run.entity_id})
            for index, each in enumerate(found[: gathered.whole]):
                got = await self.call(run, f"{name}.get", {"id": each["id"]})
                found[index] = got.result if isinstance(got, Item) and got.result else each
            if found:
                plural = catalog.entities[name].plural.replace("_", " ")
                heading = f"{plural.capitalize()} of {title.lower()} {run.entity_id}"
                text = "\n".join(render(each, title=catalog.entities[name].title) for each in found)
                source = f"linkspan://{recipe.entity}/{quote(str(run.entity_id), safe='')}"
                materials.append(Material(heading, source, text[:_MOST_TEXT]))
        return Context(entity, tuple(materials), item.account)

    async def call(
        self, run: Run, key: str, arguments: Json, *, call_id: str | None = None, patient: bool = True
    ) -> Item | Page:
        """Call `ENTITY.OPERATION` for a run. What passes by itself is waited for; raises what does not."""
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
                result = await self._gateway.call(principal, tool, given, info=info)
            except _PASSING as error:
                if not waits or not _passes(error):
                    raise
                await self.sleep(min(max(waits.pop(0), error.retry_after or 0.0), _LONGEST_WAIT))
                continue
            assert isinstance(result, Item | Page)  # noqa: S101 - neither blocks nor dry runs are asked for
            return result

    def principal(self, run: Run, *scopes: str) -> Principal:
        """Answer whom the products see: the run, for the person who asked."""
        return Principal(Tenant(run.tenant), "run", run.id, scopes, person=person_of(run))

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
        source = f"linkspan://{entity}/{quote(identified, safe='')}"
        return Material(f"{title.lower()} {identified}", source, text[:_MOST_TEXT])


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
