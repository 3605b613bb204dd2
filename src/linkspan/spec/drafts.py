"""Texts of a tools.yaml that a program writes: scalars that read as what they were, and the first file.

What comes from outside (descriptions of an API) is written so that it stays a text: no reference, no variable
of the environment, nothing that cannot be seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.errors import Problem
from linkspan.spec import yaml
from linkspan.spec.compile import compile_catalog, plural_of

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_ ./()+-]*[A-Za-z0-9_./)]\Z|[A-Za-z]\Z")
_CONSTANT: Final = frozenset({"true", "false", "null"})
SCHEMA_URL: Final = "./tools.schema.json"


def scalar(value: Any) -> str:
    """Write a value in one line of YAML."""
    if isinstance(value, str):
        if _PLAIN.match(value) and value.lower() not in _CONSTANT and " #" not in value:
            return value
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def flow(value: Any) -> str:
    """Write mappings and lists in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(key))}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    text = scalar(value)
    return json.dumps(value, ensure_ascii=False) if re.search(r"[,\[\]{}]", text) and text == value else text


def harmless(text: Any, longest: int = 200) -> str:
    """Answer the first sentences of somebody's text, in one line, as nothing but a text."""
    if not isinstance(text, str):
        return ""
    words = " ".join(yaml.HIDDEN.sub(" ", re.sub(r"<[^>]{0,200}>", " ", text[:2000])).split())
    if len(words) > longest:
        cut = max(words[:longest].rfind(". ") + 1, 0) or words[:longest].rfind(" ")
        words = words[: cut if cut > 0 else longest].rstrip(" ,;:")
    return re.sub(r"\$\{", "$${", words)


def mistakes(text: str, environ: Mapping[str, str], file: str = "tools.yaml") -> list[Problem]:
    """Answer every mistake in the text of a tools.yaml."""
    node, problems = yaml.read(text.encode(), file)
    if node is None:
        return problems
    return [*problems, *compile_catalog(node, environ)[1]]


@dataclass(frozen=True, slots=True)
class First:
    """What `linkspan init` has to know."""

    name: str
    title: str
    base_url: str
    auth: str
    header: str
    verify: str
    entity: str
    model: str | None
    list_path: str
    items: str
    get_path: str | None
    item: str
    title_field: str


_CREDENTIALS: Final[Mapping[str, str]] = {
    "bearer": "{type: bearer, title: API token}",
    "basic": "{type: basic, title: User name and password}",
    "none": "{type: none}",
}
AUTH_KINDS: Final[Sequence[str]] = ("bearer", "header", "query", "basic", "none")


def first_file(asked: First) -> str:
    """Answer the text of a first tools.yaml; `mistakes` says whether the answers made a good one."""
    noun = asked.entity.replace("_", " ")
    plural = plural_of(asked.entity).replace("_", " ")
    auth = _CREDENTIALS.get(asked.auth) or flow(
        {"type": asked.auth, "name": asked.header, "title": "API key"}
    )  # fmt: skip
    verify = [f"    verify: {scalar(f'GET {asked.verify}')}"] if asked.verify else []
    hint = ["          # status: {from: state, values: {open: todo, closed: done}}"]
    hint = hint if asked.model == "ticket" else []
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_URL}",
        "linkspan: 1",
        f"name: {asked.name.replace('_', '-')}",
        f"title: {scalar(asked.title)}",
        "instructions: >-            # its first 250 characters are all that Codex shows before it searches",
        f"  {harmless(asked.title, 80)} for this customer: list and read {plural}.",
        f"  Start with list_{plural.replace(' ', '_')}.",
        "",
        "connectors:",
        f"  {asked.name}:",
        f"    title: {scalar(asked.title)}",
        f"    base_url: {scalar(asked.base_url)}",
        "    auth:",
        f"      - {auth}",
        *verify,
        "    # How its lists go on, such as:",
        "    # pagination: {style: page, send: {query: page}, size: {query: per_page, max: 100}}",
        "",
        "entities:",
        f"  {asked.entity}:",
        *(
            [f"    model: {asked.model}             # brings the usual fields and their words"]
            if asked.model
            else ["    fields:", "      id: {type: string}", "      title: {type: string}"]
        ),
        "    sources:",
        f"      {asked.name}:",
        "        fields:                  # field: where it is in an item of the answer",
        "          id: id",
        f"          title: {scalar(asked.title_field)}",
        *hint,
        "        operations:",
        "          list:",
        f"            description: List {plural}.",
        f"            request: {scalar(f'GET {asked.list_path}')}",
        f"            items: {scalar(asked.items)}",
    ]
    if asked.get_path:
        lines += [
            "          get:",
            f"            description: Get one {noun} by its id.",
            f"            request: {scalar(f'GET {asked.get_path}')}",
            *([f"            item: {scalar(asked.item)}"] if asked.item != "@" else []),
        ]
    return "\n".join(lines) + "\n"
