"""The words of an entity: its fields, and where each product has them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from linkspan.spec.language.operations import Operation
from linkspan.spec.language.words import CONNECTOR_NAMES, NAMES, Expression, Scalar, Words

FieldType = Literal[
    "string", "markdown", "integer", "number", "boolean", "datetime", "date", "array", "object"
]
Conversion = Literal["string", "integer", "text", "markdown", "iso8601", "lower", "upper"]
Format = Literal["html", "adf", "wiki", "mrkdwn"]


class ModelField(Words):
    """A field of an entity, whatever the product."""

    shorthand = "type"
    type: FieldType = "string"
    description: str = ""
    enum: list[str] = Field([], description="The words that it may have; `unknown` takes what fits none.")
    items: dict[str, Any] | None = Field(None, description="JSON Schema of an array's items.")
    properties: dict[str, Any] | None = Field(None, description="JSON Schemas of an object's members.")
    required: bool = Field(False, description="Whether making one needs it.")


def _kind_of_map(value: Any) -> str:
    return "self" if isinstance(value, str) else "fields"


def _kind_of_keys(value: Any) -> str:
    return "prefixes" if isinstance(value, list) else "any"


class SourceField(Words):
    """Where a field comes from in an item of the product's answer."""

    shorthand = "from"
    from_: Expression | None = Field(None, alias="from", description="JMESPath rooted at the item.")
    each: Expression | None = Field(None, description="A list in the item, of which `map` makes another.")
    map: (
        Annotated[
            Annotated[Literal["self"], Tag("self")]
            | Annotated[dict[str, SourceField], Tag("fields"), Field(json_schema_extra=NAMES)],
            Discriminator(_kind_of_map),
        ]
        | None
    ) = Field(None, description="Fields of each thing in the list; `self`: the same as of the thing around.")
    depth: int | None = Field(None, ge=1, le=20, description="How many levels `map: self` goes down.")
    as_: Conversion | None = Field(None, alias="as")
    format: Format | None = Field(None, description="The markup that the product writes the text in.")
    date: str | None = Field(None, description="How it writes a date that is none of the usual: %d.%m.%Y.")
    zone: str | None = Field(None, description="The time zone of dates without one, such as Europe/Berlin.")
    match: str | None = Field(
        None,
        description="A regular expression: what it finds in the texts, each once. Named groups: members.",
    )
    keys: (
        Annotated[
            Annotated[Literal["any"], Tag("any")] | Annotated[list[str], Tag("prefixes")],
            Discriminator(_kind_of_keys),
        ]
        | None
    ) = Field(
        None,
        description="Keys of tickets that it finds in the texts, of `any` project or of these: [ENG, OPS].",
    )
    settings: list[str] = Field(
        [], description="Settings of the account that `from` names beside the item, as `settings.NAME`."
    )
    values: dict[str, str] = Field({}, description="The product's word to the model's, many to one.")
    raw: Expression | None = Field(
        None, description="Where the product's own word is, if `from` finds only its category; JMESPath."
    )
    write: dict[str, Scalar] = Field({}, description="The model's word to the one that is sent for it.")


class Source(Words):
    """An entity at one connector."""

    identity: str = Field("{id}", description="Made of fields: `{id}`, or `{owner}/{repo}#{number}`.")
    id_pattern: str | None = Field(None, description="A regular expression that every id matches as a whole.")
    fields: dict[str, SourceField] = Field({}, json_schema_extra=NAMES)
    remote_data: bool = Field(
        False, description="Reads take `remote_data`: the item as it came, beside ours."
    )
    operations: dict[str, Operation] = Field({}, json_schema_extra=NAMES)


class Entity(Words):
    """A kind of thing: tickets, alerts, designs."""

    model: str | None = Field(None, description="A built-in set of fields.")
    title: str = ""
    plural: str | None = None
    group: str | None = Field(None, description="Where it stands in the REST API: /unified/GROUP/PLURAL.")
    fields: dict[str, ModelField] = Field(
        {}, json_schema_extra=NAMES, description="More fields than the model's, or others."
    )
    sources: dict[str, Source] = Field({}, json_schema_extra=CONNECTOR_NAMES, description="By connector.")


class ModelFile(Words):
    """A built-in model."""

    title: str
    plural: str
    group: str = "custom"
    fields: dict[str, ModelField]
