"""Fields: a model's and an entity's own, where a source finds them, and the shape they make of an item."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from linkspan.spec import converters, mapping, yaml
from linkspan.spec.catalog import FieldInfo, Getter, Json
from linkspan.spec.expressions import source_of
from linkspan.spec.language import MODELS, Entity, ModelField, ModelFile, Source, SourceField, model_names
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.mapped import (
    DATES,
    Mapped,
    SourceFields,
    Words,
    compile_identity,
    shape_of,
    shape_of_id,
)
from linkspan.spec.schemas import check_schema
from linkspan.spec.shapes import UNKNOWN
from linkspan.spec.ticket_keys import PREFIX
from linkspan.spec.yaml import Path

_CONVERTERS: Final[dict[str, converters.Converter]] = {
    "string": converters.string,
    "markdown": converters.text,
    "datetime": converters.date,
    "date": converters.date,
}
_MADE_BY: Final[dict[str, tuple[str, ...]]] = {
    "string": ("string", "markdown"),
    "text": ("string", "markdown"),
    "markdown": ("string", "markdown"),
    "integer": ("integer", "number"),
    "iso8601": ("datetime", "date", "string"),
    "lower": ("string", "array"),
    "upper": ("string", "array"),
}
"""Which types of field a conversion makes."""
_UNTYPED: Final = ModelField.model_validate({"type": "object"})
"""What is in the `map` of another field: nothing says its type."""
_NESTED: Final = ("items", "properties")
_JSON_TYPES: Final = {"markdown": "string", "datetime": "string", "date": "string"}


def read_model(name: str) -> ModelFile:
    """Read a built-in model."""
    path = MODELS / f"{name}.yaml"
    node, problems = yaml.read(path.read_bytes(), path.name)
    if node is None or problems:
        raise ValueError("\n".join(map(str, problems)))
    return ModelFile.model_validate(node.plain())


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
        nested = {key: value for key in _NESTED if (value := getattr(spec, key)) is not None}
        if not check_schema(nested, leaves.problems, (*path, "fields", field_name)):
            described = described.model_copy(update=dict.fromkeys(_NESTED))
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
        one = _mapped(name, declared, spec, leaves, here)
        if one is not None:
            mapped[name] = one
    if not source.fields:
        return SourceFields({}, None, None)
    identity = compile_identity(source, mapped, leaves, path)
    return SourceFields(
        mapped, identity, shape_of(mapped, identity) if identity else None,
        shape_of_id(mapped, identity) if identity else None,
    )  # fmt: skip


def _mapped(
    name: str, declared: ModelField | None, spec: SourceField, leaves: Leaves, here: Path
) -> Mapped | None:
    """Compile one field; `declared` is None in the `map` of another, where nothing says its type."""
    at = (*here, "from") if _is_spelled_out(leaves, here) else here
    _check_words(spec, leaves, here)
    expression = spec.from_ if spec.from_ is not None else spec.each
    if expression is None:
        return None
    if expression.startswith("$") and spec.each is None:
        return _given(name, declared, spec, expression, leaves, here)
    getter = leaves.getter(at if spec.each is None else (*here, "each"), expression)
    words = _words(name, declared, spec, leaves, here)
    convert = _convert(name, declared, spec, leaves, here)
    is_list = spec.each is not None and spec.from_ is None
    if is_list and declared is not None and declared.type != "array":
        message = f"{name} is of type {declared.type}; each makes a list, so it has to be an array"
        leaves.problems.add((*here, "each"), "conflict", message)
    pattern = mapping.check_match(spec.match, leaves, (*here, "match")) if spec.match is not None else None
    if pattern is not None and declared is not None:
        _check_groups(name, declared, pattern, leaves, here)
    if spec.keys is not None and declared is not None and declared.type not in {"array", "string"}:
        message = f"{name} is of type {declared.type}; keys makes an array or a string"
        leaves.problems.add((*here, "keys"), "conflict", message)
    if spec.settings and declared is None:
        message = "what is in a map comes of its thing, not of the account"
        leaves.problems.add((*here, "settings"), "bad_reference", message, key=True)
        return None
    if getter is None:
        return None
    is_plain = spec.each is None and pattern is None and spec.keys is None and not spec.settings
    source = source_of(expression) if is_plain else None
    if pattern is not None:
        single = declared is not None and declared.type != "array"
        change = converters.READING[spec.as_ or "string"]
        getter = mapping.matches(getter, pattern, change, single=single)
    elif spec.keys is not None:
        single = declared is not None and declared.type != "array"
        named = declared is None or _holds_objects(declared)
        getter = mapping.ticket_keys(getter, spec.keys, named=named, single=single)
    shown = declared if declared is not None else _UNTYPED
    if spec.map == "self":
        return Mapped(name, shown, words, getter, None, convert, expression, again=spec.depth or 0)
    if spec.map is not None:
        inner = _inner(spec.map, leaves, (*here, "map"))
        getter = mapping.each(getter, shape_of(inner, None) if inner else None)
    settings = tuple(spec.settings)
    path = (*here, "settings")
    return Mapped(name, shown, words, getter, source, convert, expression, settings=settings, path=path)


_SETTING: Final = re.compile(r"(?<![\w.])settings\.([a-z][a-z0-9_]*)")
_GIVEN: Final = re.compile(r"\$((?:settings\.)?[a-z][a-z0-9_]*)\Z")


def _given(
    name: str, declared: ModelField | None, spec: SourceField, text: str, leaves: Leaves, here: Path
) -> Mapped | None:
    """Compile a field that is an argument of the call, or a setting of the account."""
    at = (*here, "from") if _is_spelled_out(leaves, here) else here
    found = _GIVEN.match(text)
    if found is None:
        message = f"{text!r} is not a reference: write $name for an argument, $settings.name for a setting"
        leaves.problems.add(at, "bad_reference", message)
        return None
    if declared is None:
        message = "what is in a map comes of its thing, not of the call"
        leaves.problems.add(at, "bad_reference", message)
        return None
    for key in ("values", "write", "raw", "match", "keys", "settings"):
        if getattr(spec, key):
            message = f"what comes of the call is in our words already: {key} cannot stand here"
            leaves.problems.add((*here, key), "conflict", message, key=True)
    convert = _convert(name, declared, spec, leaves, here)
    return Mapped(name, declared, None, lambda _item: None, None, convert, text, given=found[1], path=at)


def _inner(forms: Mapping[str, SourceField], leaves: Leaves, path: Path) -> dict[str, Mapped]:
    made: dict[str, Mapped] = {}
    for name, spec in forms.items():
        if not NAME.match(name):
            message = f"the field {name!r} must be lower case letters, digits and _"
            leaves.problems.add((*path, name), "bad_name", message, key=True)
        elif (one := _mapped(name, None, spec, leaves, (*path, name))) is not None:
            made[name] = one
    return made


def _check_words(spec: SourceField, leaves: Leaves, path: Path) -> None:
    """Tell words that are missing, or that exclude each other."""
    add = leaves.problems.add
    if spec.from_ is not None and spec.each is not None:
        add((*path, "each"), "conflict", "a field has either from or each", key=True)
    elif spec.from_ is None and spec.each is None:
        add(path, "missing_key", "the word 'from' is missing: where the field is in the item", key=True)
    if spec.each is not None and spec.map is None:
        add(path, "missing_key", "the word 'map' is missing: what each makes of every thing", key=True)
    if spec.each is None and spec.map is not None:
        add((*path, "map"), "conflict", "map belongs to each: where the list of things is", key=True)
    if spec.map == "self" and spec.depth is None:
        message = "the word 'depth' is missing: how many levels map: self goes down"
        add(path, "missing_key", message, key=True)
    if spec.map != "self" and spec.depth is not None:
        add((*path, "depth"), "conflict", "depth belongs to map: self", key=True)
    if spec.map == {}:
        add((*path, "map"), "bad_value", "must not be empty")
    _check_conversions(spec, leaves, path)
    _check_keys(spec, leaves, path)
    _check_settings(spec, leaves, path)


def _check_settings(spec: SourceField, leaves: Leaves, path: Path) -> None:
    """Tell settings that the expression does not name, and those that it names and has not."""
    named = set(_SETTING.findall(spec.from_ or "")) if spec.settings else set()
    for index, name in enumerate(spec.settings):
        if spec.from_ is not None and name not in named:
            message = f"from does not name settings.{name}"
            leaves.problems.add((*path, "settings", index), "conflict", message)
    for name in sorted(named - set(spec.settings)):
        message = f"from names settings.{name}, which is not among the settings of the field"
        leaves.problems.add((*path, "from"), "conflict", message, words=spec.settings, word=name)


def _check_keys(spec: SourceField, leaves: Leaves, path: Path) -> None:
    """Tell what does not go with finding keys of tickets."""
    add = leaves.problems.add
    if spec.keys is None:
        return
    for key, word in (("match", "match"), ("as_", "as"), ("format", "format"), ("date", "date")):
        if getattr(spec, key) is not None:
            message = f"keys finds keys of tickets, in capitals; {word} belongs to another field"
            add((*path, word), "conflict", message, key=True)
    if spec.keys == []:
        add((*path, "keys"), "bad_value", "must not be empty: name prefixes such as ENG, or any")
    for index, prefix in enumerate(spec.keys if isinstance(spec.keys, list) else ()):
        if not PREFIX.fullmatch(prefix):
            message = f"{prefix!r} is no prefix of keys: write ENG for ENG-12"
            add((*path, "keys", index), "bad_value", message)


def _check_conversions(spec: SourceField, leaves: Leaves, path: Path) -> None:
    """Tell conversions where there is nothing to convert."""
    add = leaves.problems.add
    if spec.values:
        for key, word in (("as_", "as"), ("format", "format"), ("date", "date")):
            if getattr(spec, key) is not None:
                message = f"values has the product's words as it writes them, so {word} would change nothing"
                add((*path, word), "conflict", message, key=True)
    if spec.each is not None:
        of_one = ("format", "date", "match", "keys", "settings")
        for key, word in (("as_", "as"), *((word, word) for word in of_one)):
            if getattr(spec, key):
                message = f"each makes a list of mappings; {word} belongs to a field in map"
                add((*path, word), "conflict", message, key=True)


def _convert(
    name: str, declared: ModelField | None, spec: SourceField, leaves: Leaves, path: Path
) -> converters.Converter | None:
    """Answer what converts a field's value, by its words or its type."""
    convert: converters.Converter | None = None
    if declared is not None:
        convert = _CONVERTERS.get(declared.type) or converters.conforming(field_schema(declared))
    made = {"as": spec.as_, "format": spec.format, "date": spec.date or spec.zone}
    given = [word for word, value in made.items() if value is not None]
    for word in given[1:]:
        message = f"a value is converted once; {given[0]} is here too"
        at = word if word != "date" or spec.date is not None else "zone"
        leaves.problems.add((*path, at), "conflict", message, key=True)
    holds_dates = declared is not None and declared.type in DATES
    if spec.as_ is not None and not (holds_dates and spec.as_ == "iso8601"):
        convert = _both(converters.READING[spec.as_], convert if spec.as_ in {"lower", "upper"} else None)
    elif spec.format is not None:
        convert = mapping.from_markup(spec.format)
    elif spec.date is not None or spec.zone is not None:
        good = spec.date is None or mapping.check_date(spec.date, leaves, (*path, "date"))
        if spec.zone is not None:
            good = mapping.check_zone(spec.zone, leaves, (*path, "zone")) and good
        convert = mapping.date_reader(spec.date, spec.zone, only=holds_dates) if good else convert
    for word in given if declared is not None else ():
        what = {"as": spec.as_ or "", "format": "markdown", "date": "iso8601"}[word]
        if declared is not None and declared.type not in _MADE_BY[what]:
            at = word if word != "date" or spec.date is not None else "zone"
            shown = what if word == "as" else at
            message = f"{name} is of type {declared.type}, which {shown} does not make"
            leaves.problems.add((*path, at), "conflict", message)
    return convert


