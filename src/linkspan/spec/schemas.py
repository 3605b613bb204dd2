"""Checks the JSON Schemas of a file, so that none fails at the first call."""

from __future__ import annotations

from jsonschema_rs import Draft202012Validator, ValidationError

from linkspan.spec.catalog import Json
from linkspan.spec.problems import Problems
from linkspan.spec.yaml import Path

_SHOWN = 200


def check_schema(schema: Json, problems: Problems, path: Path) -> bool:
    """Tell where a schema that stands at a path is none, and answer whether it is one.

    It is compiled as at a call: the schema of schemas alone lets bad patterns and dangling references pass.
    """
    try:
        Draft202012Validator(schema, offline=True)
    except ValidationError as error:
        place = (*path, *error.instance_path)
        problems.add(place, "bad_schema", f"no JSON Schema: {error.message}"[:_SHOWN])
        return False
    return True
