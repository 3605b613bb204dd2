"""The words of an operation: its requests, its arguments, and what its answer becomes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from linkspan.spec.language.pagination import Pagination
from linkspan.spec.language.words import NAMES, Arrays, Bytes, Duration, Expression, Scalar, Tree, Words


class Param(Words):
    """An argument of an operation. Its name is what `$name` and `{name}` refer to."""

    shorthand = "type"
    type: Literal["string", "integer", "number", "boolean", "array", "object"] | None = None
    description: str = ""
    field: str | None = Field(None, description="The field whose type, words and description it takes.")
    required: bool | None = None
    enum: list[Scalar] = []
    default: Any = None
    items: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    pattern: str | None = Field(None, description="A regular expression; it must match the whole value.")
    format: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = Field(None, ge=0)
    max_length: int | None = Field(None, ge=0)
    x_mcp_header: str | None = Field(
        None, alias="x-mcp-header", description="The HTTP header that mirrors it, after `Mcp-Param-`."
    )


class Media(Words):
    """Bytes with their type."""

    data: str = Field(description="Base64 text, or {{ body }} of an answer.")
    mime_type: str


class Embedded(Words):
    """A resource inside a result: text or data."""

    uri: str
    mime_type: str = "text/plain"
    text: str | None = None
    data: str | None = None


class Content(Words):
    """One content block: exactly one of text, image, audio and resource."""

    shorthand = "text"
    text: str | None = None
    image: Media | None = None
    audio: Media | None = None
    resource: Embedded | None = None


class Progress(Words):
    """Steps that are reported while it works."""

    steps: list[int | float] = Field(min_length=1)
    total: int | float | None = None


class Elicit(Words):
    """A form that the person is asked to fill in first."""

    name: str = Field("answer", description="What the protocol calls the question.")
    message: str
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of the form.")
    missing: str | None = Field(None, description="What the model is told when nobody can be asked.")


class Annotations(Words):
    """MCP's hints, where they differ from what `kind` says."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class _Request(Words):
    """A request, its body in one of three forms."""

    request: str | None = Field(None, description="METHOD and path, such as `GET /tickets/{id}`.")
    query: dict[str, Tree] = Field({}, description="What is absent is not sent; a list is repeated.")
    headers: dict[str, Scalar] = {}
    body: Tree = Field(None, description="Sent as JSON.")
    form: dict[str, Tree] | None = Field(None, description="Sent as application/x-www-form-urlencoded.")
    text: Tree = Field(None, description="Sent as text/plain.")
    multipart: dict[str, Tree] | None = Field(
        None, description="Sent as multipart/form-data; a mapping with `content` is a file."
    )
    file: dict[str, Tree] | None = Field(None, description="A file as the whole body.")
    etag: bool | None = Field(None, description="Ask with If-None-Match; the connector's if not said.")
    if_match: bool = Field(False, description="Read first, send the ETag as If-Match.")
    graphql: str | None = Field(None, description="A GraphQL document with one operation.")
    variables: dict[str, Tree] = Field(
        {}, description="Of the GraphQL operation; references keep their type."
    )
    arrays: Arrays | None = Field(
        None, description="How a list in `query` is sent; the connector's if not said."
    )


class Find(Words):
    """One thing in a list of a step's answer."""

    in_: Expression = Field("@", alias="in", description="The list, rooted at the answer's body.")
    where: dict[str, Tree] = Field(
        min_length=1, description="Expression in a thing: what it has to be; `$references` keep their type."
    )


class _Following(_Request):
    url: str | None = Field(
        None,
        description="A `$reference` to an address that was found before, which is read instead of `request`.",
    )


class Include(_Following):
    """A read whose answer is put into the item, under a name, before fields are looked up."""

    item: Expression | None = Field(None, description="What is taken of its answer's body.")
    optional: bool = Field(
        False, description="Whether the item is answered without it, where it is not there."
    )


class Step(_Following):
    """One of several requests; the last one's answer is the operation's."""

    as_: str | None = Field(None, alias="as", description="The name that later steps refer to it by.")
    when: str | None = Field(None, description="A `$reference`; without it the step is left out.")
    item: Expression | None = Field(None, description="What is kept of its answer's body.")
    find: Find | None = Field(
        None, description="The one thing in a list that is kept instead; of the last step, the answer."
    )
    missing: str | None = Field(
        None, description="What is said where there is no such thing; may hold {name}."
    )


class Operation(_Request):
    """One thing that can be done with an entity at this product."""

    steps: list[Step] | None = Field(None, min_length=1, description="Several requests instead of one.")
    include: dict[str, Include] = Field(
        {}, json_schema_extra=NAMES, description="Further reads, joined into the one item by name."
    )
    kind: Literal["read", "write", "delete"] | None = Field(
        None, description="From the method; to be given where they differ, such as a POST that searches."
    )
    title: str = ""
    description: str = Field("", description="One plain sentence: verb, entity, then limits and formats.")
    tool: str | None = Field(None, description="The tool's name, where the usual one does not fit.")
    params: dict[str, Param] = Field({}, json_schema_extra=NAMES)
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="JSON Schema 2020-12 of all arguments, passed on as it is."
    )
    items: Expression | None = Field(None, description="The list in the answer's body; makes it a list.")
    item: Expression | None = Field(None, description="The one item in the answer's body.")
    location: str | None = Field(
        None,
        min_length=1,
        description="A regular expression for the header Location of an answer without a body; its named"
        " groups are the item.",
    )
    returns: str | None = Field(
        None, description="The answer's entity if another; or `id`, `ENTITY.id`, `raw`, `nothing`."
    )
    content: list[Content] | None = Field(None, description="The answer as MCP content blocks.")
    download: Bytes | None = Field(None, description="The answer is a file of at most this size.")
    pagination: Pagination | None = None
    timeout: Duration | None = None
    annotations: Annotations | None = None
    progress: Progress | None = None
    elicit: Elicit | None = None
    names_asker: bool | None = Field(
        None,
        description="Whether `body` ends with who asked, where the tenant's account writes; `comment` does.",
    )
