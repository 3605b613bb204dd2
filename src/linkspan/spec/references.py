"""References to arguments and settings: values for queries and bodies, templates for URLs, headers, texts.

A value is never pasted into syntax. In a query or a body `$name` stands for the whole value; in a path or a
base URL `{name}` is percent-encoded and cannot make, leave or join path segments; in a header it cannot hold
anything but printable ASCII. What was not given is `ABSENT`, and whatever holds it is not sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from linkspan.errors import InvalidArgument
from linkspan.spec.catalog import ABSENT, LATER, Getter, Scope, Setting, Value
from linkspan.spec.closures import path

Part = str | Callable[[Scope], Any]
"""A piece of a template: literal text, or something that answers a value or ABSENT."""
Lookup = Callable[[Scope], Any]

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_MUSTACHE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]+\Z")
_HEADER: Final = re.compile(r"[\x20-\x7e]*\Z")
_HOST_LABELS: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\Z"
)
_ORIGIN: Final = re.compile(
    r"(https?)://([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?\Z"
)


def split_placeholders(text: str) -> list[tuple[str | None, str, int]]:
    """Split at `{name}` into (name or None, literal text, offset); raises ValueError for a lone brace."""
    parts: list[tuple[str | None, str, int]] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        if literal := text[end : found.start()]:
            parts.append((None, literal, end))
        parts.append((found[1], "", found.start()))
        end = found.end()
    if literal := text[end:]:
        parts.append((None, literal, end))
    for name, literal, offset in parts:
        for brace in "{}":
            if name is None and brace in literal:
                raise ValueError(offset + literal.index(brace))
    return parts


def split_mustaches(text: str) -> list[tuple[str | None, str, int]]:
    """Split at `{{ expression }}` into (expression or None, literal text, offset)."""
    parts: list[tuple[str | None, str, int]] = []
    end = 0
    for found in _MUSTACHE.finditer(text):
        if literal := text[end : found.start()]:
            parts.append((None, literal, end))
        parts.append((found[1].strip(), "", found.start()))
        end = found.end()
    if literal := text[end:]:
        parts.append((None, literal, end))
    return parts


# Look-ups -------------------------------------------------------------------------------------------------


def argument(name: str, default: Any = ABSENT) -> Lookup:
    """Look an argument up; null counts as not given."""

    def look_up(scope: Scope) -> Any:
        value = scope.arguments.get(name)
        return default if value is None else value

    return look_up


def setting(known: Setting) -> Lookup:
    """Look a setting of the account up; an origin is answered in its normal form."""
    name, default, is_origin = known.name, known.default, known.type == "origin"

    def look_up(scope: Scope) -> Any:
        value = scope.settings.get(name)
        if value is None or value == "":
            value = default
        if value is None:
            return ABSENT
        return normal_origin(f"settings.{name}", value) if is_origin else value

    return look_up


def checked(look_up: Lookup, name: str, pattern: re.Pattern[str]) -> Lookup:
    """A looked-up value that must match a pattern as a whole, whatever else has checked it."""

    def look_up_checked(scope: Scope) -> Any:
        value = look_up(scope)
        if value is not ABSENT and pattern.fullmatch(str(value)) is None:
            raise _refuse(name, f"must match {pattern.pattern}")
        return value

    return look_up_checked


def found(name: str, members: tuple[str, ...]) -> Lookup:
    """Look up what an earlier step found, or a member of it."""
    member = path(members) if members else None
    later = f"[{'.'.join((name, *members))}]"

    def look_up(scope: Scope) -> Any:
        value = scope.found.get(name)
        if value is LATER:
            return later
        if member is not None:
            value = member(value)
        return ABSENT if value is None else value

    return look_up


def identity_part(pattern: re.Pattern[str], part: str) -> Lookup:
    """Look one part of the argument `id` up. The pattern is that of the entity's identity."""

    def look_up(scope: Scope) -> Any:
        value = scope.arguments.get("id")
        if value is None:
            return ABSENT
        found = pattern.fullmatch(str(value))
        if found is None:
            raise InvalidArgument(
                "id: this is not an id of this kind",
                hint="Use an id as it was given in a list or a search.",
                details=[{"path": "id", "message": "not an id of this kind"}],
            )
        return decode_part(found[part])

    return look_up


def encode_part(text: str, separators: str) -> str:
    """Escape what separates an identity's parts, so that the identity can be taken apart again."""
    if not any(character in text for character in separators):
        return text
    return "".join(
        "".join(f"%{byte:02X}" for byte in character.encode()) if character in separators else character
        for character in text
    )


def decode_part(text: str) -> str:
    """Undo `encode_part`."""
    if "%" not in text:
        return text
    return re.sub(
        r"(?:%[0-9A-Fa-f]{2})+",
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"),
        text,
    )


# Values ---------------------------------------------------------------------------------------------------


def constant(value: Any) -> Value:
    """A value that is always the same."""
    return lambda _scope: value


def mapping(members: Sequence[tuple[str, Value]], *, top: bool) -> Value:
    """A mapping without its absent members; one that is all absent is absent too, except at the top."""
    entries = tuple(members)

    def build(scope: Scope) -> Any:
        made = {name: found for name, value in entries if (found := value(scope)) is not ABSENT}
        return made if made or top else ABSENT

    return build


def together(members: Mapping[str, Lookup]) -> Lookup:
    """Answer several by their names; what is absent is left out."""
    return lambda scope: {
        name: found for name, value in members.items() if (found := value(scope)) is not ABSENT
    }


