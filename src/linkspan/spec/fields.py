"""Fields: a model's and an entity's own, where a source finds them, and the shape they make of an item."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from linkspan.spec import converters, references, yaml
from linkspan.spec.catalog import FieldInfo, Getter, Json
from linkspan.spec.expressions import source_of
from linkspan.spec.language import MODELS, Entity, ModelField, ModelFile, Source, SourceField, model_names
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.shapes import UNKNOWN, Step, compile_shape
from linkspan.spec.yaml import Path

_CONVERTERS: Final[dict[str, converters.Converter]] = {
    "string": converters.string,
    "markdown": converters.text,
    "datetime": converters.iso8601,
    "date": converters.iso8601,
}
_MADE_BY: Final[dict[str, tuple[str, ...]]] = {
    "string": ("string", "markdown"),
    "text": ("string", "markdown"),
    "markdown": ("string", "markdown"),
    "integer": ("integer", "number"),
    "iso8601": ("datetime", "date", "string"),
}
"""Which types of field a conversion makes."""
_JSON_TYPES: Final = {"markdown": "string", "datetime": "string", "date": "string"}


def read_model(name: str) -> ModelFile:
    """Read a built-in model."""
    path = MODELS / f"{name}.yaml"
    node, problems = yaml.read(path.read_bytes(), path.name)
    if node is None or problems:
        raise ValueError("\n".join(map(str, problems)))
    return ModelFile.model_validate(node.plain())


@dataclass(frozen=True, slots=True)
class Words:
    """An enum's words at one source. `vendor` answers what a model word is called there."""

    reading: Mapping[str, str]
    asking: Mapping[str, tuple[Any, ...]]
    writing: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A field as one source has it."""

    name: str
    spec: ModelField
    words: Words | None
    getter: Getter
    source: str | None
    """What the getter does, as Python."""
    convert: converters.Converter | None


@dataclass(frozen=True, slots=True)
class Identity:
    """How an id is made of fields and taken apart again."""

    parts: tuple[str, ...]
    pattern: re.Pattern[str] | None
    """None when the id is one field as it is."""
    make: Callable[[Mapping[str, Any]], str | None]
    form: re.Pattern[str] | None = None
    """What every id matches as a whole."""


@dataclass(frozen=True, slots=True)
class SourceFields:
    """What a source's items become."""

    mapped: Mapping[str, Mapped]
    identity: Identity | None
    shape: Callable[[Any], Json] | None
    shape_id: Callable[[Any], Json] | None = field(default=None)
    """The shape of an answer that holds nothing but the identity."""


def entity_fields(
    entity: Entity, leaves: Leaves, path: Path
) -> tuple[dict[str, ModelField], ModelFile | None]:
    """Answer the fields of an entity: its model's, then its own."""
    model: ModelFile | None = None
    if entity.model is not None:
        if entity.model in model_names():
            model = read_model(entity.model)
        else:
            leaves.problems.add(
                (*path, "model"), "unknown_model",
                f"there is no model {entity.model!r}; there are {', '.join(model_names())}",
                words=model_names(), word=entity.model,
            )  # fmt: skip
    fields = dict(model.fields) if model else {}
    for field_name, spec in entity.fields.items():
        if not NAME.match(field_name):
            leaves.problems.add(
                (*path, "fields", field_name), "bad_name",
                f"the field {field_name!r} must be lower case letters, digits and _", key=True,
            )  # fmt: skip
        described = spec.model_copy(
            update={
                "description": leaves.text((*path, "fields", field_name, "description"), spec.description)
            }
        )
        fields[field_name] = described
    return fields, model


def source_fields(
    source: Source, fields: Mapping[str, ModelField], leaves: Leaves, path: Path, *, is_open: bool
) -> SourceFields:
    """Compile a source's fields. `is_open`: the entity's fields are in doubt, so none is called unknown."""
    mapped: dict[str, Mapped] = {}
    for name, spec in source.fields.items():
        here = (*path, "fields", name)
        declared = fields.get(name)
        if declared is None:
            if not is_open:
                message = f"the entity has no field {name!r}; add it to the entity's fields"
                leaves.problems.add(here, "unknown_field", message, words=fields, word=name, key=True)
            continue
        at = (*here, "from") if _is_spelled_out(leaves, here) else here
        getter = leaves.getter(at, spec.from_)
        words = _words(name, declared, spec, leaves, here)
        convert = _CONVERTERS.get(declared.type) or converters.conforming(field_schema(declared))
        if spec.as_ is not None:
            convert = converters.READING[spec.as_]
            if declared.type not in _MADE_BY[spec.as_]:
                message = f"{name} is of type {declared.type}, which {spec.as_} does not make"
                leaves.problems.add((*here, "as"), "conflict", message)
        if getter is not None:
            mapped[name] = Mapped(name, declared, words, getter, source_of(spec.from_), convert)
    if not source.fields:
        return SourceFields({}, None, None)
    identity = _identity(source, mapped, leaves, path)
    return SourceFields(
        mapped, identity, _shape(mapped, identity) if identity else None,
        _shape_id(mapped, identity) if identity else None,
    )  # fmt: skip


def _is_spelled_out(leaves: Leaves, path: Path) -> bool:
    node, depth = leaves.problems.root.find(path)
    return depth == len(path) and isinstance(node.children, dict)


