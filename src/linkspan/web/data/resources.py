"""Which operation an address means: `/unified/GROUP/PLURAL[/ID[/OPERATION]]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from linkspan.errors import InvalidArgument, NotFound
from linkspan.spec.catalog import Catalog, Entity, Tool

_WITH_ID: Final = {"GET": "get", "PATCH": "update", "PUT": "update", "DELETE": "delete"}


class WrongMethod(InvalidArgument):
    """The address is there; the method is not."""

    default_status = 405


@dataclass(frozen=True, slots=True)
class Target:
    """An operation, and the id in the address."""

    tool: Tool
    id: str | None = None


def entity_of(catalog: Catalog, group: str | None, plural: str) -> Entity:
    """Answer the entity of a plural, in its group if one is named. Raises `NotFound` with what there is."""
    there = [entity for entity in catalog.entities.values() if entity.plural == plural]
    found = [entity for entity in there if group in (None, entity.group)]
    if found:
        return found[0]
    if there:
        raise NotFound(
            f"{plural} are not in the group {group!r}", hint=f"Ask /unified/{there[0].group}/{plural}."
        )
    known = ", ".join(f"{entity.group}/{entity.plural}" for entity in catalog.entities.values())
    raise NotFound(f"There are no {plural!r} here", hint=f"There are: {known or 'none'}.")


def target_of(catalog: Catalog, entity: Entity, method: str, rest: Sequence[str]) -> Target:
    """Answer what a method means at the rest of the address, whose segments are encoded.

    Raises `NotFound` and `WrongMethod`, both with what the entity has.
    """
    words = [unquote(segment) for segment in rest if segment]
    match method, words:
        case "GET", []:
            return Target(_tool(catalog, entity, "list"))
        case "POST", []:
            return Target(_tool(catalog, entity, "create"))
        case "POST", [operation]:
            return Target(_tool(catalog, entity, operation))
        case "POST", [thing, operation]:
            return Target(_tool(catalog, entity, operation), thing)
        case (("GET" | "PATCH" | "PUT" | "DELETE"), [thing]):
            return Target(_tool(catalog, entity, _WITH_ID[method]), thing)
    raise WrongMethod(f"This address does not take {method}", hint=_known(catalog, entity))


def _tool(catalog: Catalog, entity: Entity, operation: str) -> Tool:
    tool = catalog.tool_for(f"{entity.name}.{operation}")
    if tool is None or not tool.operations:
        missing = f"{entity.plural} have no operation {operation!r}"
        raise NotFound(missing, hint=_known(catalog, entity))
    return tool


def _known(catalog: Catalog, entity: Entity) -> str:
    names = [tool.operation for tool in catalog.tools if tool.entity == entity.name and tool.operations]
    return f"{entity.title} has: {', '.join(names) or 'nothing'}."
