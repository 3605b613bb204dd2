"""The reference of tools.yaml as Markdown: every word, at its place, as the JSON Schema has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from linkspan.spec.language.schema import json_schema

_HEAD: Final = """\
# Reference

Every word of tools.yaml at its place: what may stand there, what it is if it is not said, what it means. \
Bold words must be there. `NAME` is a name of your own, `[]` one thing of a list. Made by \
`linkspan schema --reference` of the same models that check files; [the pages](README.md) say it in \
sentences, with examples.
"""
_KINDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
    "object": "mapping",
    "array": "list",
}


def reference() -> str:
    """Answer the page."""
    schema = json_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    places: dict[str, str] = {}
    order = [("", schema)]
    parts = [_HEAD]
    while order:
        place, part = order.pop(0)
        full = _written_out(part)
        for name, below in full["properties"].items():
            for step, found in _refs(below):
                if found not in places:
                    places[found] = f"{place}.{name}{step}".removeprefix(".") + _kind_of(definitions[found])
                    order.append((f"{place}.{name}{step}".removeprefix("."), definitions[found]))
    for definition, part in [("", schema), *((name, definitions[name]) for name in places)]:
        parts.append(_section(places.get(definition, "The file"), part, places, definitions))
    return "\n".join(parts)


def _section(
    title: str, part: Mapping[str, Any], places: Mapping[str, str], definitions: Mapping[str, Any]
) -> str:
    full = _written_out(part)
    lines = [f"## {title}\n"]
    said = part.get("description", "")
    if full is not part:
        short = next(each for each in part["anyOf"] if each is not full)
        said = f"{said} A plain value ({_type(short, places)}) is its `{_shorthand(part, full)}`.".strip()
    if said:
        lines.append(f"{_cell(said)}\n")
    if not full["properties"]:
        return "\n".join(lines)
    lines += ["| word | what may stand there | if not said | |", "|---|---|---|---|"]
    needed = full.get("required", ())
    for name, below in full["properties"].items():
        default = f"`{json.dumps(below['default'], ensure_ascii=False)}`" if "default" in below else ""
        word = f"**`{name}`**" if name in needed else f"`{name}`"
        meaning = below.get("description") or _meaning(below, definitions)
        lines.append(f"| {word} | {_type(below, places)} | {default} | {_cell(meaning)} |")
    return "\n".join([*lines, ""])


def _meaning(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Answer what a mapping below is for, where it is one and the word itself says nothing."""
    found = {name for _, name in _refs(part)}
    return str(definitions[found.pop()].get("description", "")) if len(found) == 1 else ""


def _written_out(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer the mapping with fixed words, where a plain value may stand for it as well."""
    if "properties" in part:
        return part
    found: Mapping[str, Any] = next(each for each in part["anyOf"] if "properties" in each)
    return found


def _shorthand(part: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    short = next(each for each in part["anyOf"] if each is not full)
    same = [name for name, below in full["properties"].items() if below == short]
    return str(same[0] if same else next(iter(full["properties"])))


def _kind_of(part: Mapping[str, Any]) -> str:
    """Tell apart the mappings of one place, which one word of theirs names: `auth[]` with `type: oauth2`."""
    for name, below in _written_out(part)["properties"].items():
        if "const" in below and name in {"type", "style"}:
            return f" with {name}: {below['const']}"
    return ""


def _refs(part: Mapping[str, Any], step: str = "") -> Iterator[tuple[str, str]]:
    """Yield the definitions that may stand at a place, with how far below it each is."""
    if "$ref" in part:
        yield step, part["$ref"].rpartition("/")[2]
    for word in ("anyOf", "oneOf"):
        for each in part.get(word, ()):
            yield from _refs(each, step)
    if isinstance(items := part.get("items"), dict):
        yield from _refs(items, f"{step}[]")
    if isinstance(below := part.get("additionalProperties"), dict):
        yield from _refs(below, f"{step}.NAME")


def _type(part: Mapping[str, Any], places: Mapping[str, str]) -> str:
    if "$ref" in part:
        place = places[part["$ref"].rpartition("/")[2]]
        return f"[{place.rpartition(' with ')[2]}](#{slug(place)})"
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{word}`" for word in part["enum"])
    for word in ("anyOf", "oneOf"):
        if word in part and "type" not in part:
            return " or ".join(dict.fromkeys(_type(each, places) for each in part[word]))
    kind = part.get("type")
    if kind == "array":
        items = part.get("items")
        return f"list of {_type(items, places)}" if items else "list"
    if kind == "object":
        below = part.get("additionalProperties")
        return f"by name: {_type(below, places)}" if isinstance(below, dict) and below else "mapping"
    bounds = [
        f"{shown} {part[word]}"
        for word, shown in (("minimum", "at least"), ("maximum", "at most"), ("maxLength", "to"))
        if word in part
    ]
    return ", ".join([_KINDS.get(str(kind), "anything"), *bounds])


def slug(heading: str) -> str:
    """Answer the anchor of a heading, as GitHub makes it."""
    kept = (letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
