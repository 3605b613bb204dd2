"""`{{args.x}}` and `{{resources.NAME.member}}` in what a batch sends.

Names and members, nothing else: what a caller writes is never evaluated. One that names nothing is a fault,
so that no request goes to `/tickets/{{id}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from linkspan.errors import InvalidArgument

_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z0-9_./-]{1,200})(?::(str|int|num|bool|json|any))?\s*\}\}")
_DEEPEST: Final = 20


def fill(value: Any, args: Mapping[str, Any], resources: Mapping[str, Any], depth: int = 0) -> Any:
    """Answer a value with its placeholders filled in; one that is a whole text keeps its type.

    Raises `InvalidArgument`.
    """
    if depth > _DEEPEST:
        raise InvalidArgument("a batch is nested too deep")
    if isinstance(value, Mapping):
        return {name: fill(part, args, resources, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [fill(part, args, resources, depth + 1) for part in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    whole = _PLACE.fullmatch(value)
    if whole is not None:
        found = _found(whole[1], args, resources)
        return _cast(found, whole[2], whole[1]) if whole[2] else found

    def written(match: re.Match[str]) -> str:
        found = _found(match[1], args, resources)
        return found if isinstance(found, str) else json.dumps(found)

    return _PLACE.sub(written, value)


def _found(path: str, args: Mapping[str, Any], resources: Mapping[str, Any]) -> Any:
    kind, _, rest = path.partition(".")
    if kind == "args":
        return _member(args, rest.split("."), path)
    if kind == "resources":
        for name in sorted(resources, key=len, reverse=True):
            dotted = name.replace("/", ".")
            for known in (name, dotted):
                if rest == known or rest.startswith(f"{known}."):
                    members = rest[len(known) + 1 :]
                    return _member(resources[name], members.split(".") if members else [], path)
    raise _missing(path)


def _member(value: Any, names: list[str], path: str) -> Any:
    for name in names:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise _missing(path)
    return value


def _cast(value: Any, kind: str, path: str) -> Any:
    casts: Mapping[str, Callable[[Any], Any]] = {
        "str": lambda found: found if isinstance(found, str) else json.dumps(found),
        "int": int,
        "num": float,
        "bool": lambda found: {"true": True, "false": False}[str(found).lower()],
        "json": lambda found: json.loads(found) if isinstance(found, str) else found,
        "any": lambda found: found,
    }
    try:
        return casts[kind](value)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgument(f"{{{{{path}}}}} is not {kind}") from error


def _missing(path: str) -> InvalidArgument:
    return InvalidArgument(
        f"{{{{{path}}}}} names nothing",
        hint="There are {{args.NAME}} and {{resources.NAME.member}} of what it depends on.",
    )
