"""What a GraphQL document says by itself: its kind, its variables, and whether it can be sent at all.

Not a parser: a document is the operator's, and the product checks it against its schema. Found here is what
would fail only on the first call: a bracket too few, two operations, a variable that nothing fills.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

_IGNORED: Final = re.compile(r'"""(?:(?!""").)*+"""|"(?:[^"\\\n]|\\.)*+"|#[^\n]*+', re.DOTALL)
_TOKEN: Final = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_]*|[{}()\[\]:=!$]|[^\s\w,]")
_PAIRS: Final[Mapping[str, str]] = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Document:
    """One operation with its variables: name to whether it has to be given."""

    kind: Literal["query", "mutation"]
    variables: Mapping[str, bool]


class BadDocument(ValueError):
    """A document that cannot be sent: why, and where in the text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def read(text: str) -> Document:
    """Read a document; raises `BadDocument`."""
    bare = _IGNORED.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    words = [(found[0], found.start()) for found in _TOKEN.finditer(bare)]
    operations: list[tuple[str, int]] = []
    variables: dict[str, bool] = {}
    used: dict[str, int] = {}
    open_: list[tuple[str, int]] = []
    heading = ""
    for index, (word, offset) in enumerate(words):
        if not open_:
            heading = _heading(word, offset, heading, operations)
        if word in "([{":
            open_.append((word, offset))
        elif word in _PAIRS:
            if not open_ or open_.pop()[0] != _PAIRS[word]:
                raise BadDocument(f"{word} closes nothing", offset)
            if not open_ and word == "}":
                heading = ""
        elif word.startswith("$") and len(word) > 1:
            is_declared = len(open_) == 1 and open_[0][0] == "(" and heading in {"query", "mutation"}
            if is_declared and index + 1 < len(words) and words[index + 1][0] == ":":
                variables[word[1:]] = _is_required(words, index + 2)
            else:
                used.setdefault(word[1:], offset)
    if open_:
        raise BadDocument(f"{open_[-1][0]} is never closed", open_[-1][1])
    return _checked(operations, variables, used)


def _heading(word: str, offset: int, heading: str, operations: list[tuple[str, int]]) -> str:
    """Follow what a definition at the top is: an operation's word, `fragment`, or the braces of a query."""
    if word in {"query", "mutation", "subscription"} and not heading:
        operations.append((word, offset))
        return word
    if word == "fragment" and not heading:
        return word
    if word == "{" and not heading:
        operations.append(("query", offset))
        return "query"
    return heading


def _is_required(words: list[tuple[str, int]], index: int) -> bool:
    """Tell whether a type is non-null and has no default."""
    depth, last = 0, ""
    for word, _ in words[index:]:
        if depth == 0 and (word.startswith("$") or word in {")", "="}):
            return last == "!" and word != "="
        depth += {"[": 1, "]": -1}.get(word, 0)
        last = word
    return False


def _checked(operations: list[tuple[str, int]], variables: dict[str, bool], used: dict[str, int]) -> Document:
    if not operations:
        raise BadDocument("there is no query and no mutation in it")
    if len(operations) > 1:
        raise BadDocument("a request is one operation; this is a second one", operations[1][1])
    kind, offset = operations[0]
    if kind == "subscription":
        raise BadDocument("a subscription is no request; declare it as an event source", offset)
    for name, at in used.items():
        if name not in variables:
            raise BadDocument(f"${name} is used, but the operation does not declare it", at)
    return Document("mutation" if kind == "mutation" else "query", variables)
