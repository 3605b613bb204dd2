"""YAML text to plain data, with the line and the column of everything in it.

A strict subset: one document, mappings with text keys, YAML 1.2 core scalars (`no` and `on` are text, and so
are dates), no anchors, aliases or tags, no key twice, bounded size and depth, no invisible characters.
Every mistake is collected as a `Problem`; nothing is raised for what a file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from linkspan.errors import Problem

MAX_BYTES: Final = 2 * 2**20
MAX_DEPTH: Final = 64

HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control, zero-width, bidirectional and tag characters: what a reader of the file cannot see."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}\Z")
_BASED = re.compile(r"0(?:o[0-7]{1,40}|x[0-9a-fA-F]{1,40})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?\Z")
_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC: Final = frozenset("0123456789+-.")
"""What a number begins with; an empty text is a constant."""
Path = tuple[str | int, ...]


@dataclass(slots=True)
class Node:
    """A value with its place: `keys` has the places of a mapping's keys, `children` the nodes below."""

    value: Any
    file: str
    line: int
    column: int
    offset: int | None = None
    """Where a text's first character stands on its line, if every character of it stands there as itself."""
    keys: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    children: dict[str, Node] | list[Node] | None = None
    rows: tuple[tuple[int, int], ...] = ()
    """Where each line of a literal block's text begins: line and column of the file."""

    def child(self, key: str | int) -> Node | None:
        """Answer the node under a key or an index, if there is one."""
        if isinstance(self.children, dict):
            return self.children.get(key) if isinstance(key, str) else None
        if isinstance(self.children, list) and isinstance(key, int) and 0 <= key < len(self.children):
            return self.children[key]
        return None

    def find(self, path: Path) -> tuple[Node, int]:
        """Answer the deepest node on a path, and how many steps of the path lead to it."""
        node = self
        for depth, key in enumerate(path):
            below = node.child(key)
            if below is None:
                return node, depth
            node = below
        return node, len(path)

    def plain(self) -> Any:
        """Answer plain dicts, lists and scalars."""
        if isinstance(self.children, dict):
            return {key: node.plain() for key, node in self.children.items()}
        if isinstance(self.children, list):
            return [node.plain() for node in self.children]
        return self.value

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Yield every node below, this one first, in the file's order."""
        yield path, self
        if isinstance(self.children, dict):
            for key, node in self.children.items():
                yield from node.walk((*path, key))
        elif isinstance(self.children, list):
            for index, node in enumerate(self.children):
                yield from node.walk((*path, index))


def show_path(path: Path) -> str:
    """Write a path as `entities.ticket.auth[0]`."""
    shown = ""
    for key in path:
        shown += f"[{key}]" if isinstance(key, int) else f".{key}" if shown else key
    return shown


