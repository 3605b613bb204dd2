"""Checks the form of tools.yaml against `language`, and goes on with what is left of a file with mistakes."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import Tag, ValidationError
from pydantic.fields import FieldInfo

from linkspan.spec.language import Words
from linkspan.spec.problems import Problems
from linkspan.spec.yaml import Node, Path
from linkspan.text import formats

M = TypeVar("M", bound=Words)

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "list_type": "a list",
}
_PATTERNS = {
    "(ms|s|m|h|d)$": "must be a duration, such as 30s, 5m or 2h",
    "(B|KB|MB)$": "must be a size, such as 200KB or 5MB",
}
_ROOT_DEFAULTS: Mapping[str, Any] = {"linkspan": 1, "name": "nameless", "instructions": ""}


def validate(model: type[M], root: Node, problems: Problems) -> M | None:
    """Tell every mistake of form, and answer the file without the parts that have one."""
    data = root.plain()
    for round_ in range(50):
        try:
            return model.model_validate(data)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
        if round_ == 0:
            _tell(model, faults, root, problems)
        if not isinstance(data, dict):
            return None
        for fault in faults:
            _remove(data, _data_path(fault["loc"], root), root, fault["type"] == "missing")
    return None


def _tell(model: type[Words], faults: list[Any], root: Node, problems: Problems) -> None:
    broken: list[Path] = []
    seen: set[tuple[Path, str]] = set()
    by_place: dict[Path, list[Any]] = {}
    for fault in faults:
        by_place.setdefault(_data_path(fault["loc"], root), []).append(fault)
    for path, here in by_place.items():
        for fault in here:
            code, message, words, word = _explain(model, fault, path, root, alternatives=here)
            if (path, message) in seen:
                continue
            seen.add((path, message))
            missing = fault["type"] in {"missing", "union_tag_not_found"}
            at_key = fault["type"] == "extra_forbidden" or missing
            at = path
            if fault["type"] == "union_tag_invalid":
                at = (*path, fault["ctx"]["discriminator"].strip("'"))
            problems.add(at, code, message, words=words, word=word, key=at_key)
        broken.append(_unit(path))
    for unit in broken:
        problems.break_(unit)


def _explain(
    model: type[Words], fault: Any, path: Path, root: Node, *, alternatives: list[Any]
) -> tuple[str, str, list[str] | None, str | None]:
    kind, context = fault["type"], fault.get("ctx") or {}
    last = str(fault["loc"][-1]) if fault["loc"] else ""
    if kind == "extra_forbidden":
        words = _words(model, fault["loc"][:-1])
        return "unknown_key", f"there is no word {last!r} here", words, last
    if kind == "missing":
        return "missing_key", f"the word {last!r} is missing", None, None
    if kind == "union_tag_not_found":
        return "missing_key", f"the word {context['discriminator']} is missing", None, None
    if kind == "union_tag_invalid":
        words = re.findall(r"'([^']*)'", context["expected_tags"])
        word = str(context["tag"])
        return "bad_enum", f"cannot be {word!r}; it is {_one_of(words)}", words, word
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        word = str(root.find(path)[0].value)
        said = f"; a markup is said with format: {word}" if last == "as" and word in formats.READING else ""
        return "bad_enum", f"cannot be {word!r}; it is {_one_of(words)}{said}", words, word
    if kind in _KINDS:
        wanted = dict.fromkeys(_KINDS[other["type"]] for other in alternatives if other["type"] in _KINDS)
        message = f"must be {' or '.join(wanted)}, not {_what(root.find(path)[0])}"
        if "text" in wanted and not isinstance(root.find(path)[0].children, dict | list):
            message += "; put it in quotes"
        return "wrong_type", message, None, None
    if kind == "string_pattern_mismatch":
        for end, message in _PATTERNS.items():
            if context["pattern"].endswith(end):
                return "bad_value", message, None, None
    if kind in {"string_too_short", "too_short"}:
        return "bad_value", "must not be empty", None, None
    return "bad_value", str(fault["msg"]).lower(), None, None


def _one_of(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _what(node: Node) -> str:
    if isinstance(node.children, dict):
        return "a mapping"
    if isinstance(node.children, list):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "true or false"
    return "a number" if isinstance(node.value, int | float) else "text"


def _data_path(loc: tuple[str | int, ...], root: Node) -> Path:
    """Answer the path in the file of a fault's place, without the steps that only pydantic has."""
    path: list[str | int] = []
    node: Node | None = root
    for index, step in enumerate(loc):
        below = node.child(step) if node is not None else None
        if below is None and index == len(loc) - 1 and isinstance(node and node.children, dict):
            path.append(step)
            break
        if below is not None:
            path.append(step)
            node = below
    return tuple(path)


def _unit(path: Path) -> Path:
    """Answer the part of the file that a mistake of form spoils: an operation, a field, one word."""
    if path[:1] == ("entities",) and len(path) >= 6 and path[2] == "sources":
        return path[:6]
    return path[:3] if len(path) > 3 else path


def _remove(data: Any, path: Path, root: Node, missing: bool) -> None:
    if missing and len(path) == 1:
        data[path[0]] = _ROOT_DEFAULTS.get(str(path[0]))
        return
    target = path[:-1] if missing and root.find(path)[1] < len(path) else path
    for key in target[:-1]:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return
    last = target[-1] if target else None
    if isinstance(data, dict) and last in data:
        if len(target) == 1 and last in _ROOT_DEFAULTS:
            data[last] = _ROOT_DEFAULTS[str(last)]
        else:
            del data[last]
    elif isinstance(data, list) and isinstance(last, int) and last < len(data):
        del data[last]


def _words(model: Any, loc: tuple[str | int, ...]) -> list[str]:
    """Answer the words that may stand in the mapping at a place."""
    found: Any = model
    for step in loc:
        found = _below(found, step)
        if found is None:
            return []
    classes = [found] if isinstance(found, type) and issubclass(found, Words) else _members(found)
    return [info.alias or name for cls in classes for name, info in cls.model_fields.items()]


def _below(annotation: Any, step: str | int) -> Any:
    return _tagged(annotation, step) or _plainly_below(_bare(annotation), step)


def _plainly_below(annotation: Any, step: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Words):
        for name, info in annotation.model_fields.items():
            if (info.alias or name) == step:
                return info.annotation if not info.metadata else _annotated(info)
        return None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        return arguments[1]
    if origin is list:
        return arguments[0]
    if origin in {Union, types.UnionType}:
        for member in _members(annotation):
            for info in member.model_fields.values():
                if get_origin(info.annotation) is Literal and step in get_args(info.annotation):
                    return member
        for argument in arguments:
            if (below := _below(argument, step)) is not None:
                return below
    return None


def _tagged(annotation: Any, step: str | int) -> Any:
    """Answer the alternative that pydantic names by this step, which is not in the file."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    for argument in get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else ():
        tags = get_args(argument)[1:] if get_origin(argument) is Annotated else ()
        if any(isinstance(tag, Tag) and tag.tag == step for tag in tags):
            return argument
        if get_origin(argument) is Annotated and (found := _tagged(argument, step)) is not None:
            return found
    return None


def _annotated(info: FieldInfo) -> Any:
    return info.annotation


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, types.UnionType}:
        rest = [argument for argument in get_args(annotation) if argument is not type(None)]
        if len(rest) == 1:
            return _bare(rest[0])
    return annotation


def _members(annotation: Any) -> list[type[Words]]:
    arguments = get_args(_bare(annotation))
    return [
        member for member in map(_bare, arguments) if isinstance(member, type) and issubclass(member, Words)
    ]