def _words(name: str, declared: ModelField, spec: SourceField, leaves: Leaves, path: Path) -> Words | None:
    if not declared.enum:
        for key in ("values", "write"):
            if getattr(spec, key):
                leaves.problems.add(
                    (*path, key), "not_an_enum", f"{name} has no fixed words, so it takes no {key}", key=True
                )
        return None
    known = [word for word in declared.enum if word != UNKNOWN]
    asking: dict[str, list[Any]] = {}
    reading = dict(spec.values) or {word: word for word in known}
    for vendor, word in spec.values.items():
        if word not in declared.enum:
            message = f"{name} has no word {word!r}; it has {', '.join(declared.enum)}"
            leaves.problems.add(
                (*path, "values", vendor), "bad_enum", message, words=declared.enum, word=word
            )
    for vendor, word in reading.items():
        asking.setdefault(word, []).append(vendor)
    writing: dict[str, Any] = {word: found[0] for word, found in asking.items() if len(found) == 1}
    for word, sent in spec.write.items():
        if word not in known:
            message = f"{name} has no word {word!r} that could be written; it has {', '.join(known)}"
            leaves.problems.add((*path, "write", word), "bad_enum", message, words=known, word=word, key=True)
            continue
        writing[word] = sent
    return Words(
        reading,
        {word: tuple(asking[word]) for word in known if word in asking},
        {word: writing[word] for word in known if word in writing},
    )


# Identity and shape ---------------------------------------------------------------------------------------


def _identity(source: Source, mapped: Mapping[str, Mapped], leaves: Leaves, path: Path) -> Identity | None:
    here = (*path, "identity")
    try:
        parts = references.split_placeholders(source.identity)
    except ValueError as error:
        leaves.problems.add(here, "bad_identity", "a { or } stands alone here", offset=int(error.args[0]))
        return None
    names = [name for name, _, _ in parts if name is not None]
    good = True
    for name, _, offset in parts:
        if name is not None and name not in mapped:
            if name not in source.fields:
                message = f"the identity is made of {{{name}}}, which is no field of this source"
                at = here if leaves.problems.root.find(here)[1] == len(here) else (*path, "fields")
                leaves.problems.add(at, "bad_identity", message, words=mapped, word=name, offset=offset + 1)
            good = False
    for (first, _, _), (second, _, offset) in pairwise(parts):
        if first is not None and second is not None:
            leaves.problems.add(here, "bad_identity", "two fields need something between them", offset=offset)
            good = False
    if not names or len(set(names)) != len(names):
        leaves.problems.add(here, "bad_identity", "an identity is made of fields, each once, such as {id}")
        good = False
    form = leaves.pattern((*path, "id_pattern"), source.id_pattern)
    if not good:
        return None
    if len(parts) == 1:
        only = names[0]
        return Identity((only,), None, lambda shown: converters.string(shown.get(only)), form)
    return replace(_composite(parts, names), form=form)


def _composite(parts: list[tuple[str | None, str, int]], names: list[str]) -> Identity:
    separators = "%" + "".join(literal for name, literal, _ in parts if name is None)
    pattern = re.compile(
        "".join(
            re.escape(literal) if name is None else f"(?P<{name}>[^{re.escape(separators[1:])}]+)"
            for name, literal, _ in parts
        )
    )

    def make(shown: Mapping[str, Any]) -> str | None:
        made = ""
        for name, literal, _ in parts:
            if name is None:
                made += literal
                continue
            value = converters.string(shown.get(name))
            if not value:
                return None
            made += references.encode_part(value, separators)
        return made

    return Identity(tuple(names), pattern, make)


def _shape(mapped: Mapping[str, Mapped], identity: Identity) -> Callable[[Any], Json]:
    steps = [
        Step(one.name, one.source, one.getter, one.convert, one.words.reading if one.words else None)
        for one in mapped.values()
    ]
    return compile_shape(steps, identity.make, identity.parts[0] if identity.pattern is None else None)


def _shape_id(mapped: Mapping[str, Mapped], identity: Identity) -> Callable[[Any], Json]:
    steps = [(mapped[name].name, mapped[name].getter) for name in identity.parts]
    make = identity.make

    def shape(item: Any) -> Json:
        return {"id": make({name: get(item) for name, get in steps})}

    return shape


# What is seen of a field ----------------------------------------------------------------------------------


def field_schema(spec: ModelField, words: list[str] | None = None) -> Json:
    """Answer the JSON Schema of a field's value, description included; `words` replace the enum's."""
    schema: Json = {"type": _JSON_TYPES.get(spec.type, spec.type)}
    enum = words if words is not None else spec.enum
    if enum:
        schema["enum"] = list(enum)
    if spec.items is not None:
        schema["items"] = spec.items
    if spec.properties is not None:
        schema["properties"] = spec.properties
    if spec.description:
        schema["description"] = spec.description
    return schema


def field_info(name: str, spec: ModelField) -> FieldInfo:
    """Answer what documentation and faces need to know of a field."""
    return FieldInfo(
        name=name, type=spec.type, description=spec.description, enum=tuple(spec.enum),
        markdown=spec.type == "markdown",
    )  # fmt: skip
