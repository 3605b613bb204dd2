"""What a source's fields are once compiled: their identity, and the shape that they give an item."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from linkspan.spec import converters, mapping, references
from linkspan.spec.catalog import Getter, Json, Shape
from linkspan.spec.language import ModelField, Source
from linkspan.spec.leaves import Leaves
from linkspan.spec.shapes import Step, compile_shape
from linkspan.spec.yaml import Path

DATES: Final = ("datetime", "date")
"""Types of fields that hold dates and nothing else."""
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Words:
    """An enum's words at one source. `vendor` answers what a model word is called there."""

    reading: Mapping[str, str]
    asking: Mapping[str, tuple[Any, ...]]
    writing: Mapping[str, Any]
    raw: Getter | None = None
    """What finds the product's own word, where `reading` is by its category."""
    raw_source: str | None = None


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
    expression: str = ""
    """Where it is, as it is written."""
    again: int = 0
    """How many levels down the getter's things are mapped as the thing that they are in."""
    given: str | None = None
    """The argument or setting that it is, where it comes of the call rather than of the item."""
    path: Path = ()
    """Where that is written."""
    settings: tuple[str, ...] = ()
    """Settings of the account that the expression names beside the item."""

    def found(self, item: Any, given: Mapping[str, Any]) -> Any:
        """Answer its value before it is converted."""
        if self.given is not None:
            return given.get(self.name)
        return self.getter(mapping.beside(item, given.get(self.name)) if self.settings else item)


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
    shape: Shape | None
    shape_id: Shape | None = field(default=None)
    """The shape of an answer that holds nothing but the identity."""


def compile_identity(
    source: Source, mapped: Mapping[str, Mapped], leaves: Leaves, path: Path
) -> Identity | None:
    """Compile how an id is made and taken apart; None after a problem."""
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


def shape_of(mapped: Mapping[str, Mapped], identity: Identity | None, level: int | None = None) -> Shape:
    """Write the shape. One that holds itself is written once a level, so that its depth needs no counting."""
    steps = []
    for one in mapped.values():
        getter = one.getter
        if one.again:
            left = one.again if level is None else min(one.again, level)
            getter = mapping.each(getter, shape_of(mapped, identity, left - 1) if left > 0 else None)
        steps.append(
            Step(
                one.name,
                one.source,
                getter,
                one.convert,
                one.words.reading if one.words else None,
                one.words.raw if one.words else None,
                one.words.raw_source if one.words else None,
                is_given=one.given is not None,
                needs_settings=bool(one.settings),
                is_date=one.spec.type in DATES and one.words is None,
            )
        )
    if identity is None:
        return compile_shape(steps, None, None)
    return compile_shape(steps, identity.make, identity.parts[0] if identity.pattern is None else None)


def shape_of_id(mapped: Mapping[str, Mapped], identity: Identity) -> Shape:
    """Answer the shape of an answer that holds nothing but the identity."""
    fields = [mapped[name] for name in identity.parts]
    make = identity.make

    def shape(item: Any, given: Mapping[str, Any] = _NOTHING, /) -> Json:
        return {"id": make({one.name: one.found(item, given) for one in fields})}

    return shape
