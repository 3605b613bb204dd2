"""What Codex will make of the tools: words it can find, schemas it keeps, instructions it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from linkspan.spec.catalog import Tool
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.tools import Declared, Noun
from linkspan.spec.yaml import Path

MAX_SCHEMA_BYTES: Final = 5_000
"""Beyond this Codex strips the descriptions of all parameters."""
SHOWN_INSTRUCTIONS: Final = 250
"""Characters that Codex shows of the instructions, the `...` of a longer text among them."""

_NAME = re.compile(r"[a-z0-9_]{1,64}\Z")
_WORD = re.compile(r"[a-z0-9]+")
_SMALL: Final = frozenset(
    {"a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"}
)
_VERBS: Final = (
    "list", "read", "get", "search", "find", "look", "show", "create", "add", "write", "update", "change",
    "comment", "delete", "answer", "open", "close", "assign", "start", "review",
)  # fmt: skip


def schema_bytes(tool: Tool) -> int:
    """Answer the size of a tool's input schema as compact JSON, as Codex counts it."""
    return len(json.dumps(tool.input_schema, ensure_ascii=False, separators=(",", ":")).encode())


def check_tool(tool: Tool, declared: Sequence[Declared], leaves: Leaves) -> None:
    """Tell what is wrong with one tool as Codex sees it."""
    first = declared[0]
    named = next((one for one in declared if one.form.tool is not None), None)
    at, key = ((*named.path, "tool"), False) if named else (first.path, True)
    if named is None and not (NAME.match(tool.entity) and NAME.match(tool.operation)):
        return  # that name is told where it stands
    if not _NAME.match(tool.name):
        message = f"the tool's name {tool.name!r} must be 1 to 64 of a-z, 0-9 and _"
        leaves.problems.add(at, "bad_tool_name", message, key=key)
    elif tool.description:
        described = next((one for one in declared if one.form.description), None)
        missing = missing_words(tool.name, tool.description)
        if missing:
            place = (*described.path, "description") if described else first.path
            words = " and ".join(map(repr, missing))
            message = f"the description of {tool.name} must hold {words}, or a search will not find the tool"
            leaves.problems.add(place, "name_not_described", message, key=described is None)
    size = schema_bytes(tool)
    if size > MAX_SCHEMA_BYTES:
        message = (
            f"the schema of {tool.name} has {size} bytes; beyond {MAX_SCHEMA_BYTES} Codex drops the"
            " descriptions of all its parameters"
        )
        leaves.problems.add(first.path, "schema_too_large", message, key=True)


def check_names(
    tools: Iterable[tuple[Tool, Path, bool]], leaves: Leaves, *, taken: Mapping[str, str] | None = None
) -> None:
    """Tell which names are taken twice; `taken` are those of tools of our own, with their keys."""
    first = dict(taken or {})
    for tool, path, key in tools:
        if tool.name in first:
            message = f"the tool's name {tool.name!r} is taken by {first[tool.name]}"
            leaves.problems.add(path, "duplicate_tool", message, key=key)
        first.setdefault(tool.name, tool.key)


def check_instructions(
    text: str, tools: Sequence[Tool], nouns: Mapping[str, Noun], leaves: Leaves, path: Path
) -> None:
    """Tell when the part of the instructions that Codex shows does not say what the tools are for."""
    if not tools:
        return
    shown = text if len(text) <= SHOWN_INSTRUCTIONS else text[: SHOWN_INSTRUCTIONS - 3]
    words = _words(shown)
    if any(tool.name in shown for tool in tools):
        return
    has_verb = any(_stem(verb) in words for verb in _VERBS)
    for noun in nouns.values():
        if has_verb and (_words(noun.one) <= words or _words(noun.many) <= words):
            return
    example = next((tool.name for tool in tools if tool.kind == "read"), tools[0].name)
    message = (
        f"the first {SHOWN_INSTRUCTIONS} characters are all that Codex shows: name a tool such as {example},"
        " or say what can be done with which entity"
    )
    leaves.problems.add(path, "weak_instructions", message)


def missing_words(name: str, description: str) -> list[str]:
    """Answer the words of a tool's name that its description lacks; singular and plural count as one."""
    known = _words(description)
    return [word for word in name.split("_") if word and word not in _SMALL and _stem(word) not in known]


def _words(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower())}


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
