"""Scopes as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from linkspan.spec.catalog import Catalog


def in_words(scopes: Sequence[str], catalog: Catalog) -> list[str]:
    """Answer one line for each thing that scopes allow, the widest first."""
    lines: dict[str, None] = {}
    everything = _listed([_plural(catalog, name) for name in catalog.entities]) or "everything here"
    if "read" in scopes or "write" in scopes:
        lines[f"Read {everything}"] = None
    if "write" in scopes:
        lines[f"Create, change and comment on {everything}, where your account allows it"] = None
        return list(lines)
    for word in scopes:
        entity, dot, _operation = word.partition(".")
        if not dot:
            continue
        if word.endswith(".*"):
            lines[f"Everything that can be done with {_plural(catalog, entity)}"] = None
        else:
            tool = catalog.tool_for(word)
            lines[tool.title if tool is not None else word] = None
    return list(lines)


def _plural(catalog: Catalog, name: str) -> str:
    entity = catalog.entities.get(name)
    return (entity.plural if entity is not None else name).replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
