"""What makes an entity's fields of a product's item: one function a source, written as Python and compiled.

It runs for every item of every page, and most fields are a key looked up and a text kept as it is. Written
out in one function that costs a third of what it costs as closures. Of tools.yaml only keys, literals and the
names of fields get into the source; converters, words and other expressions come in by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.spec import converters, mapping
from linkspan.spec.catalog import Getter, Json, Shape
from linkspan.spec.written import NAMES

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One field: where its value is, what converts it, and an enum's words by the product's."""

    name: str
    source: str | None
    """How to find the value, as `written` has it; None when only `getter` can tell."""
    getter: Getter
    convert: converters.Converter | None
    words: Mapping[str, str] | None = None
    raw: Getter | None = None
    """What finds the product's own word where that is not what is mapped; told beside the model's."""
    raw_source: str | None = None
    """The same as `written` has it."""
    is_given: bool = False
    """It comes of the call, not of the item."""
    needs_settings: bool = False
    """What finds it is given the account's settings beside the item."""
    is_date: bool = False
    """What is no date becomes null, and what it was is told beside it."""


def compile_shape(
    steps: Sequence[Step], make_id: Callable[[Json], str | None] | None, id_is: str | None
) -> Shape:
    """Answer the function from an item, whatever it is, to fields; `id` is always there, and first.

    `make_id` makes the id of the other fields; `id_is` names the field that is the id as it is, if one is.
    Without both it is the shape of a thing in an item, which has no id of ours.
    """
    known: dict[str, Any] = {
        **NAMES, "str": str, "nothing": {},
        "string": converters.string, "as_unknown": _as_unknown, "as_no_date": _as_no_date, "make_id": make_id,
        "beside": mapping.beside,
    }  # fmt: skip
    lines = ["def shape(item, given=nothing):", " look = item.get if item.__class__ is dict else nothing.get"]
    values: dict[str, str] = {"id": "None"} if make_id is not None else {}
    unmapped: list[str] = []
    for number, step in enumerate(steps):
        value = values[step.name] = f"value{number}"
        lines.append(_look_up(step, number, known))
        if step.words is None:
            if step.is_date:
                lines.append(f" came{number} = {value}")
                no_date = f"{value} is None and came{number} is not None"
                unmapped.append(f" if {no_date}: made = as_no_date(made, {step.name!r}, came{number})")
            lines += _converted(step, value, number, known)
            continue
        word = values[step.name] = f"word{number}"
        lines += _as_word(step.words, value, word, number, known)
        told = value
        if step.raw is not None:
            told = f"told{number}"
            lines += _own_word(step, told, number, known)
            unmapped.append(f" if {told} is not None: made[{step.name + '_raw'!r}] = {told}")
            unmapped.append(f" else: {told} = {value}")
        unmapped.append(
            f" if {word} is None and {value} is not None: made = as_unknown(made, {step.name!r}, {told})"
        )
        if several := _many_to_one(step.words):
            known[f"several{number}"] = several
            unmapped.append(f" if {value} in several{number}: made[{step.name + '_raw'!r}] = {told}")
    if id_is is not None:
        is_text = any(step.name == id_is and step.convert is converters.string for step in steps)
        values["id"] = values[id_is] if is_text else f"string({values[id_is]})"
    shown = ", ".join(f"{name!r}: {value}" for name, value in values.items())
    lines += [f" made = {{{shown}}}", *unmapped]
    if make_id is not None and id_is is None:
        lines.append(" made['id'] = make_id(made)")
    lines.append(" return made")
    exec(compile("\n".join(lines), "<shape>", "exec"), known)  # noqa: S102
    shape: Shape = known["shape"]
    return shape


def _look_up(step: Step, number: int, known: dict[str, Any]) -> str:
    if step.is_given:
        return f" value{number} = given.get({step.name!r})"
    if step.source is not None:
        return f" value{number} = {step.source}"
    known[f"get{number}"] = step.getter
    item = f"beside(item, given.get({step.name!r}))" if step.needs_settings else "item"
    return f" value{number} = get{number}({item})"


def _converted(step: Step, value: str, number: int, known: dict[str, Any]) -> list[str]:
    if step.convert is None:
        return []
    if step.convert is converters.string:
        return [f" if {value}.__class__ is not str and {value} is not None: {value} = string({value})"]
    known[f"convert{number}"] = step.convert
    return [f" {value} = convert{number}({value})"]


def _as_word(
    words: Mapping[str, str], value: str, word: str, number: int, known: dict[str, Any]
) -> list[str]:
    known[f"words{number}"] = {vendor: word for vendor, word in words.items() if word != UNKNOWN}
    null = "'null'" if "null" in words else "None"
    return [
        f" if {value}.__class__ is not str: {value} = {null} if {value} is None else string({value})",
        f" {word} = words{number}.get({value})",
    ]


def _own_word(step: Step, told: str, number: int, known: dict[str, Any]) -> list[str]:
    """Look up what the product itself says, as a text; the category is told where it says nothing."""
    known[f"own{number}"] = step.raw
    return [f" {told} = string({step.raw_source or f'own{number}(item)'})"]


def _many_to_one(words: Mapping[str, str]) -> frozenset[str]:
    """Answer the product's words that share the model's with others: what they were is told beside it."""
    made = list(words.values())
    return frozenset(vendor for vendor, word in words.items() if made.count(word) > 1 and word != UNKNOWN)


def _as_unknown(made: Json, name: str, raw: Any) -> Json:
    """Answer the fields with `unknown` for one of them, and what the product said right beside it."""
    return _beside(made, name, UNKNOWN, raw)


def _as_no_date(made: Json, name: str, raw: Any) -> Json:
    """Answer the fields, and right beside a date that is none what the product said, if that is anything."""
    text = converters.string(raw)
    return _beside(made, name, None, text) if text is not None and text.strip() else made


def _beside(made: Json, name: str, value: Any, raw: Any) -> Json:
    shown: Json = {}
    for key, there in made.items():
        shown[key] = there
        if key == name:
            shown[key], shown[f"{key}_raw"] = value, raw
    return shown
