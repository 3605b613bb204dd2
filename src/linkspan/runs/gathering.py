"""What a run begins with: its thing and what belongs to it, a change to review, a review to go on from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from linkspan.codex.engine import Material
from linkspan.errors import Conflict
from linkspan.gateway.results import Item
from linkspan.runs.context import Context, Json, Reader
from linkspan.runs.difference import difference_of
from linkspan.runs.kept import Kept
from linkspan.runs.mentions import find_comment
from linkspan.runs.recipes import chosen_repository
from linkspan.runs.subject import ENTITY, OVER, Subjects
from linkspan.spec.recipe import Recipe
from linkspan.store.database import Database
from linkspan.store.runs import Run

_MOST_SAID: Final = 60_000


class Gathering:
    """Reads what runs begin with."""

    def __init__(self, reader: Reader, db: Database, kept: Kept) -> None:
        self._reader = reader
        self._subjects = Subjects(reader, db)
        self._db = db
        self._kept = kept

    async def read(self, run: Run, recipe: Recipe) -> tuple[Context, dict[str, Any]]:
        """Answer what was read, and what it says of the run. Raises what a call of the gateway raises.

        `Conflict` when the pull request that it is about is merged or closed.
        """
        context = await self._reader.gather(run, recipe)
        if (comment := run.plan.get("comment")) is not None and not run.goes_on:
            said = await self._asked(replace(run, account=context.account), str(comment))
            context = replace(context, materials=(*context.materials, *said))
        columns: dict[str, Any] = {}
        if recipe.reviews_entity:
            there = replace(run, account=context.account)
            subject = await self._subjects.read(there, context)
            materials = (*context.materials, *await self._subjects.materials(there, subject))
            context = replace(context, materials=materials, subject=subject.dump())
            columns = {"base_branch": subject.base, "base_commit": subject.head_sha}
            run = replace(run, repository=subject.repository)
        if run.goes_on:
            head, said = await self._reviewed(replace(run, account=None))
            context = replace(context, materials=(*context.materials, *said))
            columns = {"base_commit": head}
        repository = chosen_repository(run, recipe, context.entity)
        if recipe.tells_difference:
            told = await difference_of(self._db, self._kept, run, context)
            context = replace(context, difference=told)
        named = {"entity_title": context.title, "entity_url": context.url, "account": context.account}
        return context, {**columns, **named, "repository": repository}

    async def _asked(self, run: Run, comment: str) -> list[Material]:
        """Answer the comment that asks for the run, as far as it is there still."""
        entity, thing = str(run.entity), str(run.entity_id)

        async def call(key: str, arguments: Json) -> object:
            return await self._reader.call(run, key, arguments)

        found = await find_comment(self._reader.catalog, call, entity, thing, comment)
        if found is None:
            return []
        author = (found.get("author") or {}).get("name") or "somebody"
        source = f"linkspan://{entity}/{quote(thing, safe='')}"
        text = f"{author}:\n{found.get('body') or ''}"
        return [Material(f"comment that asks for this, at {entity} {thing}", source, text[:_MOST_SAID])]

    async def _reviewed(self, run: Run) -> tuple[str, list[Material]]:
        """Answer the commit that the pull request is at, and what was said in its reviews."""
        identified = str((run.pull_request or {}).get("id"))
        found = await self._reader.call(run, f"{ENTITY}.get", {"id": identified})
        pull_request: Json = found.result if isinstance(found, Item) else {}
        if pull_request.get("state") in OVER:
            state = pull_request["state"]
            raise Conflict(f"{identified} is {state}: there is nothing to go on with")
        reviews = await self._reader.pages(run, f"{ENTITY}.reviews", {"id": identified})
        texts = "\n\n".join(
            f"{(each.get('author') or {}).get('name') or 'somebody'} ({each.get('state')}):\n{each['body']}"
            for each in reviews
            if each.get("body")
        )
        source = f"linkspan://{ENTITY}/{quote(identified, safe='')}"
        said = [Material(f"reviews of {identified}", source, texts[-_MOST_SAID:])] if texts else []
        return str(pull_request.get("head_sha")), [*said, *await self._subjects.discussion(run, identified)]
