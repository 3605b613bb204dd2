"""What the words of tools.yaml are made of: a mapping with fixed keys, shorthands, and the shapes of texts.

A shorthand (a plain text where a mapping could stand) becomes the mapping before validation, so every mistake
has one place.
"""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MODELS: Final = FilePath(__file__).parent.parent / "models"
CONNECTORS: Final = FilePath(__file__).parent.parent / "connectors"
Scalar = str | int | float | bool
Tree = Any
"""A YAML tree whose leaf texts may be `$references`."""
Arrays = Literal["repeat", "comma", "brackets", "indices", "pipes", "spaces"]
Expression = Annotated[
    str, Field(min_length=1, json_schema_extra={"maxLength": 300}, description="JMESPath, to 300 characters.")
]
NAMES: dict[str, Any] = {"propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"}}
CONNECTOR_NAMES: dict[str, Any] = {"propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,62}$"}}
Bytes = Annotated[str, Field(pattern=r"^[0-9]{1,6}(B|KB|MB)$", description="200KB, 5MB.")]
Duration = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", description="30s, 5m, 2h, 7d.")]


class Words(BaseModel):
    """A mapping with fixed keys. `shorthand` names the key that a plain value stands for."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, protected_namespaces=(), defer_build=True
    )
    shorthand: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        if value is None:
            return {}
        if cls.shorthand is not None and not isinstance(value, dict):
            return {cls.shorthand: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.shorthand is None:
            return schema
        full = handler.resolve_ref_schema(schema)
        short = dict(full["properties"][cls.shorthand])
        inner = {key: full.pop(key) for key in list(full) if key not in {"title", "description"}}
        full["anyOf"] = [short, inner]
        return schema
