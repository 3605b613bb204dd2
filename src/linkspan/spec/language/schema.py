"""The published JSON Schema of tools.yaml, made of the models."""

from __future__ import annotations

from typing import Any

from linkspan.spec.language.file import File
from linkspan.spec.language.words import CONNECTORS, MODELS


def model_names() -> list[str]:
    """Answer the names of the built-in models."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))


def connector_names() -> list[str]:
    """Answer the names of the built-in connectors."""
    return sorted(path.stem for path in CONNECTORS.glob("*.yaml"))


def json_schema() -> dict[str, Any]:
    """Answer the JSON Schema (2020-12) of the language, for editors."""
    schema = _tidy(File.model_json_schema(by_alias=True))
    schema["$defs"]["Entity"]["properties"]["model"]["enum"] = model_names()
    connector = schema["$defs"]["Connector"]
    connector["properties"]["use"]["enum"] = connector_names()
    connector["anyOf"] = [{"required": ["use"]}, {"required": connector.pop("required")}]
    written_out = schema["$defs"]["SourceField"]["anyOf"][1]
    written_out["anyOf"] = [{"required": ["from"]}, {"required": ["each", "map"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tools.yaml of Linkspan",
        **schema,
    }


def _tidy(schema: Any) -> Any:
    """Leave out what pydantic adds and no editor needs: titles, empty defaults, null beside a type."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidied: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"title", "discriminator"} or (key == "default" and value in (None, "", [], {})):
            continue
        if key in {"properties", "$defs"}:
            tidied[key] = {name: _tidy(part) for name, part in value.items()}
        elif key in {"default", "const", "enum", "propertyNames"}:
            tidied[key] = value
        else:
            tidied[key] = _tidy(value)
    choices = [part for part in tidied.get("anyOf", ()) if part != {"type": "null"}]
    if len(choices) == 1:
        del tidied["anyOf"]
        tidied = {**choices[0], **tidied}
    return tidied
