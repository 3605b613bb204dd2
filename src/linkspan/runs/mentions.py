"""Comments that call Codex: read anew, and heard when somebody wrote them whose word counts.

What was delivered names the comment and is believed no further. A name counts where a person wrote it to be
read: not in code, not in what is quoted, and not in what a run wrote itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

from linkspan.errors import NotFound
from linkspan.gateway.results import Page
from linkspan.runs.marks import is_ours
from linkspan.spec.catalog import Catalog
from linkspan.spec.expressions import compile_predicate
from linkspan.spec.recipe import Mention
from linkspan.spec.templates import render
from linkspan.spec.triggers import comments_of

Json = dict[str, Any]
_MOST_PAGES: Final = 20
_MOST: Final = 200_000
_OLDEST: Final = 86_400.0
"""Seconds between a comment and the event that tells of it."""
_FENCED: Final = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]{1,2000}`")
_QUOTED: Final = re.compile(r"^[ \t]{0,3}>.*$", re.MULTILINE)
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{-~])")


async def find_comment(
    catalog: Catalog,
    call: Callable[[str, Json], Awaitable[object]],
    entity: str,
    thing: str,
    comment: str,
) -> Json | None:
    """Answer a comment of a thing; None when it is not there (any more). Raises what a call raises.

    `call` takes ENTITY.OPERATION and its arguments. Comments are looked through by the page, up to a bound.
    """
    way = comments_of(catalog.tool_for, entity)
    if way is None:
        raise NotFound(f"tools.yaml has no operation that lists the comments of a {entity}")
    key, argument = way
    tool = catalog.tool_for(key)
    size = tool.input_schema["properties"].get("limit", {}).get("maximum") if tool is not None else None
    given: Json = {argument: thing, **({"limit": size} if size is not None else {})}
    for _ in range(_MOST_PAGES):
        page = await call(key, given)
        if not isinstance(page, Page):
            return None
        for each in page.result:
            if str(each.get("id")) == comment:
                return dict(each)
        if page.next_cursor is None:
            return None
        given["cursor"] = page.next_cursor
    return None


def why_not(
    comment: Json | None,
    mention: Mention,
    values: Mapping[str, Any],
    *,
    own: Collection[str] = (),
    told: float | None = None,
) -> str | None:
    """Answer why a comment starts nothing; None when it does.

    `values` has `settings` and `tenant`; `own` is who we are at the product, `told` when the event came
    in: what a comment asked for long before is not asked for now.
    """
    if comment is None:
        return "there is no such comment"
    written = _time(comment.get("created_at"))
    if told is not None and written is not None and told - written > _OLDEST:
        return "the comment is older than a day"
    text, author = str(comment.get("body") or ""), comment.get("author") or {}
    if is_ours(text) or str(author.get("id")) in own:
        return "we wrote that comment ourselves"
    name = render(mention.name, values).strip()
    if not calls(text, name):
        return f"the comment does not call {name}" if name else "nobody is called: the name is empty"
    if not compile_predicate(mention.by)({**comment, "settings": values["settings"]}):
        return f"{author.get('name') or 'somebody'} called, whose word does not count (`by`)"
    return None


def _time(said: object) -> float | None:
    """Answer when a comment was written; a product that does not say it is believed."""
    try:
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return found.timestamp() if found is not None and found.tzinfo is not None else None


def calls(text: str, name: str) -> bool:
    """Tell whether a text in Markdown says a name, as a word of its own, neither quoted nor in code."""
    said = text[:_MOST]
    for pattern in (_FENCED, _CODE, _QUOTED):
        said = pattern.sub(" ", said)
    said = _ESCAPED.sub(r"\1", said)
    word = rf"(?<![\w@/.-]){re.escape(name)}(?![\w-])"
    return bool(name) and re.search(word, said, re.IGNORECASE) is not None
