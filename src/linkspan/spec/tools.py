"""Operations to tools: names, merged schemas, annotations, output schemas, descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.spec import language
from linkspan.spec.catalog import Json, Kind, Operation, Tool
from linkspan.spec.fields import field_schema
from linkspan.spec.language import ModelField
from linkspan.spec.leaves import Leaves
from linkspan.spec.mapped import DATES, SourceFields
from linkspan.spec.yaml import Path

PLURAL: Final = ("list", "search")
_TEXT: Final = {"type": "string"}
KNOWN: Final = ("list", "search", "get", "create", "update", "delete", "comment")


@dataclass(frozen=True, slots=True)
class Declared:
    """An operation with the words that it was declared with, and where."""

    operation: Operation
    form: language.Operation
    path: Path
    fields: SourceFields
    """What its answer is made of."""
    model: Mapping[str, ModelField]


@dataclass(frozen=True, slots=True)
class Noun:
    """What an entity is called."""

    name: str
    plural: str

    @property
    def one(self) -> str:
        """In words."""
        return self.name.replace("_", " ")

    @property
    def many(self) -> str:
        """In words."""
        return self.plural.replace("_", " ")

    @property
    def a(self) -> str:
        """With its article."""
        return f"{'an' if self.one[0] in 'aeiou' else 'a'} {self.one}"


def tool_name(operation: str, noun: Noun) -> str:
    """Answer the usual name of an operation's tool."""
    if operation in PLURAL:
        return f"{operation}_{noun.plural}"
    if operation == "comment":
        return f"comment_on_{noun.name}"
    return f"{operation}_{noun.name}"


def default_description(operation: str, noun: Noun) -> str:
    """Answer what is said of a usual operation when the file says nothing."""
    return {
        "list": f"List {noun.many}.",
        "search": f"Search {noun.many} for words.",
        "get": f"Get one {noun.one} by its id.",
        "create": f"Create {noun.a}.",
        "update": f"Update {noun.a}: only what is given is changed.",
        "delete": f"Delete {noun.a}. This cannot be undone.",
        "comment": f"Comment on {noun.a}.",
    }.get(operation, "")


def compile_tool(
    declared: Sequence[Declared], noun: Noun, connector_titles: Mapping[str, str], leaves: Leaves
) -> Tool:
    """Make one tool of the operations with the same `ENTITY.OPERATION`, one a connector."""
    first = declared[0]
    name = _name(declared, noun, leaves)
    kind = _kind(declared, leaves)
    description = next((one.operation.description for one in declared if one.operation.description), "")
    operation = first.operation.name
    description = description or default_description(operation, noun)
    if not description:
        message = f"{operation} is not a usual operation, so it needs a description"
        leaves.problems.add(first.path, "missing_description", message, key=True)
    title = next((one.operation.title for one in declared if one.operation.title), "")
    title = title or name.replace("_", " ").capitalize()
    return Tool(
        name=name,
        title=title,
        description=description,
        input_schema=_input_schema(declared, kind, connector_titles),
        output_schema=_output_schema(declared, kind),
        annotations=_annotations(declared, title, kind, leaves),
        kind=kind,
        entity=noun.name,
        operation=operation,
        operations={one.operation.connector: one.operation for one in declared},
    )


def _name(declared: Sequence[Declared], noun: Noun, leaves: Leaves) -> str:
    given = [one for one in declared if one.form.tool is not None]
    for one in given[1:]:
        if one.form.tool != given[0].form.tool:
            message = f"the same operation is called {given[0].form.tool!r} at another connector"
            leaves.problems.add((*one.path, "tool"), "bad_tool_name", message)
    return given[0].form.tool or "" if given else tool_name(declared[0].operation.name, noun)


def _kind(declared: Sequence[Declared], leaves: Leaves) -> Kind:
    kind = declared[0].operation.kind
    for one in declared[1:]:
        if one.operation.kind != kind:
            message = f"this is a {one.operation.kind}, but at another connector it is a {kind}"
            leaves.problems.add(one.path, "bad_kind", message, key=True)
    return kind


# Input ----------------------------------------------------------------------------------------------------


def _input_schema(declared: Sequence[Declared], kind: Kind, connector_titles: Mapping[str, str]) -> Json:
    schemas = [one.operation.schema for one in declared]
    merged = schemas[0] if len(schemas) == 1 else _merge(declared, connector_titles)
    extra = _reserved(declared, kind, connector_titles)
    if not extra:
        return merged
    return {**merged, "properties": {**merged.get("properties", {}), **extra}}


def _merge(declared: Sequence[Declared], connector_titles: Mapping[str, str]) -> Json:
    properties: dict[str, Json] = {}
    known_by: dict[str, list[str]] = {}
    for one in declared:
        for name, schema in one.operation.schema.get("properties", {}).items():
            known_by.setdefault(name, []).append(one.operation.connector)
            properties[name] = (
                _merge_property(properties[name], schema) if name in properties else dict(schema)
            )
    for name, connectors in known_by.items():
        if len(connectors) < len(declared):
            only = " and ".join(connector_titles[connector] for connector in connectors)
            properties[name]["description"] = (
                f"{properties[name].get('description', '')} Only {only}.".strip()
            )
    required = [
        name
        for name in properties
        if all(name in one.operation.schema.get("required", ()) for one in declared)
    ]
    merged: Json = {"type": "object", "properties": properties}
    if required:
        merged["required"] = required
    merged["additionalProperties"] = False
    return merged


