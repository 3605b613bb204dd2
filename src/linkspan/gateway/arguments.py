"""Arguments against a tool's schema: all faults named at once, with the nearest right word."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError

from linkspan import errors

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?\Z")
_SHOWN_FAULTS = 12
_SHOWN_WORDS = 600
"""Characters that the words of an enum may take."""


class ArgumentCheck:
    """The compiled check of one schema (JSON Schema 2020-12). Remote references are never fetched."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._first = Draft202012Validator(dict(schema), offline=True)
        self._going_on = Draft202012Validator({**schema, "required": []}, offline=True)
        self._properties: Mapping[str, Any] = schema.get("properties") or {}
        self._closed = schema.get("additionalProperties") is False

    def __call__(self, arguments: Mapping[str, Any], *, is_partial: bool = False) -> dict[str, Any]:
        """Answer the arguments, what stands as text or as a number turned into what the schema asks.

        With a `cursor`, which carries the arguments of its first call, none is required. Raises
        `InvalidArgument` whose message and details name every fault.
        """
        given = arguments if isinstance(arguments, dict) else dict(arguments)
        validator = self._going_on if is_partial or "cursor" in given else self._first
        if validator.is_valid(given):
            return given
        turned = {name: self._turned(name, value) for name, value in given.items()}
        if turned != given and validator.is_valid(turned):
            return turned
        faults = [self._fault(error) for error in validator.iter_errors(given)]
        raise refusal(faults)

    def _turned(self, name: str, value: Any) -> Any:
        """Answer what a value most likely means: some clients send all as text, or an id as a number."""
        schema = self._properties.get(name)
        wanted = schema.get("type") if isinstance(schema, dict) else None
        if wanted == "string" and type(value) is int:
            return str(value)
        if not isinstance(value, str):
            return value
        if wanted == "boolean" and value in ("true", "false"):
            return value == "true"
        if wanted in ("integer", "number") and _NUMBER.match(value):
            return int(value) if wanted == "integer" and "." not in value else float(value)
        return value

    def _fault(self, error: ValidationError) -> dict[str, str]:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        name = error.kind.name
        message = error.message if len(error.message) <= 300 else error.message[:299] + "…"
        if name == "required":
            path, message = f"{path}.{error.kind.as_dict()['property']}", "is required"
        elif name == "additionalProperties":
            unknown = [str(word) for word in error.kind.as_dict()["unexpected"]]
            path = f"{path}.{unknown[0]}" if len(unknown) == 1 else path
            message = "unknown argument" if len(unknown) == 1 else f"unknown arguments {', '.join(unknown)}"
            message += self._nearest(unknown[0]) if not error.instance_path else ""
        elif name == "enum":
            message = _outside(error.instance, error.kind.as_dict()["options"], message)
        return {"path": path.lstrip("."), "message": message}

    def _nearest(self, word: str) -> str:
        near = difflib.get_close_matches(word, list(self._properties), n=1)
        if near:
            return f" (did you mean {near[0]}?)"
        known = ", ".join(self._properties)
        return f" (known: {known})" if self._properties else " (it takes none)"


def _outside(value: Any, words: list[Any], message: str) -> str:
    """Say what the words are, all of them unless they are many, and which is nearest."""
    told = ", ".join(json.dumps(word, ensure_ascii=False) for word in words)
    if len(told) > _SHOWN_WORDS:
        return message
    near = difflib.get_close_matches(value, words, n=1) if isinstance(value, str) else []
    shown = f"{value[:100]!r} is" if isinstance(value, str) else "it is"
    return f"{shown} not one of {told}" + (f" (did you mean {near[0]}?)" if near else "")


def refusal(faults: list[dict[str, str]]) -> errors.InvalidArgument:
    """Answer the error that names all faults."""
    shown = [
        f"{fault['path']}: {fault['message']}" if fault["path"] else fault["message"] for fault in faults
    ]
    more = f"; and {len(shown) - _SHOWN_FAULTS} more" if len(shown) > _SHOWN_FAULTS else ""
    return errors.InvalidArgument(
        f"{'arguments do' if len(faults) > 1 else 'an argument does'} not fit: "
        + "; ".join(shown[:_SHOWN_FAULTS])
        + more,
        details=faults,
    )
