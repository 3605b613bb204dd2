"""Scopes as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from linkspan.spec.catalog import Catalog, Kind


def in_words(scopes: Sequence[str], catalog: Catalog) -> list[str]:
    """Answer one line for each thing that scopes allow, the widest first."""
    if "write" in scopes:
        verbs: tuple[tuple[str, Kind], ...] = (
            ("Read", "read"),
            ("Create, change and comment on", "write"),
            ("Delete", "delete"),
        )
    else:
        verbs = (("Read", "read"),) if "read" in scopes else ()
    lines = {
        f"{verb} {of}": None
        for verb, kind in verbs
        if (of := _listed([_plural(catalog, name) for name in _with(catalog, kind)]))
    }
    if "write" in scopes:
        return list(lines)
    for word in scopes:
        entity, dot, operation = word.partition(".")
        if operation == "*":
            lines[f"Do everything with {_plural(catalog, entity)}"] = None
        elif dot:
            tool = catalog.tool_for(word)
            lines[tool.title if tool is not None else word] = None
    return list(lines)


def in_short(scopes: Sequence[str]) -> str:
    """Answer in a few words what scopes allow."""
    if "write" in scopes:
        return "reads and changes"
    return "only reads" if set(scopes) == {"read"} else ", ".join(scopes)


def _with(catalog: Catalog, kind: Kind) -> list[str]:
    """Answer the entities that have an operation of a kind."""
    return [
        name
        for name in catalog.entities
        if any(tool.entity == name and tool.kind == kind for tool in catalog.tools)
    ]


def _plural(catalog: Catalog, name: str) -> str:
    entity = catalog.entities.get(name)
    return (entity.plural if entity is not None else name).replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
