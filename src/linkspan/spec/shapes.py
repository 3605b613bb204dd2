"""What makes an entity's fields of a product's item: one function a source, written as Python and compiled.

It runs for every item of every page, and most fields are a key looked up and a text kept as it is. Written
out in one function that costs a third of what it costs as closures. Of tools.yaml only keys and the names of
fields get into the source, as literals; converters, words and expressions come in by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.spec import converters
from linkspan.spec.catalog import Getter, Json

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One field: where its value is, what converts it, and an enum's words by the product's."""

    name: str
    keys: tuple[str, ...] | None
    """The keys that lead to the value; None when only `getter` can tell."""
    getter: Getter
    convert: converters.Converter | None
    words: Mapping[str, str] | None = None


def compile_shape(
    steps: Sequence[Step], make_id: Callable[[Json], str | None], id_is: str | None
) -> Callable[[Any], Json]:
    """Answer the function from an item, whatever it is, to fields; `id` is always there, and first.

    `make_id` makes the id of the other fields; `id_is` names the field that is the id as it is, if one is.
    """
    known: dict[str, Any] = {
        "str": str, "dict": dict, "nothing": {}, "string": converters.string, "make_id": make_id,
    }  # fmt: skip
    lines = [
        "def shape(item):",
        " look = item.get if item.__class__ is dict else nothing.get",
        " made = {'id': None}",
    ]
    for number, step in enumerate(steps):
        lines += _field(step, number, known)
    if id_is is None:
        lines.append(" made['id'] = make_id(made)")
    elif not any(step.name == id_is == "id" and step.convert is converters.string for step in steps):
        lines.append(f" made['id'] = string(made[{id_is!r}])")
    lines.append(" return made")
    exec(compile("\n".join(lines), "<shape>", "exec"), known)  # noqa: S102
    shape: Callable[[Any], Json] = known["shape"]
    return shape


def _field(step: Step, number: int, known: dict[str, Any]) -> list[str]:
    lines = []
    if step.keys is None:
        known[f"get{number}"] = step.getter
        lines.append(f" value = get{number}(item)")
    else:
        first, *others = step.keys
        lines.append(f" value = look({first!r})")
        lines += [f" value = value.get({key!r}) if value.__class__ is dict else None" for key in others]
    if step.words is not None:
        return lines + _word(step.name, step.words, number, known)
    if step.convert is converters.string:
        lines.append(" if value.__class__ is not str and value is not None: value = string(value)")
    elif step.convert is not None:
        known[f"convert{number}"] = step.convert
        lines.append(f" value = convert{number}(value)")
    return [*lines, f" made[{step.name!r}] = value"]


def _word(name: str, words: Mapping[str, str], number: int, known: dict[str, Any]) -> list[str]:
    """An enum's word; where there is none for what the product says, `unknown` and the raw text beside it."""
    known[f"words{number}"] = {vendor: word for vendor, word in words.items() if word != UNKNOWN}
    null = "'null'" if "null" in words else "None"
    return [
        f" if value.__class__ is not str: value = {null} if value is None else string(value)",
        f" word = words{number}.get(value)",
        f" made[{name!r}] = word",
        " if word is None and value is not None:",
        f"  made[{name!r}] = {UNKNOWN!r}",
        f"  made[{name + '_raw'!r}] = value",
    ]
