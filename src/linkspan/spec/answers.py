"""What came back held against what is mapped: for whoever writes a tools.yaml and asks why.

Pure: raw items, the compiled operation, and what its shape made of them. Calls never come here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.spec import converters
from linkspan.spec.catalog import FieldSource, Operation

_SAMPLE: Final = 24
"""Characters of a text that are shown."""
_DEEPEST: Final = 6
_MOST_KEYS: Final = 60
_TOTAL: Final = re.compile(r"(?i)\W?(total|count|total[_-]?(count|size|items|results|records|hits|elements))")
_SECRET: Final = re.compile(r"(?i)pass(word|wd|phrase)|secret|token|api.?key|credential|authorization|cookie")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One field of one item: what its expression found and what became of it."""

    field: str
    expression: str
    raw: Any
    value: Any
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "field": self.field,
            "expression": self.expression,
            "raw": short(self.raw),
            "value": short(self.value),
            "note": self.note,
        }


@dataclass(slots=True)
class Findings:
    """What a look at several items told."""

    items: int = 0
    always_null: list[str] = field(default_factory=list)
    unmapped_words: dict[str, dict[str, int]] = field(default_factory=dict)
    """By field: the product's word, and in how many items it was."""
    unused: list[str] = field(default_factory=list)
    """Keys of the items that no field looks at."""
    flattened: dict[str, str] = field(default_factory=dict)
    """Fields that hold a text, where the expression found a mapping or a list of them: what it found."""


def shape_of(value: Any, depth: int = 0) -> Any:
    """Answer keys and types instead of values, with a short sample of texts and numbers.

    A list is shown by its first item and its length; what a key's name calls secret has no sample.
    """
    if isinstance(value, dict):
        if depth >= _DEEPEST:
            return f"mapping of {len(value)}"
        shown = {
            str(key): kind_of(part) if _SECRET.search(str(key)) else shape_of(part, depth + 1)
            for key, part in list(value.items())[:_MOST_KEYS]
        }
        return {**shown, "…": f"{len(value) - _MOST_KEYS} more keys"} if len(value) > _MOST_KEYS else shown
    if isinstance(value, list):
        if not value:
            return "empty list"
        if depth >= _DEEPEST:
            return f"list of {len(value)}"
        return [shape_of(value[0], depth + 1), *([f"and {len(value) - 1} more"] if len(value) > 1 else [])]
    if value is None or isinstance(value, bool):
        return kind_of(value) if value is None else f"boolean, such as {str(value).lower()}"
    return f"{kind_of(value)}, such as {short(value)}"


def kind_of(value: Any) -> str:
    """Answer what a value is, in the words of JSON."""
    for kinds, word in (
        (bool, "boolean"), (int, "integer"), (float, "number"), (str, "text"), (dict, "mapping"),
        (list, "list"), (bytes, "bytes"),
    ):  # fmt: skip
        if isinstance(value, kinds):
            return word
    return "null"


def short(value: Any) -> Any:
    """Answer a value as far as a line has room for it."""
    if isinstance(value, str):
        text = " ".join("".join(mark if mark.isprintable() else " " for mark in value[:200]).split())
        return text if len(text) <= _SAMPLE and len(value) <= 200 else f"{text[: _SAMPLE - 1]}…"
    if isinstance(value, dict | list):
        if not value:
            return value
        return f"{kind_of(value)} of {len(value)}"
    return value


def mapping_of(operation: Operation, item: Any, made: Any) -> list[Mapping]:
    """Answer how each field of one item came about. `made` is what the shape made of it."""
    shown = made if isinstance(made, dict) else {}
    return [_one(source, source.getter(item), shown.get(source.name)) for source in operation.fields]


def _one(source: FieldSource, raw: Any, value: Any) -> Mapping:
    note = ""
    if source.words is not None and raw is not None:
        written = str(converters.string(raw))
        word = source.words.get(written)
        note = f"{written} → {word}" if word else f"{short(written)} is not in values: unknown"
    elif raw is None and value is None:
        note = "null: nothing is there"
    elif value is None:
        note = f"null: this {kind_of(raw)} could not be read as what the field holds"
    return Mapping(source.name, source.expression, raw, value, note)


def findings(operation: Operation, things: Sequence[Any]) -> Findings:
    """Look at what came, item by item."""
    found = Findings(len(things))
    if operation.shape is None or not things:
        return found
    made = [operation.shape(thing) for thing in things]
    for source in operation.fields:
        if all(one.get(source.name) is None for one in made):
            found.always_null.append(source.name)
        if source.words is not None:
            raws = [
                str(converters.string(raw)) for thing in things if (raw := source.getter(thing)) is not None
            ]
            words = Counter(raw for raw in raws if raw not in source.words)
            if words:
                found.unmapped_words[source.name] = dict(words.most_common(20))
        for thing, one in zip(things, made, strict=True):
            raw = source.getter(thing)
            if isinstance(raw, dict | list) and one.get(source.name) == converters.string(raw):
                found.flattened[source.name] = kind_of(raw)
    found.unused = unused(operation, things)
    return found


def unused(operation: Operation, things: Sequence[Any]) -> list[str]:
    """Answer the keys whose absence would change no field of any item: exact, whatever an expression says."""
    seen: dict[str, bool] = {}
    if operation.shape is None:
        return []
    for thing in things[:20]:
        if not isinstance(thing, dict):
            continue
        whole = operation.shape(thing)
        for key, value in thing.items():
            if seen.get(key) or value is None:
                continue
            without = {name: part for name, part in thing.items() if name != key}
            seen[key] = operation.shape(without) != whole
    return [key for key, is_used in seen.items() if not is_used]


def totals_in(body: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the numbers of an answer, outside of its lists, whose names say how many things there are."""
    if not isinstance(body, dict) or depth > 2:
        return
    for key, part in body.items():
        word = f"{path}.{key}" if path else str(key)
        if isinstance(part, int) and not isinstance(part, bool) and _TOTAL.fullmatch(str(key)):
            yield word, part
        yield from totals_in(part, word, depth + 1)


def lists_in(body: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield where lists are in an answer and how long they are: what `items` may have meant."""
    if isinstance(body, list):
        yield path or "@", len(body)
    elif isinstance(body, dict) and depth < 4:
        for key, part in body.items():
            word = key if re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII) else f'"{key}"'
            yield from lists_in(part, f"{path}.{word}" if path else word, depth + 1)
