"""Files on their way out: given as Base64 or text, with a name, a media type and a bounded size."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from linkspan.errors import InvalidArgument, TooLarge
from linkspan.spec import references
from linkspan.spec.catalog import ABSENT, Scope, Upload, Value

if TYPE_CHECKING:
    from linkspan.spec.leaves import Leaves, Names
    from linkspan.spec.yaml import Path

MOST: Final = 10 * 2**20
"""Bytes of a file, where the file of tools.yaml names no other number."""
_WORDS: Final = ("content", "name", "type", "encoding", "max")
_ENCODINGS: Final = ("base64", "text")
_SIZE: Final = re.compile(r"([0-9]{1,6})(B|KB|MB)\Z")
_UNITS: Final = {"B": 1, "KB": 2**10, "MB": 2**20}
_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(?:; ?[\w-]+=[\w.-]+)?\Z", re.ASCII)
_FALLBACK: Final = "application/octet-stream"


def size(text: str) -> int:
    """Answer the bytes of `5MB`, `200KB` or `100B`, as the language has checked it."""
    found = _SIZE.match(text)
    return int(found[1]) * _UNITS[found[2]] if found else MOST


def is_upload(tree: Any) -> bool:
    """Tell whether a part of a multipart body is a file."""
    return isinstance(tree, dict) and "content" in tree


def compile_upload(tree: Any, names: Names, leaves: Leaves, path: Path) -> Value:
    """Compile a file; mistakes go to the problems."""
    problems = leaves.problems
    if not isinstance(tree, dict) or "content" not in tree:
        problems.add(path, "missing_key", "the word 'content' is missing: what is in the file", key=True)
        return references.constant(ABSENT)
    for key in tree:
        if key not in _WORDS:
            message = f"there is no word {key!r} here"
            problems.add((*path, key), "unknown_key", message, words=_WORDS, word=key, key=True)
    encoding, most = tree.get("encoding", "base64"), tree.get("max", "10MB")
    if encoding not in _ENCODINGS:
        message = f"cannot be {encoding!r}; it is one of {', '.join(_ENCODINGS)}"
        problems.add((*path, "encoding"), "bad_enum", message, words=_ENCODINGS, word=str(encoding))
    if not isinstance(most, str) or not _SIZE.match(most):
        problems.add((*path, "max"), "bad_value", "must be a size, such as 200KB or 5MB")
        most = "10MB"
    source = tree["content"]
    if not isinstance(source, str) or not source.startswith("$"):
        problems.add((*path, "content"), "bad_reference", "content is a reference, such as $content")
        return references.constant(ABSENT)
    content = leaves.value((*path, "content"), source, names)
    name = leaves.value((*path, "name"), tree.get("name", "file"), names)
    kind = leaves.value((*path, "type"), tree.get("type", _FALLBACK), names)
    return _upload(content, name, kind, source.removeprefix("$"), is_text=encoding == "text", most=size(most))


def _upload(content: Value, name: Value, kind: Value, argument: str, *, is_text: bool, most: int) -> Value:
    def value(scope: Scope) -> Any:
        given = content(scope)
        if given is ABSENT:
            return ABSENT
        data = _bytes(given, argument, is_text=is_text, most=most)
        called, typed = name(scope), kind(scope)
        media = _FALLBACK if typed is ABSENT else str(typed)
        if not _TYPE.match(media):
            raise _refuse(argument, f"{media[:80]!r} is no media type, such as image/png")
        return Upload("file" if called is ABSENT else str(called), media, data)

    return value


def _bytes(given: Any, argument: str, *, is_text: bool, most: int) -> bytes:
    if not isinstance(given, str):
        raise _refuse(argument, "must be text")
    # Four characters of Base64 are three bytes: what is far too long is not decoded first.
    if len(given) > (most if is_text else most * 4 // 3 + most // 32 + 8):
        raise _too_large(argument, most)
    try:
        data = given.encode() if is_text else base64.b64decode("".join(given.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _refuse(argument, "is not Base64") from None
    if len(data) > most:
        raise _too_large(argument, most)
    return data


def _too_large(argument: str, most: int) -> TooLarge:
    return TooLarge(f"{argument}: the file is larger than {most} bytes", hint="Send a smaller one.")


def _refuse(argument: str, message: str) -> InvalidArgument:
    return InvalidArgument(
        f"{argument}: {message}",
        hint="Correct it and call again.",
        details=[{"path": argument, "message": message}],
    )


def compile_multipart(form: Mapping[str, Any], names: Names, leaves: Leaves, path: Path) -> Value:
    """Compile the parts of a multipart body: files and values."""
    members = [
        (
            key,
            compile_upload(tree, names, leaves, (*path, key))
            if is_upload(tree)
            else leaves.value((*path, key), tree, names),
        )
        for key, tree in form.items()
    ]
    return references.mapping(members, top=True)