def _both(first: converters.Converter, then: converters.Converter | None) -> converters.Converter:
    return first if then is None else lambda value: then(first(value))


def _check_groups(
    name: str, declared: ModelField, pattern: re.Pattern[str], leaves: Leaves, path: Path
) -> None:
    """Tell a pattern whose findings are not what the field holds."""
    if declared.type not in {"array", "string"}:
        message = f"{name} is of type {declared.type}; match makes an array or a string"
        leaves.problems.add((*path, "match"), "conflict", message)
        return
    holds_objects = _holds_objects(declared)
    if holds_objects and not pattern.groupindex:
        message = f"{name} holds objects: name what is found, such as (?P<key>[A-Z]+-[0-9]+)"
        leaves.problems.add((*path, "match"), "bad_pattern", message)
    elif not holds_objects and pattern.groupindex:
        message = f"{name} holds texts: a named group makes objects; write (?:…)"
        leaves.problems.add((*path, "match"), "bad_pattern", message)


def _holds_objects(declared: ModelField) -> bool:
    return declared.type == "array" and (declared.items or {}).get("type") == "object"


def _is_spelled_out(leaves: Leaves, path: Path) -> bool:
    node, depth = leaves.problems.root.find(path)
    return depth == len(path) and isinstance(node.children, dict)


def _words(
    name: str, declared: ModelField | None, spec: SourceField, leaves: Leaves, path: Path
) -> Words | None:
    if declared is None and spec.values:
        if spec.write:
            message = "what is in a map is read only, so it takes no write"
            leaves.problems.add((*path, "write"), "not_an_enum", message, key=True)
        return Words(dict(spec.values), {}, {}, *_own_word(spec, leaves, path))
    if declared is None or not declared.enum:
        for key in ("values", "write", "raw"):
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
        *_own_word(spec, leaves, path),
    )


def _own_word(spec: SourceField, leaves: Leaves, path: Path) -> tuple[Getter | None, str | None]:
    """Answer what finds the product's own word, and the same as Python, where a field says so."""
    getter = leaves.getter((*path, "raw"), spec.raw)
    return getter, source_of(spec.raw) if getter is not None and spec.raw is not None else None


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