def sequence(members: Sequence[Value]) -> Value:
    """A list without its absent members; one that is all absent is absent too."""
    values = tuple(members)

    def build(scope: Scope) -> Any:
        made = [found for value in values if (found := value(scope)) is not ABSENT]
        return made or ABSENT

    return build


def converted(look_up: Lookup, convert: Callable[[Any], Any]) -> Value:
    """A looked-up value, converted where there is one."""

    def value(scope: Scope) -> Any:
        found = look_up(scope)
        return found if found is ABSENT else convert(found)

    return value


# Templates ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """A path: every expansion is one piece of one segment (RFC 6570 §3.2.2, with more refused)."""

    parts: tuple[tuple[str | None, Part], ...]
    """(name for messages, look-up) or (None, literal)."""

    def expand(self, scope: Scope) -> str:
        """Answer the path; raises `InvalidArgument` naming what does not fit."""
        made = ""
        for name, part in self.parts:
            made += part if isinstance(part, str) else encode_segment(name or "", part(scope))
        return made


@dataclass(frozen=True, slots=True)
class BaseUrlTemplate:
    """A base URL: settings in the host keep to letters, digits, `-` and `.`; an origin stands whole."""

    parts: tuple[tuple[str | None, Part, str], ...]
    """(name, look-up, where: `host`, `path` or `origin`) or (None, literal, "")."""

    def expand(self, scope: Scope) -> str:
        """Answer the URL without a slash at its end; raises `InvalidArgument` naming the setting."""
        made = ""
        for name, part, where in self.parts:
            if isinstance(part, str):
                made += part
                continue
            value = part(scope)
            if where == "path":
                made += encode_segment(name or "", value)
            elif where == "origin" and value is not ABSENT:
                made += value
            elif value is ABSENT or not _HOST_LABELS.match(str(value)):
                raise _refuse(name or "", "must be letters, digits and - (a part of a host name)")
            else:
                made += str(value).lower()
        return made.rstrip("/")


def encode_segment(name: str, value: Any) -> str:
    """Percent-encode one value for a path; refuse what could not stay inside its segment."""
    if value is ABSENT or value is None:
        raise _refuse(name, "is missing")
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, list):
        return ",".join(encode_segment(name, part) for part in value) if value else _empty(name)
    if isinstance(value, dict):
        raise _refuse(name, "must be a single value")
    text = str(value)
    if text in {"", ".", ".."}:
        raise _refuse(name, "must not be empty, . or ..")
    if _CONTROL.search(text):
        raise _refuse(name, "must not hold control characters or line breaks")
    try:
        return text if _UNRESERVED.match(text) else quote(text, safe="")
    except UnicodeEncodeError:
        raise _refuse(name, "is not valid Unicode") from None


def normal_origin(name: str, value: Any) -> str:
    """Answer `scheme://host[:port]`, in lower case; refuse user names, paths, queries and fragments."""
    found = _ORIGIN.match(value) if isinstance(value, str) else None
    if found is None or (found[3] and not 0 < int(found[3]) < 65536) or ".." in found[2]:
        raise _refuse(name, "must be scheme://host or scheme://host:port, such as https://desk.example")
    port = f":{int(found[3])}" if found[3] else ""
    return f"{found[1]}://{found[2].lower()}{port}"


def header_value(name: str, value: Any) -> Any:
    """Answer a header's text; refuse line breaks and whatever else is not printable ASCII (RFC 9110 §5.5)."""
    if value is ABSENT:
        return ABSENT
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, list):
        value = ", ".join(str(part) for part in value)
    text = str(value)
    if isinstance(value, dict) or not _HEADER.match(text):
        raise _refuse(name, "may hold printable ASCII only, since it is sent in a header")
    return text.strip()


def header_template(parts: Sequence[tuple[str | None, Part]]) -> Value:
    """A header of literal texts and look-ups; absent as soon as one of them is."""
    pieces = tuple(parts)

    def value(scope: Scope) -> Any:
        made = ""
        for name, part in pieces:
            if isinstance(part, str):
                made += part
                continue
            found = header_value(name or "", part(scope))
            if found is ABSENT:
                return ABSENT
            made += found
        return made

    return value


def text_template(parts: Sequence[str | Getter]) -> Value:
    """A text for people or models: literals and expressions over `text_root`; one alone keeps its type."""
    pieces = tuple(parts)
    if len(pieces) == 1 and not isinstance(pieces[0], str):
        only = pieces[0]

        def whole(scope: Scope) -> Any:
            found = only(text_root(scope))
            return ABSENT if found is None else found

        return whole
    if all(isinstance(part, str) for part in pieces):
        return constant("".join(part for part in pieces if isinstance(part, str)))

    def value(scope: Scope) -> Any:
        root = text_root(scope)
        return "".join(part if isinstance(part, str) else _shown(part(root)) for part in pieces)

    return value


def text_root(scope: Scope) -> dict[str, Any]:
    """What `{{ … }}` sees: the arguments, `settings`, and what was found: `answer`, `elicit`."""
    return {**scope.arguments, **scope.found, "settings": dict(scope.settings)}


def _shown(value: Any) -> str:
    if value is None or value is ABSENT:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _empty(name: str) -> str:
    raise _refuse(name, "must not be empty")


def _refuse(name: str, message: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name}: {message}",
        hint="Correct it and call again.",
        details=[{"path": name, "message": message}],
    )
