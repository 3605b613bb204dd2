"""What became of a thing since a run on it last succeeded, as a difference of what was read of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from linkspan.codex.engine import Material
from linkspan.errors import NotFound
from linkspan.runs.context import Context
from linkspan.runs.kept import Kept
from linkspan.store import runs as rows
from linkspan.store.database import Database
from linkspan.store.runs import Run

_MOST: Final = 100_000
_LONGEST_LINES: Final = 20_000
"""Lines of a text that are compared; of a longer one only that it is another one is told."""
_LOOKED_THROUGH: Final = 20


async def difference_of(db: Database, kept: Kept, run: Run, context: Context) -> Material | None:
    """Answer what is different from when a run of the recipe on the same thing last succeeded.

    None before a first one. Runs that others may not look at are passed over, as are those of which nothing
    is kept any more.
    """
    before = await rows.listed(
        db,
        run.tenant,
        states=("succeeded",),
        recipe=run.recipe,
        entity=run.entity,
        entity_id=run.entity_id,
        limit=_LOOKED_THROUGH,
    )
    for last in before:
        if last.private_to not in (None, run.private_to):
            continue
        try:
            _artifact, data = await kept.take(run.tenant, last.id, "context")
        except NotFound:
            continue
        told = "\n\n".join(_differences(Context.load(data), context)) or "Nothing that was read is different."
        name = f"what is different from when {last.id} worked on it"
        return Material(name, f"linkspan://run/{last.id}", told[:_MOST])
    return None


def _differences(before: Context, now: Context) -> Iterator[str]:
    earlier = {each.name: each for each in before.materials}
    for each in now.materials:
        was = earlier.pop(each.name, None)
        if was is None:
            yield f"{each.name} is new."
            continue
        if was.images != each.images:
            yield f"{each.name} looks different."
        if was.text != each.text:
            lines, others = was.text.splitlines(), each.text.splitlines()
            if max(len(lines), len(others)) > _LONGEST_LINES:
                yield f"{each.name} says something else."
            else:
                shown = difflib.unified_diff(lines, others, "before", "now", lineterm="", n=3)
                yield f"{each.name}:\n\n```diff\n" + "\n".join(shown) + "\n```"
    for name in earlier:
        yield f"{name} is not there any more."