def read(data: bytes, file: str) -> tuple[Node | None, list[Problem]]:
    """Read one document; the node is None when there is nothing to go on with."""
    problems: list[Problem] = []

    def problem(line: int, column: int, code: str, message: str, path: Path = ()) -> None:
        problems.append(Problem(file, line, column, show_path(path), code, message))

    if len(data) > MAX_BYTES:
        problem(1, 1, "too_large", f"the file has {len(data)} bytes; the most is {MAX_BYTES}")
        return None, problems
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        problem(*_place(before, len(before)), "yaml_syntax", "the file is not UTF-8 here")
        return None, problems
    for found in HIDDEN.finditer(text.replace("\r\n", " \n")):
        problem(*_place(text, found.start()), "hidden_character", _hidden_message(found[0]))
    text = HIDDEN.sub(" ", text.replace("\r\n", " \n"))
    try:
        return _Builder(file, problem).build(text), problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem(line, column, "yaml_syntax", f"not YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        problem(1, 1, "yaml_syntax", f"not YAML: {str(error).splitlines()[0]}")
    except _GiveUpError:
        pass
    return None, problems


class _GiveUpError(Exception):
    """Nothing below can be read; the reason is among the problems."""


class _Builder:
    """Builds nodes from libyaml's events: one pass, no recursion in the parser, positions for free."""

    def __init__(self, file: str, problem: Any) -> None:
        self.file = file
        self.problem = problem
        self.lines: list[str] = []

    def build(self, text: str) -> Node:
        self.lines = text.split("\n")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self.next: Callable[[], Any] = loader.get_event
        try:
            return self.document()
        finally:
            loader.dispose()

    def document(self) -> Node:
        self.next()
        event = self.next()
        if isinstance(event, yaml.StreamEndEvent):
            self.problem(1, 1, "empty_file", "the file is empty; it begins with `linkspan: 1`")
            raise _GiveUpError
        node = self.node(self.next(), ())
        self.next()
        after = self.next()
        if isinstance(after, yaml.DocumentStartEvent):
            line, column = _start(after)
            self.problem(line, column, "yaml_syntax", "a file holds one YAML document")
            raise _GiveUpError
        return node

    def node(self, event: Any, path: Path) -> Node:
        line, column = _start(event)
        kind = event.__class__
        if kind is yaml.AliasEvent:
            self.problem(line, column, "alias", "aliases (*name) are not used here; write it out", path)
            return Node(None, self.file, line, column)
        if event.anchor is not None or event.tag is not None:
            self.decorated(event, line, column, path)
        if len(path) >= MAX_DEPTH:
            self.problem(line, column, "too_deep", f"more than {MAX_DEPTH} levels deep", path)
            raise _GiveUpError
        if kind is yaml.ScalarEvent:
            return self.scalar(event, line, column, path)
        if kind is yaml.SequenceStartEvent:
            items: list[Node] = []
            while (below := self.next()).__class__ is not yaml.SequenceEndEvent:
                items.append(self.node(below, (*path, len(items))))
            return Node([], self.file, line, column, children=items)
        return self.mapping(line, column, path)

    def decorated(self, event: Any, line: int, column: int, path: Path) -> None:
        """Tell an anchor and a tag, of a value or of a key."""
        if event.anchor is not None:
            self.problem(line, column, "alias", "anchors (&name) are not used here; write it out", path)
        if event.tag is not None:
            self.problem(line, column, "tag", f"tags ({event.tag}) are not used here", path)

    def mapping(self, line: int, column: int, path: Path) -> Node:
        children: dict[str, Node] = {}
        node = Node({}, self.file, line, column, children=children)
        while (event := self.next()).__class__ is not yaml.MappingEndEvent:
            key_line, key_column = _start(event)
            if event.__class__ is not yaml.ScalarEvent:
                self.problem(key_line, key_column, "wrong_type", "a key is a plain word", path)
                self.node(event, path)
                self.node(self.next(), path)
                continue
            key = event.value
            here = (*path, key)
            if event.anchor is not None or event.tag is not None:
                self.decorated(event, key_line, key_column, here)
            self.look_for_hidden(key, key_line, key_column, here)
            below = self.node(self.next(), here)
            if key in children:
                first = node.keys[key]
                message = f"the key {key!r} stands here twice; first on line {first[1]}"
                self.problem(key_line, key_column, "duplicate_key", message, here)
                continue
            node.keys[key] = (self.file, key_line, key_column)
            children[key] = below
        return node

    def look_for_hidden(self, text: str, line: int, column: int, path: Path) -> None:
        """Tell what only an escape of YAML brings in; what stands in the file itself is told already."""
        if not (text.isascii() and text.isprintable()) and (found := HIDDEN.search(text)):
            self.problem(line, column, "hidden_character", _hidden_message(found[0]), path)

    def scalar(self, event: Any, line: int, column: int, path: Path) -> Node:
        text = event.value
        self.look_for_hidden(text, line, column, path)
        plain = event.implicit[0]
        start, end = event.start_mark, event.end_mark
        quotes = 0 if plain else 1
        literal = start.line == end.line and end.column - start.column - 2 * quotes == len(text)
        value = resolve(text) if plain else text
        rows = self.rows(text, line) if event.style == "|" else ()
        return Node(value, self.file, line, column, offset=column + quotes if literal else None, rows=rows)

    def rows(self, text: str, line: int) -> tuple[tuple[int, int], ...]:
        """Answer where the lines of a literal block begin; `line` is the one of its `|`."""
        written = self.lines[line : line + text.count("\n") + 1]
        return tuple(
            (line + number, len(raw) - len(row) + 1 if raw.endswith(row) else 1)
            for number, (raw, row) in enumerate(zip(written, text.split("\n"), strict=False), start=1)
        )


def resolve(text: str) -> Any:
    """Answer what a plain scalar means in the core schema of YAML 1.2 (§10.3.2); else the text itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    return text


def _start(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _hidden_message(character: str) -> str:
    return f"the invisible character U+{ord(character):04X} is not allowed"
