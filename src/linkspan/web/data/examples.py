"""Examples in the description: what is sent and answered, made of any schema, and the line to try it.

Words stand for names that products share; whatever else a schema asks is made to fit it, and where nothing
can be, there is no example.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from linkspan.errors import LinkspanError
from linkspan.spec.catalog import ABSENT, Catalog, Operation, Scope

NOTHING: Final = object()
"""There is no example."""
ID: Final = "7"
_TIME: Final = "2026-11-23T17:00:00Z"
_WORDS: Final = {
    "title": "The printer on the third floor is on fire",
    "subject": "The printer on the third floor is on fire",
    "summary": "The printer on the third floor is on fire",
    "body": "It began at nine. Nobody is hurt.",
    "text": "It began at nine. Nobody is hurt.",
    "description": "It began at nine. Nobody is hurt.",
    "comment": "It began at nine. Nobody is hurt.",
    "message": "It began at nine. Nobody is hurt.",
    "name": "Anna",
    "author": "Anna",
    "assignee": "anna",
    "email": "anna@acme.example",
    "query": "printer",
    "status_raw": "open",
    "labels": "printers",
    "environment": "production",
    "branch": "main",
    "number": ID,
    "date": "2026-11-23",
}
_FORMATS: Final = {
    "date-time": _TIME,
    "date": "2026-11-23",
    "email": "anna@acme.example",
    "uri": "https://acme.example/7",
    "uuid": "0199a1f0-0000-7000-8000-000000000007",
}
_SHAPES: Final = (
    *(ID, "acme/shop#7", "acme/shop", "acme", "C7/1480.03", "7d", "K7#7:7", "7d" * 16, "7d" * 20),
    "acme/shop@7d7d",
)
"""What fits many a pattern: ids as products write them, a duration, a commit."""
_WRITTEN: Final[dict[str, dict[str, tuple[str, Any]]]] = {
    "openai": {
        "get": ("models", NOTHING),
        "post": ("responses", {"model": "gpt-5.5", "input": "Say hello."}),
    }
}
"""For connectors that are there to be passed through alone."""
_PLACEHOLDER: Final = re.compile(r"\{[^}]*\}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_DEEPEST: Final = 8


def sample(schema: Mapping[str, Any], name: str = "", *, depth: int = 0) -> Any:
    """Answer a value that a schema takes, or NOTHING; `name` is what the value is called."""
    if (given := _given(schema)) is not NOTHING:
        return given
    for choices in ("anyOf", "oneOf"):
        for each in schema.get(choices, ()):
            if each.get("type") != "null":
                return sample({**schema, choices: (), **each}, name, depth=depth)
    if depth > _DEEPEST or "$ref" in schema:
        return NOTHING
    kinds = schema.get("type", "object" if "properties" in schema else None)
    kind = next((each for each in kinds if each != "null"), "null") if isinstance(kinds, list) else kinds
    if kind == "object":
        return _object(schema, depth)
    if kind == "array":
        item = sample(schema.get("items") or {"type": "string"}, name, depth=depth + 1)
        return NOTHING if item is NOTHING else [item] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return min(max(schema.get("minimum", 1), 1), schema.get("maximum", 1))
    if kind == "boolean":
        return True
    return _text(schema, name) if kind == "string" else NOTHING


def _given(schema: Mapping[str, Any]) -> Any:
    """Answer the value that the schema itself names."""
    named = [schema.get("example"), schema.get("const"), schema.get("default")]
    named += [*schema.get("examples", ()), *schema.get("enum", ())]
    return next((each for each in named if each is not None), NOTHING)


def _object(schema: Mapping[str, Any], depth: int) -> Any:
    made = {
        name: value
        for name, part in schema.get("properties", {}).items()
        if isinstance(part, Mapping) and (value := sample(part, name, depth=depth + 1)) is not NOTHING
    }
    return made if all(name in made for name in schema.get("required", ())) else NOTHING


def _text(schema: Mapping[str, Any], name: str) -> Any:
    text = _FORMATS.get(schema.get("format", "")) or _WORDS.get(name)
    if text is None and (name == "id" or name.endswith("_id")):
        text = ID
    if text is None and name.endswith("_at"):
        text = _TIME
    if text is None and name.endswith("url"):
        text = _FORMATS["uri"]
    text = (text or name.replace("_", " ") or "text")[: schema.get("maxLength", 1_000)]
    pattern = re.compile(schema.get("pattern", ""))
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    return next(
        (
            each
            for each in (text, *_SHAPES, *_FORMATS.values())
            if shortest <= len(each) <= longest and pattern.search(each)
        ),
        NOTHING,
    )


def arguments_of(schema: Mapping[str, Any]) -> Any:
    """Answer what an operation is called with: what it needs, and what every product has."""
    required = schema.get("required", ())
    known = {
        name: part
        for name, part in schema.get("properties", {}).items()
        if name in required or name in _WORDS or name == "status"
    }
    return sample({**schema, "properties": known})


def page_of(thing: Any) -> Any:
    """Answer a page with one thing, the last one."""
    if thing is NOTHING:
        return NOTHING
    return {"result": [thing], "next_cursor": None, "result_count": 1, "is_partial_response": False}


def curl(method: str, path: str, query: Mapping[str, Any], body: Any = NOTHING) -> dict[str, str]:
    """Answer the line that tries an operation, for readers of descriptions that show one."""
    asked = f"?{urlencode(query)}" if query else ""
    words = [f'curl -sS "$LINKSPAN{path}{asked}" -H "Authorization: Bearer $TOKEN"']
    if method != "get":
        words.insert(1, f"-X {method.upper()}")
    if body is not NOTHING:
        said = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
        words.append(f"-H \"Content-Type: application/json\" -d '{said}'")
    return {"lang": "Shell", "source": " \\\n  ".join(words)}


def proxied(catalog: Catalog, connector: str) -> dict[str, tuple[str, Any]]:
    """Answer for methods what one of the connector's own operations sends: its path, and its body."""
    found = dict(_WRITTEN.get(connector, {}))
    for operation, schema in _operations(catalog, connector):
        plan = operation.plan
        if plan is None or not plan.line or plan.base is not None or plan.url is not None or plan.if_match:
            continue
        path = _PLACEHOLDER.sub(ID, plan.line.partition(" ")[2].partition("?")[0]).strip("/")
        method = plan.method.lower()
        sent = _sent(operation, schema)
        is_whole = plan.body is None or sent is not NOTHING
        if method not in found and is_whole and _PLAIN.fullmatch(path):
            found[method] = (path, sent)
    return found


def _operations(catalog: Catalog, connector: str) -> Iterator[tuple[Operation, Mapping[str, Any]]]:
    for tool in catalog.tools:
        if connector in tool.operations:
            yield tool.operations[connector], tool.input_schema


def _sent(operation: Operation, schema: Mapping[str, Any]) -> Any:
    """Answer the body that an operation would send with the arguments of an example."""
    plan = operation.plan
    arguments = arguments_of(schema)
    if plan is None or plan.body is None or plan.body.encoding != "json" or operation.steps:
        return NOTHING
    with contextlib.suppress(LinkspanError, LookupError, TypeError, ValueError):
        value = plan.body.value(Scope({} if arguments is NOTHING else arguments, {}))
        if value is not ABSENT and json.loads(json.dumps(value)) == value:
            return value
    return NOTHING


def path_of(path: str, thing: str) -> str:
    """Answer a described path with its id put in."""
    return path.replace("{id}", quote(thing, safe=""))
