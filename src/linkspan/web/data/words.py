"""What a caller asks of a unified door beside the operation's own arguments: Truto's words, under both names.

`truto_response_format` and `response_format` are the same, unless the operation has an argument of that name:
then only the first is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from linkspan.errors import InvalidArgument
from linkspan.web.data.asking import Asked

Format = Literal["unified", "normalized", "raw"]
_KNOWN: Final = (
    *("response_format", "ignore_remote_data", "exclude_fields", "key_by", "ignore_limit"),
    *("body_passthrough", "super_query"),
)
_REMOTE: Final = re.compile(r"remote_query\[([^\[\]]{1,200})\](\[\])?\Z")
_MOMENT: Final = re.compile(r"([a-z_]+)\[(gte?|lte?)\]\Z")


@dataclass(frozen=True, slots=True)
class Words:
    """How an answer is wanted, and what else goes to the product."""

    format: Format = "unified"
    with_remote: bool = False
    without: frozenset[str] = frozenset()
    key_by: str | None = None
    ignores_limit: bool = False
    passes_body: bool = False
    is_bare: bool = False
    dry_run: bool | None = None
    remote_query: tuple[tuple[str, str], ...] = ()
    pairs: Sequence[tuple[str, str]] = field(default=())
    """The operation's own arguments, as texts."""


def read_words(asked: Asked, properties: Mapping[str, Any]) -> Words:
    """Take ours out of the parameters. Raises `InvalidArgument` that names the parameter."""
    found: dict[str, list[str]] = {name: list(values) for name, values in asked.words.items()}
    remote: list[tuple[str, str]] = []
    rest: list[tuple[str, str]] = []
    for name, value in asked.pairs:
        plain = name.removesuffix("[]")
        passed = _REMOTE.match(name)
        if passed is not None:
            remote.append((passed[1] + (passed[2] or ""), value))
        elif plain in (*_KNOWN, "envelope", "remote_data", "dry_run") and plain not in properties:
            found.setdefault(plain, []).append(value)
        else:
            rest.append((name, value))
    unknown = [name for name in found if name not in (*_KNOWN, "envelope", "remote_data", "dry_run")]
    if unknown:
        raise _fault(f"truto_{unknown[0]}", f"is not known; known: {', '.join(_KNOWN)}")
    last = {name: values[-1] for name, values in found.items()}
    envelope = last.get("envelope", "result")
    if envelope not in ("result", "none"):
        raise _fault("envelope", "is result or none")
    ignored = _switch("ignore_remote_data", last)
    return Words(
        format=_format(last.get("response_format", "unified")),
        with_remote=bool(_switch("remote_data", last)) or ignored is False,
        without=frozenset(
            part for text in found.get("exclude_fields", ()) for part in text.split(",") if part
        ),
        key_by=last.get("key_by"),
        ignores_limit=bool(_switch("ignore_limit", last)),
        passes_body=bool(_switch("body_passthrough", last)),
        is_bare=envelope == "none",
        dry_run=_switch("dry_run", last),
        remote_query=tuple(remote),
        pairs=rest,
    )


def arguments_of(pairs: Sequence[tuple[str, str]], properties: Mapping[str, Any]) -> dict[str, Any]:
    """Answer parameters as arguments: lists gathered, `created_at[gt]` as `created_after`.

    Types are left to the operation's own check. Raises `InvalidArgument` for one that is there twice.
    """
    arguments: dict[str, Any] = {}
    for name, value in pairs:
        plain = _own_name(name, properties)
        if _is_list(properties.get(plain)):
            arguments.setdefault(plain, []).append(_item(value, properties[plain]))
        elif plain in arguments:
            raise _fault(plain, "is given more than once")
        else:
            arguments[plain] = value
    return arguments


def _own_name(name: str, properties: Mapping[str, Any]) -> str:
    """Answer what the operation calls a parameter of Truto's form."""
    moment = _MOMENT.match(name)
    if moment is not None:
        ends = "after" if moment[2].startswith("g") else "before"
        own = f"{moment[1].removesuffix('_at')}_{ends}"
        return own if own in properties else name
    if name == "next_cursor" and "next_cursor" not in properties:
        return "cursor"
    return name.removesuffix("[]")


def _is_list(schema: Any) -> bool:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return kind == "array" or (isinstance(kind, list) and "array" in kind)


def _item(value: str, schema: Mapping[str, Any]) -> Any:
    kind = (schema.get("items") or {}).get("type")
    if kind == "integer" and re.fullmatch(r"-?\d{1,15}", value):
        return int(value)
    return value


def _format(text: str) -> Format:
    match text:
        case "unified" | "normalized" | "raw":
            return text
        case "stream":
            raise _fault("response_format", "cannot be stream here: the proxy hands streams through")
    raise _fault("response_format", "is unified, normalized or raw")


def _switch(name: str, words: Mapping[str, str]) -> bool | None:
    if name not in words:
        return None
    if words[name] not in ("true", "false", "1", "0", ""):
        raise _fault(name, "is true or false")
    return words[name] in ("true", "1", "")


def _fault(path: str, message: str) -> InvalidArgument:
    return InvalidArgument(f"{path} {message}", details=[{"path": path, "message": message}])
