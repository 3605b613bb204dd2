"""Which operations of a description become which tools, where their lists are, and how these go on.

Everything here is a guess from names, as a person would make it who reads the description once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.spec.openapi import Described, Description, mapping

_RESERVED: Final = frozenset({"id", "cursor", "limit", "account", "dry_run", "remote_data"})
_ENVELOPES: Final = (
    "results",
    "data",
    "items",
    "values",
    "records",
    "entries",
    "content",
    "hits",
    "nodes",
    "meta",
)
_THINGS: Final = ("data", "result", "item")
_POSITIONS: Final = (
    "cursor", "page_token", "pageToken", "next_token", "nextToken", "after", "starting_after", "start_cursor",
    "continuation", "bookmark",
)  # fmt: skip
_NEXT: Final = (
    "next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token", "nextToken", "next",
    "next_page", "cursor", "end_cursor",
)  # fmt: skip
_SIZES: Final = (
    "per_page",
    "page_size",
    "pageSize",
    "limit",
    "size",
    "count",
    "first",
    "max_results",
    "maxResults",
)
_PAGES: Final = ("page", "page_number", "pageNumber", "p")
_OFFSETS: Final = ("offset", "skip", "start", "startAt")
_TOTALS: Final = ("total", "total_count", "totalCount", "count")
_MOST_PARAMETERS: Final = 14
PAGED: Final = frozenset({*_POSITIONS, *_SIZES, *_PAGES, *_OFFSETS})


@dataclass(slots=True)
class Picked:
    """An operation as it will stand in the file."""

    entity: str
    name: str
    described: Described
    id_from: str | None = None
    """The placeholder that becomes `{id}`."""
    items: str | None = None
    item: str | None = None
    thing: Mapping[str, Any] = field(default_factory=dict)
    """The schema of one thing of the answer."""
    pagination: Mapping[str, Any] | None = None
    is_guessed: bool = False
    """Whether where the list is was chosen among several."""
    is_slim: bool = False
    """Leave out what need not be given: the schema was too large."""

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`."""
        return f"{self.entity}.{self.name}"


