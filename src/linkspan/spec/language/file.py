"""The words at the top of a tools.yaml, with the resources and prompts that it declares itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linkspan.spec.language.connector import Connector
from linkspan.spec.language.entities import Entity
from linkspan.spec.language.operations import Content
from linkspan.spec.language.recipes import Recipe, Runs
from linkspan.spec.language.words import CONNECTOR_NAMES, NAMES, Words


class Resource(Words):
    """A resource that is declared, rather than an entity: text or bytes, or read from a connector."""

    uri: str = Field(description="May hold {name}: then it is a template.")
    title: str = ""
    description: str = ""
    mime_type: str = "text/plain"
    text: str | None = None
    data: str | None = Field(None, description="Base64 text.")
    connector: str | None = None
    request: str | None = None


class PromptArgument(Words):
    """An argument of a prompt."""

    shorthand = "description"
    description: str = ""
    required: bool = True


class Message(Content):
    """A content block and who says it."""

    role: Literal["user", "assistant"] = "user"


class Prompt(Words):
    """A prompt that people may pick."""

    title: str = ""
    description: str = ""
    arguments: dict[str, PromptArgument] = {}
    messages: list[Message] = Field(min_length=1)


class File(Words):
    """A tools.yaml."""

    linkspan: Literal[1] = Field(description="The version of this language.")
    name: str = Field(description="A short name for machines: a-z, 0-9 and -.")
    title: str = ""
    instructions: str = Field(description="What the model is told; Codex shows the first 250 characters.")
    connectors: dict[str, Connector] = Field({}, json_schema_extra=CONNECTOR_NAMES)
    entities: dict[str, Entity] = Field({}, json_schema_extra=NAMES)
    resources: dict[str, Resource] = {}
    prompts: dict[str, Prompt] = {}
    recipes: dict[str, Recipe] = Field({}, json_schema_extra=NAMES)
    runs: Runs | None = None
