"""Checks what is said of one parameter: its words, its bounds, and a default that keeps to them."""

from __future__ import annotations

import json
from typing import Final

from jsonschema_rs import Draft202012Validator

from linkspan.spec.catalog import Json
from linkspan.spec.language import Param
from linkspan.spec.problems import Problems
from linkspan.spec.schemas import check_schema
from linkspan.spec.yaml import Path

_NUMBERS: Final = ("integer", "number")
_BELONG: Final = {
    "minimum": _NUMBERS, "maximum": _NUMBERS,
    "min_length": ("string",), "max_length": ("string",), "pattern": ("string",), "format": ("string",),
    "items": ("array",), "properties": ("object",),
}  # fmt: skip
"""The types that a word says something of."""
_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object")
_FORMATS: Final = (
    "date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference",
    "uuid", "regex", "byte", "binary",
)  # fmt: skip


def check_param(param: Param, schema: Json, problems: Problems, path: Path) -> None:
    """Tell what contradicts itself in a parameter whose finished schema this is."""
    told = len(problems.found)
    _check_words(param, schema, problems, path)
    _check_bounds(param, schema, problems, path)
    if param.format is not None and param.format not in _FORMATS:
        message = f"there is no format {param.format!r}; there are {', '.join(_FORMATS)}"
        problems.add((*path, "format"), "bad_enum", message, words=_FORMATS, word=param.format)
    if not check_schema(schema, problems, path) or param.default is None:
        return
    if param.required:
        message = "what has a default is not required; say one of them"
        problems.add((*path, "required"), "conflict", message, key=True)
    if len(problems.found) > told:
        return
    for error in Draft202012Validator(schema, offline=True).iter_errors(param.default):
        message = f"the default {param.default!r} does not fit the parameter: {error.message}"
        problems.add((*path, "default"), "bad_value", message)
        return


def _check_words(param: Param, schema: Json, problems: Problems, path: Path) -> None:
    here = (*path, "enum")
    if not param.enum and "enum" in param.model_fields_set:
        problems.add(here, "bad_value", "must not be empty")
    inner = schema.get("items", {}) if schema["type"] == "array" else schema
    wanted = inner.get("type")
    validator = (
        Draft202012Validator({"type": wanted}) if isinstance(wanted, str) and wanted in _TYPES else None
    )
    seen: list[str] = []
    for index, word in enumerate(param.enum):
        shown = json.dumps(word)
        if shown in seen:
            problems.add((*here, index), "bad_value", f"the word {word!r} stands here twice")
        elif validator is not None and not validator.is_valid(word):
            problems.add((*here, index), "conflict", f"{word!r} is not of type {wanted}, as the parameter is")
        seen.append(shown)


def _check_bounds(param: Param, schema: Json, problems: Problems, path: Path) -> None:
    for word, types in _BELONG.items():
        if getattr(param, word) is not None and schema["type"] not in types:
            message = f"{word} belongs to {' and '.join(types)}; the parameter is of type {schema['type']}"
            problems.add((*path, word), "conflict", message, key=True)
    for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
        least, most = getattr(param, low), getattr(param, high)
        if least is not None and most is not None and least > most:
            problems.add((*path, low), "bad_value", f"{low} is {least}, which is above {high}, {most}")


def told_limits(description: str, schema: Json) -> str:
    """Say limits, formats and defaults in words: Codex's model sees nothing else of them."""
    facts = []
    if "minimum" in schema and "maximum" in schema:
        facts.append(f"From {schema['minimum']} to {schema['maximum']}.")
    elif "minimum" in schema:
        facts.append(f"At least {schema['minimum']}.")
    elif "maximum" in schema:
        facts.append(f"At most {schema['maximum']}.")
    if "maxLength" in schema:
        facts.append(f"At most {schema['maxLength']} characters.")
    if "format" in schema and schema["format"] not in description:
        facts.append(f"Format: {schema['format']}.")
    if "default" in schema and "efault" not in description:
        facts.append(f"Default: {json.dumps(schema['default'], ensure_ascii=False)}.")
    return " ".join([description, *facts]).strip()