def snake(word: str) -> str:
    """Answer a word as the language writes names."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word)
    made = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return made if made[:1].isalpha() else f"n_{made}".rstrip("_")


def argument(word: str, entity: str) -> str:
    """Answer the name of an argument; some mean the same everywhere."""
    name = snake(word)
    return f"{entity}_{name}" if name in _RESERVED else name


def singular(word: str) -> str:
    """Answer what one of several is called."""
    name = snake(word)
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    if name.endswith(("sses", "shes", "ches", "xes", "zes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is", "news")) else name


def pick(description: Description, one: Described, entity: str | None, lists: frozenset[str]) -> Picked | str:
    """Answer the operation as it will stand, or why it is left out. `lists`: paths that are read."""
    segments = one.segments
    needed = [
        each["name"]
        for each in one.parameters
        if each.get("in") == "header" and each.get("required") and each["name"].lower() != "authorization"
    ]
    if needed:
        return f"it needs the header {needed[0]}"
    if one.encoding == "other":
        return "its body is neither JSON nor a form"
    if one.body and one.body.get("type", "object") != "object":
        return "its body is no object"
    if not segments or any(part.count("{") > 1 or ("{" in part and not _whole(part)) for part in segments):
        return "its path has no name of a thing"
    picked = _at_thing(one, segments) if _whole(segments[-1]) else _at_name(one, segments, lists)
    if isinstance(picked, Picked):
        if entity is not None:
            picked.entity = entity
        _read_answer(description, picked)
        above = _above(segments)
        if picked.name == "list" and picked.items is None and above is not None:
            # One thing's part: it is read with the thing's id, and answered as it comes.
            return Picked(entity or singular(above), f"get_{snake(segments[-1])}", one, segments[-2][1:-1])
        if picked.name in ("list", "search") and picked.items is None:
            return "its answer has no list"
    return picked


def _whole(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _at_thing(one: Described, segments: list[str]) -> Picked | str:
    if len(segments) < 2 or _whole(segments[-2]):
        return "its path has no name of a thing"
    name = {"get": "get", "put": "update", "patch": "update", "post": "update", "delete": "delete"}[
        one.method
    ]
    return Picked(singular(segments[-2]), name, one, segments[-1][1:-1])


def _above(segments: list[str]) -> str | None:
    """Answer the name of the thing whose part the last name is."""
    if len(segments) >= 3 and _whole(segments[-2]) and not _whole(segments[-3]):
        return segments[-3]
    return None


def _at_name(one: Described, segments: list[str], lists: frozenset[str]) -> Picked | str:
    last = snake(segments[-1])
    above = _above(segments)
    if one.method == "get":
        if last == "search" and len(segments) > 1:
            return Picked(
                singular(next(part for part in segments[-2::-1] if not _whole(part))), "search", one
            )
        return Picked(singular(last), "list", one)
    if one.method == "post" and (one.path in lists or (last.endswith("s") and singular(last) != last)):
        return Picked(singular(last), "create", one)
    if above is None:
        return "it is about no thing that has an id"
    verb = f"remove_{last}" if one.method == "delete" else last
    if verb in ("list", "get", "search", "create", "update", "delete", "comment"):
        verb = f"{verb}_{singular(above)}"
    return Picked(singular(above), verb, one, segments[-2][1:-1])


def list_in(
    description: Description, answer: Mapping[str, Any], noun: str
) -> tuple[str, Mapping[str, Any], bool] | None:
    """Answer where the list is in an answer, the schema of one of its things, and whether that is a guess."""
    if answer.get("type") == "array" or "items" in answer:
        return "@", description.schema(answer.get("items")), False
    found: list[tuple[str, Mapping[str, Any]]] = []
    for name, said in mapping(answer.get("properties")).items():
        part = description.schema(said)
        if part.get("type") == "array":
            found.append((name, description.schema(part.get("items"))))
    if not found:
        for name in _ENVELOPES:
            inner = description.schema(mapping(answer.get("properties")).get(name))
            below = list_in(description, inner, noun) if inner.get("properties") else None
            if below is not None and below[0] != "@":
                return f"{word(name)}.{below[0]}", below[1], True
        return None
    for name, thing in found:
        if name in _ENVELOPES or singular(name) == noun:
            return word(name), thing, False
    name, thing = found[0]
    return word(name), thing, len(found) > 1


def word(name: str) -> str:
    """Write a key in an expression."""
    return name if re.match(r"[A-Za-z_]\w*\Z", name, re.ASCII) else '"' + name.replace('"', "") + '"'


def _read_answer(description: Description, picked: Picked) -> None:
    answer = picked.described.answer
    if picked.name in ("list", "search"):
        found = list_in(description, answer, picked.entity)
        if found is not None:
            picked.items, picked.thing, picked.is_guessed = found
            picked.pagination = _pagination(description, picked)
        return
    properties = mapping(answer.get("properties"))
    for name in (picked.entity, *_THINGS):
        inner = description.schema(properties.get(name)) if name in properties else {}
        if inner.get("properties") and len(properties) <= 3:
            picked.item, picked.thing = word(name), inner
            return
    picked.thing = answer


def _pagination(description: Description, picked: Picked) -> Mapping[str, Any] | None:
    """Guess how a list goes on, from what can be sent and what comes back."""
    sent = {str(one["name"]): one for one in picked.described.parameters if one.get("in") == "query"}
    answer = mapping(picked.described.answer.get("properties"))
    size_name = next((name for name in _SIZES if name in sent), None)
    size = {"size": _size(description, size_name, sent[size_name])} if size_name else {}
    beside = {
        f"{name}.{key}": said
        for name in ("meta", "pagination", "paging", "page_info")
        for key, said in mapping(description.schema(answer.get(name)).get("properties")).items()
    }
    known = {**answer, **beside}
    following = next(
        ((path, said) for key in _NEXT for path, said in known.items() if path.rpartition(".")[2] == key),
        None,
    )
    if following is not None:
        shown = description.schema(following[1])
        if shown.get("format") in ("uri", "url") or "://" in str(shown.get("example", "")):
            return {"style": "next_url", "read": following[0], **size}
    send = next((name for name in _POSITIONS if name in sent), None)
    if send is not None and following is not None:
        return {"style": "cursor", "send": {"query": send}, "read": following[0], **size}
    for names, style in ((_PAGES, "page"), (_OFFSETS, "offset")):
        found = next((name for name in names if name in sent), None)
        if found is not None:
            total = next((path for path in known if path.rpartition(".")[2] in _TOTALS), None)
            return {"style": style, "send": {"query": found}, **size, **({"total": total} if total else {})}
    return None


def _size(description: Description, name: str, parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = description.schema(parameter.get("schema") or parameter)
    most = schema.get("maximum")
    good = isinstance(most, int) and not isinstance(most, bool) and 0 < most <= 10_000
    return {"query": name, **({"max": most} if good else {})}


def parameters_of(
    description: Description, picked: Picked
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Answer what stands in `params`, `query` and `body`."""
    params: dict[str, Any] = {}
    query: dict[str, Any] = {}
    body: dict[str, Any] = {}
    one = picked.described
    for given in sorted(one.parameters, key=lambda each: each.get("in") != "path"):
        name, where = str(given["name"]), given.get("in")
        is_needed = where == "path" or given.get("required") is True
        if name == picked.id_from and where == "path":
            continue
        if where not in ("path", "query") or (picked.pagination and where == "query" and name in PAGED):
            continue
        if not is_needed and (picked.is_slim or len(params) >= _MOST_PARAMETERS):
            continue
        arg = argument(name, picked.entity)
        params[arg] = _parameter(description, given.get("schema") or given, given, is_needed)
        if where == "query":
            query[name] = f"${arg}"
    properties = mapping(one.body.get("properties"))
    needed = [name for name in one.body.get("required", ()) if name in properties]
    for name in [*needed, *(name for name in properties if name not in needed)]:
        schema = description.schema(properties[name])
        is_optional = name not in needed
        if schema.get("readOnly") is True:
            continue
        if is_optional and (picked.is_slim or len(params) >= _MOST_PARAMETERS or schema.get("properties")):
            continue
        arg = argument(name, picked.entity)
        if arg in params:
            arg = f"new_{arg}"
        params[arg] = _parameter(description, schema, schema, not is_optional)
        body[name] = f"${arg}"
    return params, query, body


def _parameter(
    description: Description, schema: Any, said: Mapping[str, Any], is_needed: bool
) -> dict[str, Any]:
    from linkspan.spec.drafts import harmless

    found = description.schema(schema)
    kind = type_of(found)
    made: dict[str, Any] = {"type": kind}
    if kind == "array":
        inner = type_of(description.schema(found.get("items")))
        made["items"] = {"type": inner if inner != "array" else "object"}
    enum = found.get("enum")
    words = [each for each in enum if isinstance(each, str)] if isinstance(enum, list) else []
    if kind == "string" and words and len(words) == len(enum or ()) and len(words) <= 20:
        made["enum"] = words
    text = harmless(said.get("description") or found.get("description"), 110)
    if text:
        made["description"] = text
    if is_needed:
        made["required"] = True
    return made


def type_of(schema: Mapping[str, Any]) -> str:
    """Answer the type of a schema in our words."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "string")
    if kind in ("integer", "number", "boolean", "array", "object"):
        return str(kind)
    return "object" if schema.get("properties") else "string"
