"""One compiled tools.yaml, with its entities, and the resources and prompts that it declares itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from linkspan.spec.catalog.connectors import Connector
from linkspan.spec.catalog.operations import Block, Tool
from linkspan.spec.catalog.requests import RequestPlan
from linkspan.spec.catalog.values import Kind, Value
from linkspan.spec.recipe import Recipe, RunsPolicy


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field of an entity, for documentation, output schemas and Markdown."""

    name: str
    type: str
    description: str = ""
    enum: tuple[str, ...] = ()
    markdown: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of thing: its fields and the connectors it comes from."""

    name: str
    plural: str
    title: str
    fields: tuple[FieldInfo, ...]
    connectors: tuple[str, ...]
    group: str = "custom"
    """Where it stands in the REST API: `/unified/GROUP/PLURAL`."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that tools.yaml declares itself: static text or bytes, or one read from a connector.

    `uri` holds `{name}` for a template. Entity resources (`linkspan://ticket/{id}`) are not in here: they
    follow from the entities that can be read with `get`.
    """

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    text: Value | None = None
    blob: Value | None = None
    connector: str | None = None
    plan: RequestPlan | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt."""

    role: Literal["user", "assistant"]
    block: Block


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that tools.yaml declares. `arguments` = (name, description, required)."""

    name: str
    title: str
    description: str
    arguments: tuple[tuple[str, str, bool], ...]
    messages: tuple[PromptMessage, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """One compiled tools.yaml. `version` is a digest of everything it was made from."""

    name: str
    title: str
    instructions: str
    version: str
    connectors: Mapping[str, Connector]
    entities: Mapping[str, Entity]
    tools: tuple[Tool, ...]
    resources: tuple[Resource, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    files: tuple[str, ...] = ()
    """The files it was read from, for hot reload."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it took from the environment: the operator's, and never shown."""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    runs: RunsPolicy = field(default_factory=RunsPolicy)
    _by_name: Mapping[str, Tool] = field(default_factory=dict, repr=False)
    _by_key: Mapping[str, Tool] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {tool.name: tool for tool in self.tools})
        object.__setattr__(self, "_by_key", {tool.key: tool for tool in self.tools})

    def tool(self, name: str) -> Tool | None:
        """Answer the tool of that name."""
        return self._by_name.get(name)

    def tool_for(self, key: str) -> Tool | None:
        """Answer the tool of `ENTITY.OPERATION`."""
        return self._by_key.get(key)


def scopes_allow(scopes: Sequence[str], key: str, kind: Kind) -> bool:
    """Tell whether token scopes let `ENTITY.OPERATION` of that kind be used (docs: contracts, Scopes)."""
    if "write" in scopes or (kind == "read" and "read" in scopes):
        return True
    entity = key.partition(".")[0]
    return key in scopes or f"{entity}.*" in scopes