def _merge_property(one: Json, other: Json) -> Json:
    merged = {**other, **one}
    if "enum" in one and "enum" in other:
        merged["enum"] = list(dict.fromkeys([*one["enum"], *other["enum"]]))
    else:
        merged.pop("enum", None)
    if one.get("type") != other.get("type"):
        types = [one.get("type"), other.get("type")]
        merged["type"] = list(dict.fromkeys(part for kind in types for part in _as_list(kind)))
    for limit in ("minimum", "maximum", "pattern", "format", "minLength", "maxLength", "default"):
        if one.get(limit) != other.get(limit):
            merged.pop(limit, None)
    return merged


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reserved(
    declared: Sequence[Declared], kind: Kind, connector_titles: Mapping[str, str]
) -> dict[str, Json]:
    extra: dict[str, Json] = {}
    if any(one.operation.is_list for one in declared):
        most = max((one.operation.paging.max_size or 100) for one in declared)
        extra["cursor"] = {"type": "string", "description": "next_cursor of the page before."}
        extra["limit"] = {
            "type": "integer", "minimum": 1, "maximum": most,
            "description": f"How many at most, up to {most}.",
        }  # fmt: skip
    if len(connector_titles) > 1:
        extra["account"] = {
            "type": "string",
            "description": "Which linked account; needed only where several could be meant.",
        }
    if kind != "read":
        extra["dry_run"] = {"type": "boolean", "description": "Show the request, do not send it."}
    return extra


# Output and hints -----------------------------------------------------------------------------------------


def _output_schema(declared: Sequence[Declared], kind: Kind) -> Json | None:
    if any(
        one.operation.blocks or one.form.content is not None or one.operation.is_download for one in declared
    ):
        return None
    is_list = declared[0].operation.is_list
    item = _item_schema(declared)
    if is_list:
        result: Json = {"type": "array", "items": item}
    else:
        # null: an empty answer (204), or an answer in which there is no such thing.
        result = {**item, "type": ["object", "null"]} if item else item
    properties: dict[str, Json] = {"result": result}
    if is_list:
        properties["next_cursor"] = {"type": ["string", "null"]}
    properties |= {"truncated": {"type": "boolean"}, "account": _TEXT, "connector": _TEXT}
    if kind != "read":
        properties["dry_run"] = {"type": "boolean"}
        properties["request"] = {"type": "object"}
    # Nothing is required: clients check an error's structured content against the same schema.
    properties["error"] = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    }
    return {"type": "object", "properties": properties}


def _item_schema(declared: Sequence[Declared]) -> Json:
    if any(one.form.returns in {"raw", "nothing"} or one.operation.shape is None for one in declared):
        return {}
    properties: dict[str, Json] = {"id": {"type": "string"}}
    for one in declared:
        if one.operation.shape is one.fields.shape_id:
            continue
        for name, mapped in one.fields.mapped.items():
            if name == "id":
                continue
            shown = field_schema(one.model[name])
            shown.pop("description", None)
            if shown["type"] != "array":
                shown["type"] = [shown["type"], "null"]
            if "enum" in shown:
                shown["enum"] = list(dict.fromkeys([*shown["enum"], "unknown", None]))
            properties.setdefault(name, shown)
            if mapped.words is not None or one.model[name].type in DATES:
                properties.setdefault(f"{name}_raw", {"type": "string"})
    if any(one.operation.offers_remote for one in declared):
        properties["remote_data"] = {}
    return {"type": "object", "properties": properties, "required": ["id"]}


def _annotations(declared: Sequence[Declared], title: str, kind: Kind, leaves: Leaves) -> Json:
    methods = {one.operation.plan.method for one in declared if one.operation.plan is not None}
    hints = {
        "read_only": kind == "read",
        "destructive": kind == "delete",
        "idempotent": kind == "read" or methods <= {"PUT", "DELETE"},
        "open_world": False,
    }
    for one in declared:
        given = one.form.annotations
        for hint in hints:
            value = getattr(given, hint) if given is not None else None
            if value is None:
                continue
            here = (*one.path, "annotations", hint)
            if hint == "read_only" and value != (kind == "read"):
                leaves.problems.add(here, "bad_annotation", f"this is a {kind}; change kind instead")
            elif hint == "destructive" and value and kind == "read":
                leaves.problems.add(here, "bad_annotation", "a read destroys nothing")
            elif hint == "destructive" and not value and kind == "delete":
                leaves.problems.add(here, "bad_annotation", "a delete is destructive")
            else:
                hints[hint] = value
    return {
        "title": title,
        "readOnlyHint": hints["read_only"],
        "destructiveHint": hints["destructive"],
        "idempotentHint": hints["idempotent"],
        "openWorldHint": hints["open_world"],
    }
