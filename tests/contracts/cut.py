"""Cuts a product's description down to what connectors ask of it, and tells whether a cut is as it was made.

`python -m tests.contracts.cut NAME ORIGINAL` holds the file NAME (`asana.json`, `linear.graphql`) against the
original that it names: that has to be this very file, and what was kept has to be as it is there. With
`--write PATH…` an OpenAPI description is cut anew, with these paths beside those that it has. What no path
refers to, such as the payloads of webhooks, is kept by `#/components/schemas/NAME` in a path's place.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from graphql import GraphQLSchema, build_schema

FILES: Final = Path(__file__).parent
SHA256: Final = re.compile(r"SHA-256 of the original: ([0-9a-f]{64})")
_HEAD: Final = ("openapi", "info", "servers")
_BELOW: Final = ("paths", "components")
_REF: Final = "#/components/"
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def cut(original: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Answer a description with these paths and what they refer to, however far; all of it as it was.

    A path may be `#/components/KIND/NAME`, which is kept as well, and named in `x-beside`. Raises `KeyError`
    for what is not in it.
    """
    named = list(paths)
    beside = [path for path in named if path.startswith(_REF)]
    kept = {path: original["paths"][path] for path in named if path not in beside}
    wanted, left = set[tuple[str, str]](), [*_refs(kept), *_refs([{"$ref": each} for each in beside])]
    while left:
        if (place := left.pop()) not in wanted:
            wanted.add(place)
            left += _refs(original["components"][place[0]][place[1]])
    parts: dict[str, Any] = {
        kind: {name: part for name, part in those.items() if (kind, name) in wanted}
        for kind, those in original.get("components", {}).items()
    }
    head = {word: original[word] for word in _HEAD if word in original}
    if beside:
        head["x-beside"] = beside
    return {**head, "paths": kept, "components": {kind: those for kind, those in parts.items() if those}}


def _is_there(original: Mapping[str, Any], beside: str) -> bool:
    return all(name in original["components"].get(kind, {}) for kind, name in _refs({"$ref": beside}))


def _refs(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        for word, value in part.items():
            if word == "$ref" and isinstance(value, str) and value.startswith(_REF):
                kind, _, name = value.removeprefix(_REF).partition("/")
                yield kind, name.partition("/")[0]
            yield from _refs(value)
    elif isinstance(part, list):
        for value in part:
            yield from _refs(value)


def changed(kept: Mapping[str, Any], original: Mapping[str, Any]) -> list[str]:
    """Answer what was kept of a description and is not as it is cut out of the original."""
    missing = [path for path in kept["paths"] if path not in original["paths"]]
    if missing:
        return [f"paths: no {path} in the original" for path in missing]
    beside = kept.get("x-beside", [])
    gone = [each for each in beside if not _is_there(original, each)]
    if gone:
        return [f"components: no {each} in the original" for each in gone]
    made = cut(original, [*kept["paths"], *beside])
    if "x-paths" in kept:
        made["x-paths"] = sorted(original["paths"])
    found = [word for word in kept if word not in ("x-origin", *_BELOW) and kept[word] != made.get(word)]
    for word in _BELOW:
        names = dict.fromkeys([*kept[word], *made[word]])
        found += [f"{word}.{name}" for name in names if kept[word].get(name) != made[word].get(name)]
    return found


def changed_types(kept: GraphQLSchema, original: GraphQLSchema) -> list[str]:
    """Answer the types, fields and arguments that were kept of a schema and are not so in the original."""
    there = set(_parts(original))
    return [part for part in _parts(kept) if part not in there]


def _parts(schema: GraphQLSchema) -> Iterator[str]:
    for name, kind in schema.type_map.items():
        yield f"{type(kind).__name__} {name}"
        yield from (f"{name}.{word}" for word in getattr(kind, "values", ()))
        for word, field in getattr(kind, "fields", {}).items():
            yield f"{name}.{word}: {field.type}"
            yield from (
                f"{name}.{word}({one}: {told.type})" for one, told in getattr(field, "args", {}).items()
            )


def differences(file: Path, original: Path) -> list[str]:
    """Answer what of a file is not as the original that it names has it."""
    text, data = file.read_text(), original.read_bytes()
    named, found = SHA256.search(text), hashlib.sha256(data).hexdigest()
    if named is None or named[1] != found:
        return [f"this is another file than was cut: SHA-256 {found}"]
    if file.suffix == ".graphql":
        # GitHub's own names a field twice.
        return changed_types(build_schema(text), build_schema(data.decode(), assume_valid_sdl=True))
    return changed(json.loads(text), _read(data))


def _read(data: bytes) -> dict[str, Any]:
    # A date in YAML is a text in JSON, as it is where this was cut.
    found: dict[str, Any] = json.loads(json.dumps(yaml.load(data, Loader=_Loader), default=str))
    return found


def rewrite(file: Path, original: Path, paths: Iterable[str]) -> None:
    """Cut a file anew. What it says of its origin stays, but for the sum of the original."""
    data = original.read_bytes()
    kept = json.loads(file.read_text()) if file.exists() else {"paths": {}}
    whole = _read(data)
    made = cut(whole, dict.fromkeys([*kept["paths"], *kept.get("x-beside", []), *paths]))
    origin = SHA256.sub("", kept.get("x-origin", "")).rstrip(" .")
    found = hashlib.sha256(data).hexdigest()
    told: dict[str, Any] = {"x-origin": f"{origin}. SHA-256 of the original: {found}."}
    if "x-paths" in kept:
        told["x-paths"] = sorted(whole["paths"])
    head = {word: part for word, part in made.items() if word not in _BELOW}
    if file.exists() and "servers" not in kept:
        head.pop("servers", None)
    shown = {**head, **told, **{word: made[word] for word in _BELOW}}
    file.write_text(json.dumps(shown, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    name, source, *more = sys.argv[1:]
    if more[:1] == ["--write"]:
        rewrite(FILES / name, Path(source), more[1:])
    wrong = differences(FILES / name, Path(source))
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or f"{name} is as it was cut.\n")
    sys.exit(1 if wrong else 0)
