"""JMESPath trees as closures: the meaning of jmespath's own interpreter at a fraction of its cost.

Only what the few `map`-like functions need (`&expression`) is left to jmespath itself: `closure` answers
None for a tree that holds one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

Getter = Callable[[Any], Any]
Call = Callable[[str, list[Any]], Any]

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


_EMPTY: Final = frozenset({str, list, dict})


def closure(tree: dict[str, Any], call: Call) -> Getter | None:
    """Answer what a parsed expression means. `call` runs a function by name and may raise."""
    try:
        return _make(tree, call)
    except KeyError:
        return None


def is_false(value: Any) -> bool:
    """Tell whether JMESPath takes a value as false: null, false, and empty texts, lists and mappings."""
    return not value and (value is None or value is False or value.__class__ in _EMPTY)


def path(steps: tuple[str | int, ...]) -> Getter:
    """A chain of keys and indices."""
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]
        return lambda root: root.get(name) if root.__class__ is dict else None
    if len(steps) == 2 and isinstance(steps[0], str) and isinstance(steps[1], str):
        return _two(*steps)

    def many(root: Any) -> Any:
        for step in steps:
            if root.__class__ is dict and step.__class__ is str:
                root = root.get(step)
            elif root.__class__ is list and step.__class__ is int:
                try:
                    root = root[step]
                except IndexError:
                    return None
            else:
                return None
        return root

    return many


def _two(first: str | int, second: str | int) -> Getter:
    def two(root: Any) -> Any:
        if root.__class__ is dict:
            below = root.get(first)
            if below.__class__ is dict:
                return below.get(second)
        return None

    return two


def _make(tree: dict[str, Any], call: Call) -> Getter:
    return _MAKERS[tree["type"]](tree, call)


def _children(tree: dict[str, Any], call: Call) -> tuple[Getter, ...]:
    return tuple(_make(child, call) for child in tree["children"])


def _field(tree: dict[str, Any], _call: Call) -> Getter:
    return path((tree["value"],))


def _index(tree: dict[str, Any], _call: Call) -> Getter:
    return path((tree["value"],))


def _identity(_tree: dict[str, Any], _call: Call) -> Getter:
    return lambda root: root


def _literal(tree: dict[str, Any], _call: Call) -> Getter:
    value = tree["value"]
    return lambda _root: value


def _chain(tree: dict[str, Any], call: Call) -> Getter:
    steps = [child["value"] for child in _flat(tree) if child["type"] in {"field", "index"}]
    if len(steps) == len(_flat(tree)):
        return path(tuple(steps))
    getters = _children(tree, call)

    def chain(root: Any) -> Any:
        for getter in getters:
            root = getter(root)
        return root

    return chain


def _flat(tree: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for child in tree["children"]:
        found += _flat(child) if child["type"] in {"subexpression", "index_expression"} else [child]
    return found


def _slice(tree: dict[str, Any], _call: Call) -> Getter:
    part = slice(*tree["children"])
    return lambda root: root[part] if isinstance(root, list) else None


def _multi_list(tree: dict[str, Any], call: Call) -> Getter:
    getters = _children(tree, call)
    return lambda root: None if root is None else [getter(root) for getter in getters]


def _multi_dict(tree: dict[str, Any], call: Call) -> Getter:
    entries = tuple((child["value"], _make(child["children"][0], call)) for child in tree["children"])
    return lambda root: None if root is None else {name: getter(root) for name, getter in entries}


def _or(tree: dict[str, Any], call: Call) -> Getter:
    first, second = _children(tree, call)

    def either(root: Any) -> Any:
        found = first(root)
        return second(root) if is_false(found) else found

    return either


def _and(tree: dict[str, Any], call: Call) -> Getter:
    first, second = _children(tree, call)

    def both(root: Any) -> Any:
        found = first(root)
        return found if is_false(found) else second(root)

    return both


def _not(tree: dict[str, Any], call: Call) -> Getter:
    (only,) = _children(tree, call)
    return lambda root: is_false(only(root))


def _comparator(tree: dict[str, Any], call: Call) -> Getter:
    left, right = _children(tree, call)
    kind = tree["value"]
    if kind == "eq":
        return lambda root: _equal(left(root), right(root))
    if kind == "ne":
        return lambda root: not _equal(left(root), right(root))
    compare = _ORDER[kind]

    def ordered(root: Any) -> Any:
        one, other = left(root), right(root)
        same = (_is_number(one) and _is_number(other)) or (isinstance(one, str) and isinstance(other, str))
        return compare(one, other) if same else None

    return ordered


def _equal(one: Any, other: Any) -> bool:
    if one.__class__ is bool or other.__class__ is bool:
        return one is other
    return bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _projection(tree: dict[str, Any], call: Call) -> Getter:
    base, each = _children(tree, call)

    def project(root: Any) -> Any:
        found = base(root)
        if not isinstance(found, list):
            return None
        return [made for element in found if (made := each(element)) is not None]

    return project


def _value_projection(tree: dict[str, Any], call: Call) -> Getter:
    base, each = _children(tree, call)

    def project(root: Any) -> Any:
        found = base(root)
        if not isinstance(found, dict):
            return None
        return [made for element in found.values() if (made := each(element)) is not None]

    return project


def _filter(tree: dict[str, Any], call: Call) -> Getter:
    base, each, condition = _children(tree, call)

    def project(root: Any) -> Any:
        found = base(root)
        if not isinstance(found, list):
            return None
        kept = (element for element in found if not is_false(condition(element)))
        return [made for element in kept if (made := each(element)) is not None]

    return project


def _flatten(tree: dict[str, Any], call: Call) -> Getter:
    (base,) = _children(tree, call)

    def flatten(root: Any) -> Any:
        found = base(root)
        if not isinstance(found, list):
            return None
        merged: list[Any] = []
        for element in found:
            if isinstance(element, list):
                merged += element
            else:
                merged.append(element)
        return merged

    return flatten


def _function(tree: dict[str, Any], call: Call) -> Getter:
    name, getters = tree["value"], _children(tree, call)
    return lambda root: call(name, [getter(root) for getter in getters])


_MAKERS: Final[dict[str, Callable[[dict[str, Any], Call], Getter]]] = {
    "field": _field,
    "index": _index,
    "identity": _identity,
    "current": _identity,
    "literal": _literal,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "slice": _slice,
    "multi_select_list": _multi_list,
    "multi_select_dict": _multi_dict,
    "or_expression": _or,
    "and_expression": _and,
    "not_expression": _not,
    "comparator": _comparator,
    "projection": _projection,
    "value_projection": _value_projection,
    "filter_projection": _filter,
    "flatten": _flatten,
    "function_expression": _function,
}
