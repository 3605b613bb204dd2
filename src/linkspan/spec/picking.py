"""Which operations of a description become which tools, where their lists are, and how these go on.

Everything here is a guess from names, as a person would make it who reads the description once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.spec.guessed_paging import goes_on_by, pagination_of
from linkspan.spec.openapi import Described, Description, mapping, type_of, word

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
_ASKED_BY: Final = ("query", "q", "search", "text", "term", "terms", "keyword", "keywords", "words")
"""What products call the text that is searched for; here it is `query`."""
_MOST_PARAMETERS: Final = 14
_MOST_MEMBERS: Final = 12
"""How many members are told of an object that is one argument."""
_MEMBER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}\Z")


@dataclass(slots=True)
class Picked:
    """An operation as it will stand in the file."""

    entity: str
    name: str
    described: Described
    id_from: str | None = None
    """The placeholder that becomes `{id}`."""
    query_from: str | None = None
    """The parameter that becomes `$query`: what is searched for."""
    items: str | None = None
    item: str | None = None
    thing: Mapping[str, Any] = field(default_factory=dict)
    """The schema of one thing of the answer."""
    pagination: Mapping[str, Any] | None = None
    why_not_paged: str = ""
    """What speaks for pages that could not be made use of."""
    is_guessed: bool = False
    """Whether where the list is was chosen among several."""
    by_product: set[str] = field(default_factory=set)
    """Arguments that take the product's words, though a field of that name has its own."""
    is_flat: bool = False
    """Leave out objects that need not be given, and what others are made of: the schema was too large."""
    is_slim: bool = False
    """Leave out all that need not be given: the schema was too large even so."""

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`."""
        return f"{self.entity}.{self.name}"

    def argument(self, word: str) -> str:
        """Answer the name of an argument; some mean the same everywhere."""
        if word == self.query_from:
            return "query"
        name = snake(word)
        return f"{self.entity}_{name}" if name in _RESERVED or name in self.by_product else name


@dataclass(slots=True)
class Asked:
    """What an operation asks of a caller, and where it goes."""

    params: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    left: dict[str, list[str]] = field(default_factory=dict)
    """Members of the body that are not asked for, by the reason."""


def snake(word: str) -> str:
    """Answer a word as the language writes names."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word)
    made = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return made if made[:1].isalpha() else f"n_{made}".rstrip("_")


def singular(word: str) -> str:
    """Answer what one of several is called."""
    name = snake(word)
    if name.endswith("ies") and len(name) > 4:
        return f"{name[:-3]}y"
    if name.endswith(("sses", "shes", "ches", "xes", "zes", "statuses", "aliases", "campuses", "viruses")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is", "news")) else name


def nouns_below(described: Iterable[Described]) -> frozenset[str]:
    """Answer what things are called that lie below one that is among the same operations: comments."""
    found: dict[str, set[str]] = {}
    for one in described:
        segments = one.segments
        while segments and _whole(segments[-1]):
            segments = segments[:-1]
        if segments and (one.method == "get" or segments != one.segments):
            above = _above(segments)
            found.setdefault(singular(segments[-1]), set()).update([singular(above)] if above else [])
    return frozenset(noun for noun, above in found.items() if (above & found.keys()) - {noun})


def pick(
    description: Description,
    one: Described,
    entity: str | None,
    lists: frozenset[str],
    below: frozenset[str] = frozenset(),
) -> Picked | str:
    """Answer the operation as it will stand, or why it is left out.

    `lists`: paths that are read. `entity`: another name for all things but those that are `below`.
    """
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
        _read_answer(description, picked)
        above = _above(segments)
        if picked.name == "list" and picked.items is None and above is not None:
            # One thing's part: it is read with the thing's id, and answered as it comes.
            picked = Picked(singular(above), f"get_{snake(segments[-1])}", one, segments[-2][1:-1])
        if entity is not None and picked.entity not in below:
            picked.entity = entity
        if picked.name in ("list", "search") and picked.items is None:
            return "its answer has no list"
        if picked.name == "search":
            sent = {str(each["name"]) for each in one.parameters if each.get("in") == "query"}
            picked.query_from = next((name for name in _ASKED_BY if name in sent), None)
            if picked.query_from is None:
                picked.name = "list"  # a search without words is one that is narrowed
        return _why_not_sent(description, picked) or picked
    return picked


def _why_not_sent(description: Description, picked: Picked) -> str | None:
    """Answer why a write would say nothing, if it would."""
    if picked.name not in ("create", "update"):
        return None
    asked = asked_by(description, picked)
    if picked.described.body and not asked.body:
        return "nothing in its body could be an argument: its members are objects, or not described"
    return "it sends nothing of what it makes" if picked.name == "create" and not asked.params else None


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


def _is_one_of(path: str, things: str) -> bool:
    """Tell whether one path is that of a thing among those of the other."""
    before, _, last = path.strip("/").rpartition("/")
    return before == things.strip("/") and _whole(last)


def _at_name(one: Described, segments: list[str], lists: frozenset[str]) -> Picked | str:
    last = snake(segments[-1])
    above = _above(segments)
    if one.method == "get":
        if last == "search" and len(segments) > 1:
            return Picked(
                singular(next(part for part in segments[-2::-1] if not _whole(part))), "search", one
            )
        return Picked(singular(last), "search" if "search" in segments else "list", one)
    is_read = one.path in lists or any(_is_one_of(path, one.path) for path in lists)
    if one.method == "post" and (is_read or (last.endswith("s") and singular(last) != last)):
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


def _read_answer(description: Description, picked: Picked) -> None:
    answer = picked.described.answer
    if picked.name in ("list", "search"):
        found = list_in(description, answer, picked.entity)
        if found is not None:
            picked.items, picked.thing, picked.is_guessed = found
            picked.pagination, picked.why_not_paged = pagination_of(description, picked.described)
        return
    properties = mapping(answer.get("properties"))
    for name in (picked.entity, *_THINGS):
        inner = description.schema(properties.get(name)) if name in properties else {}
        if inner.get("properties") and len(properties) <= 3:
            picked.item, picked.thing = word(name), inner
            return
    picked.thing = answer


def asked_by(description: Description, picked: Picked) -> Asked:
    """Answer what stands in `params`, `query` and `body`, and what does not."""
    asked, one = Asked(), picked.described
    for given in sorted(one.parameters, key=lambda each: each.get("in") != "path"):
        name, where = str(given["name"]), given.get("in")
        is_needed = where == "path" or given.get("required") is True
        if name == picked.id_from and where == "path":
            continue
        if where not in ("path", "query"):
            continue
        if picked.pagination and where == "query" and goes_on_by(description, given):
            continue
        is_asked = name == picked.query_from and where == "query"
        if not is_needed and not is_asked and (picked.is_slim or len(asked.params) >= _MOST_PARAMETERS):
            continue
        arg = picked.argument(name)
        asked.params[arg] = _parameter(description, given.get("schema") or given, given, is_needed)
        if where == "query":
            asked.query[name] = f"${arg}"
    envelope = envelope_of(description, picked)
    if envelope is not None:
        inner = description.schema(mapping(one.body.get("properties"))[envelope])
        if members := _members(description, picked, inner, asked):
            asked.body[envelope] = members
    asked.body |= _members(description, picked, one.body, asked, beside=envelope)
    return asked


def envelope_of(description: Description, picked: Picked) -> str | None:
    """Answer the member of a body that holds everything there is to say about a thing."""
    properties = mapping(picked.described.body.get("properties"))
    nouns = {picked.entity, *[singular(part) for part in picked.described.segments if not _whole(part)][-1:]}
    named = [name for name in properties if name in _THINGS or snake(name) in nouns]
    tried = [*named, *(properties if len(properties) == 1 else ())]
    return next((name for name in tried if description.schema(properties[name]).get("properties")), None)


def _members(
    description: Description,
    picked: Picked,
    schema: Mapping[str, Any],
    asked: Asked,
    beside: str | None = None,
) -> dict[str, str]:
    """Answer what an object to be sent is made of, and add each argument to what is asked."""
    made: dict[str, str] = {}
    members = {name: description.schema(said) for name, said in mapping(schema.get("properties")).items()}
    needed = [name for name in schema.get("required", ()) if name in members]
    others = [name for name in members if name not in needed]
    # What is plain first: an object costs as much as several.
    for name in [*needed, *sorted(others, key=lambda name: bool(members[name].get("properties")))]:
        member, is_optional = members[name], name not in needed
        if member.get("readOnly") is True or name == beside:
            continue
        inner = _inner(description, member)
        if is_optional and (why := _why_not_asked(picked, member, inner, len(asked.params))):
            asked.left.setdefault(why, []).append(name)
            continue
        arg = picked.argument(name)
        if arg in asked.params:
            arg = f"new_{arg}"
        asked.params[arg] = _parameter(description, member, member, not is_optional)
        if inner and not picked.is_flat:
            asked.params[arg]["properties"] = inner
        made[name] = f"${arg}"
    return made


def _why_not_asked(
    picked: Picked, member: Mapping[str, Any], inner: Mapping[str, Any], asked: int
) -> str | None:
    """Answer why what need not be given is not asked for, if it is not."""
    if member.get("properties") and not inner:
        return "nothing plain in it"
    if picked.is_slim or (picked.is_flat and inner):
        return "the schema would be too large"
    return f"{_MOST_PARAMETERS} arguments are enough" if asked >= _MOST_PARAMETERS else None


def _inner(description: Description, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what an object that is one argument is made of; nothing where it holds only further objects."""
    made: dict[str, Any] = {}
    members, needed = mapping(schema.get("properties")), schema.get("required", ())
    for name in sorted(members, key=lambda name: name not in needed):
        member = description.schema(members[name])
        if len(made) < _MOST_MEMBERS and member.get("readOnly") is not True and _MEMBER.match(name):
            made[name] = _parameter(description, member, member, is_needed=False, longest=60)
    return made if any(each["type"] != "object" for each in made.values()) else {}


def _parameter(
    description: Description, schema: Any, said: Mapping[str, Any], is_needed: bool, longest: int = 110
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
        made["enum"] = list(dict.fromkeys(words))
    text = harmless(said.get("description") or found.get("description"), longest)
    if text:
        made["description"] = text
    if is_needed:
        made["required"] = True
    return made
