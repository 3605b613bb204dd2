"""JMESPath trees as Python source, for the shapes of items: keys, selections, `&&`, `||`, `!` and literals.

What stands in an expression becomes keys and literals of the source and nothing else. The rest of the
language (indices, projections, functions) is left to `closures`: `written` answers None for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

from linkspan.spec.closures import is_false

Json = dict[str, Any]
NAMES: Final[Json] = {"dict": dict, "is_false": is_false}
"""What the source refers to, beside `item` and `look`."""


def written(tree: Json) -> str | None:
    """Answer an expression over `item` and `look`, which is its `get` (that of `{}` if it is no mapping).

    None for a tree with a node that is left to closures. The source assigns to `_1`, `_2` and so on, and
    raises nothing, whatever the item is.
    """
    try:
        return _write(tree, "item", (f"_{number}" for number in count(1)))
    except _Unwritten:
        return None


class _Unwritten(Exception):
    """A node that is left to closures."""


def _write(tree: Json, root: str, names: Iterator[str]) -> str:
    write = _WRITERS.get(tree["type"])
    if write is None:
        raise _Unwritten
    return write(tree, root, names)


def _bound(root: str, names: Iterator[str]) -> tuple[str, str]:
    """Answer how to say the root first, and how to say it again."""
    if root.isidentifier():
        return root, root
    name = next(names)
    return f"({name} := {root})", name


def _field(tree: Json, root: str, names: Iterator[str]) -> str:
    key = repr(tree["value"])
    if root == "item":
        return f"look({key})"
    first, again = _bound(root, names)
    return f"({again}.get({key}) if {first}.__class__ is dict else None)"


def _chain(tree: Json, root: str, names: Iterator[str]) -> str:
    for child in tree["children"]:
        root = _write(child, root, names)
    return root


def _multi_list(tree: Json, root: str, names: Iterator[str]) -> str:
    first, again = _bound(root, names)
    parts = ", ".join([_write(child, again, names) for child in tree["children"]])
    return f"(None if {first} is None else [{parts}])"


def _multi_dict(tree: Json, root: str, names: Iterator[str]) -> str:
    first, again = _bound(root, names)
    parts = ", ".join(
        [f"{child['value']!r}: {_write(child['children'][0], again, names)}" for child in tree["children"]]
    )
    return f"(None if {first} is None else {{{parts}}})"


def _or(tree: Json, root: str, names: Iterator[str]) -> str:
    left, right = (_write(child, _named(root), names) for child in tree["children"])
    name = next(names)
    return f"({name} if ({name} := {left}) or not is_false({name}) else {right})"


def _and(tree: Json, root: str, names: Iterator[str]) -> str:
    left, right = (_write(child, _named(root), names) for child in tree["children"])
    name = next(names)
    return f"({right} if ({name} := {left}) or not is_false({name}) else {name})"


def _not(tree: Json, root: str, names: Iterator[str]) -> str:
    return f"is_false({_write(tree['children'][0], root, names)})"


def _literal(tree: Json, _root: str, _names: Iterator[str]) -> str:
    value = tree["value"]
    if value is not None and not isinstance(value, str | bool | int):
        raise _Unwritten
    return repr(value)


def _named(root: str) -> str:
    if not root.isidentifier():
        raise _Unwritten  # It would be evaluated twice.
    return root


def _itself(_tree: Json, root: str, _names: Iterator[str]) -> str:
    return root


_WRITERS: Final[dict[str, Callable[[Json, str, Iterator[str]], str]]] = {
    "field": _field,
    "subexpression": _chain,
    "multi_select_list": _multi_list,
    "multi_select_dict": _multi_dict,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "literal": _literal,
    "identity": _itself,
    "current": _itself,
}
