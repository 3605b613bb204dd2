"""What can be done: operations, and the tools that are made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from linkspan.spec.catalog.requests import NO_PAGES, Include, Paging, RequestPlan, Step
from linkspan.spec.catalog.values import Getter, Json, Kind, Scope, Shape, Value


@dataclass(frozen=True, slots=True)
class Block:
    """One content block of a tool result or prompt message that is not our `{result}` JSON.

    `type` as in MCP: text, image, audio, resource (embedded). Values are rooted at `Scope` with
    `found["answer"] = {status, headers, body}` when a request was made.
    """

    type: Literal["text", "image", "audio", "resource"]
    text: Value | None = None
    data: Value | None = None
    """Base64 text, or bytes that are encoded."""
    mime_type: Value | None = None
    uri: Value | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress that a long operation reports: fixed steps told while it works."""

    steps: tuple[float, ...]
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Elicit:
    """A form that is asked of the person before the request is made (MCP elicitation, form mode)."""

    message: Value
    schema: Json
    missing: str | None = None
    """What the model is told when the client cannot ask."""
    name: str = "answer"
    """What the protocol calls the question (`inputRequests`, MCP 2026-07-28)."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a source has a field, for those who ask why it came out as it did; calls use `shape`."""

    name: str
    expression: str
    """As it is written in the file."""
    getter: Getter
    words: Mapping[str, str] | None = None
    """The product's words to ours, where the field has fixed ones."""
    of_call: Callable[[Any, Mapping[str, Any]], Any] | None = None
    """Finds the value in an item and what comes of the call, where the item alone does not have it."""

    def as_called(self, given: Mapping[str, Any]) -> FieldSource:
        """Answer the same with a getter that needs nothing but the item."""
        find = self.of_call
        return self if find is None else replace(self, getter=lambda item: find(item, given), of_call=None)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done with one entity at one connector.

    `schema` is the JSON Schema (2020-12) of `arguments` at this connector, reserved arguments excluded.
    `shape` makes a field mapping of an item; identity is in it as `id`. List operations have `items`, others
    `item`; both None with `blocks` set means that the answer is those content blocks.
    """

    entity: str
    name: str
    connector: str
    kind: Kind
    title: str
    description: str
    schema: Json
    plan: RequestPlan | None
    items: Getter | None = None
    item: Getter | None = None
    shape: Shape | None = None
    """None: the answer is passed on as it came (an operation of an entity without fields)."""
    given: tuple[tuple[str, Callable[[Scope], Any]], ...] = ()
    """The fields that come of the call rather than of an item: what `shape` is given beside the item."""
    uses_now: bool = False
    """Whether its requests say the time: `found["now"]`, ISO 8601."""
    returns: str | None = None
    """The entity whose shape the answer has, where it is another than `entity` (comment_on: `comment`)."""
    paging: Paging = NO_PAGES
    blocks: tuple[Block, ...] = ()
    progress: Progress | None = None
    elicit: Elicit | None = None
    timeout: float | None = None
    steps: tuple[Step, ...] = ()
    """Requests made before `plan`, in this order."""
    when: Value | None = None
    """Whether `plan` is sent at all; else the answer is that of the last step that was."""
    location: re.Pattern[str] | None = None
    """Its named groups, found in the header Location, are the item of an answer without a body."""
    find: Callable[[Any, Scope], Any] | None = None
    """Answers the one thing in the body of `plan` that is the answer; raises `NotFound` where it is not."""
    choices: tuple[str, ...] = ()
    """The arguments of which one must be given, where every request is left out without its own."""
    include: tuple[Include, ...] = ()
    """Reads made after `plan`, all at once, whose answers are put into the item."""
    names_asker: bool = False
    """The text `body` ends with who asked, where a person writes by an account that the tenant shares."""

    is_download: bool = False
    """The answer is a file, shown as an image, a text or an embedded resource."""
    offers_remote: bool = False
    """Whether the argument `remote_data` brings the item as the product answered it."""

    fields: tuple[FieldSource, ...] = ()
    """What `shape` is made of."""
    where: str = "@"
    """`items` or `item` as it is written."""

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`, the word that token scopes use."""
        return f"{self.entity}.{self.name}"

    @property
    def is_list(self) -> bool:
        """Whether it answers a page and takes `cursor` and `limit`."""
        return self.items is not None


@dataclass(frozen=True, slots=True)
class Tool:
    """One MCP tool: an operation whatever the connector. Everything a client sees of it is ready here.

    `input_schema` is the union over `operations` plus the reserved arguments that apply (`cursor`, `limit`,
    `account`, `dry_run`). `annotations` has all four hints and the title.
    """

    name: str
    title: str
    description: str
    input_schema: Json
    output_schema: Json | None
    annotations: Json
    kind: Kind
    entity: str
    operation: str
    operations: Mapping[str, Operation]
    """By connector name; one entry or more."""
    meta: Json | None = None

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`."""
        return f"{self.entity}.{self.operation}"

    def definition(self) -> Json:
        """The tool as `tools/list` shows it."""
        shown: Json = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
            "annotations": self.annotations,
        }
        if self.output_schema is not None:
            shown["outputSchema"] = self.output_schema
        if self.meta is not None:
            shown["_meta"] = self.meta
        return shown
