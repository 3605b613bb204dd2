"""Collects every mistake with its place, and finds the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from linkspan.errors import Problem
from linkspan.spec.yaml import Node, Path, show_path

CODES: Final[Mapping[str, str]] = {
    "alias": "YAML anchors and aliases are not used here; write the text out.",
    "bad_annotation": "A hint that contradicts what `kind` says.",
    "bad_base64": "`data` is not Base64.",
    "bad_base_url": "A base URL that is none, or whose host a setting would choose.",
    "bad_content": "A content block or resource is exactly one of its kinds.",
    "bad_enum": "A word that is none of those that may stand there.",
    "bad_expression": "Not JMESPath, too long, too deep, an unknown function, or a name that is not there.",
    "bad_graphql": "A GraphQL document that cannot be sent, or whose variables nothing fills.",
    "bad_header": "A header's name or value that cannot be sent, or is set elsewhere.",
    "bad_identity": "An identity that cannot be made, or cannot be taken apart again.",
    "bad_kind": "A `kind` that the method forbids, or that differs between connectors.",
    "bad_name": "A name that is not lower case letters, digits and `_`, or that is taken.",
    "bad_pattern": "Not a regular expression.",
    "bad_placeholder": "A `{` or `}` that stands alone.",
    "bad_reference": "A text that begins with `$` and is no reference; `$$` is a dollar.",
    "bad_request": "Not a method and a path, or a path that cannot be sent as it is.",
    "bad_schema": "A JSON Schema that cannot describe arguments or a form.",
    "bad_template": "A text with `{{ }}` that names what it may not, or that cannot be read.",
    "bad_tool_name": "A tool's name is 1 to 64 of `a-z`, `0-9` and `_`.",
    "bad_uri": "A declared resource needs a URI of its own.",
    "bad_value": "A value of the right type that makes no sense there.",
    "bad_variable": "`${…}` holds no variable's name.",
    "conflict": "Two words that exclude each other.",
    "duplicate_auth": "One type of credential twice.",
    "duplicate_key": "A key that stands there twice, or in two files.",
    "duplicate_tool": "Two tools with one name.",
    "empty_file": "There is nothing in the file.",
    "hidden_character": "A control, zero-width or bidirectional character.",
    "impossible_pager": "A pagination that cannot work.",
    "missing_argument": "An operation does not send what its name promises.",
    "missing_default": "An optional parameter in a path has no default.",
    "missing_description": "An operation of your own needs a description.",
    "missing_key": "A word that must be there is not.",
    "missing_kind": "The method says one kind and the operation's name another; `kind` decides.",
    "missing_variable": "The environment has no such variable.",
    "name_not_described": "A word of the tool's name is not in its description, so a search misses it.",
    "no_price": "A budget of money where a price is missing, so that it would bound nothing.",
    "not_an_enum": "`values`, `write` or `raw` for a field without fixed words.",
    "reserved_argument": "`id`, `cursor`, `limit`, `account` and `dry_run` mean the same everywhere.",
    "schema_too_large": "A tool's schema has more than 5,000 bytes; Codex drops all descriptions then.",
    "secret_in_form": "A form that asks the person for a password, key, secret or token.",
    "tag": "YAML tags are not used here.",
    "too_deep": "More than 64 levels of YAML.",
    "too_large": "The file is too large.",
    "undeclared_argument": "A `$reference` to what is neither parameter nor field nor an earlier step.",
    "undeclared_placeholder": "The same for a `{placeholder}`.",
    "unknown_connector": "No connector has this name.",
    "unknown_entity": "No entity of this connector has this name.",
    "unknown_event": "The connector tells no such event.",
    "unknown_field": "The entity has no such field.",
    "unknown_key": "There is no such word at this place.",
    "unknown_operation": "No entity has this operation.",
    "unknown_model": "There is no such built-in model.",
    "unknown_setting": "The connector has no such setting.",
    "unreadable": "The file cannot be read.",
    "unused_parameter": "A parameter that is used nowhere.",
    "weak_instructions": "The first 250 characters of the instructions name no tool and say nothing to do.",
    "wrong_type": "Text, number, list or mapping where another was meant.",
    "yaml_syntax": "Not YAML.",
}
"""The closed list of what can be wrong; docs/tools-yaml/README.md shows it."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Answer the word that was probably meant."""
    known = list(words)
    lowered = {known_word.lower(): known_word for known_word in known}
    lowered.pop(word.lower(), None)
    found = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


class Problems:
    """The mistakes of one file set. `at` decides between the place of a key and that of its value."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.found: list[Problem] = []
        self.broken: set[Path] = set()

    def add(
        self,
        path: Path,
        code: str,
        message: str,
        *,
        words: Iterable[str] | None = None,
        word: str | None = None,
        key: bool = False,
        offset: int = 0,
        row: int = 0,
    ) -> None:
        """Tell one mistake at a path.

        `key` points at the key instead of the value; a path that does not exist points at the nearest key
        above it. `offset` is how many characters into the text the mistake is, in its line `row`. `words` are
        what would have been right in place of `word`.
        """
        if self.is_suppressed(path):
            return
        suggestion = nearest(word, words) if word is not None and words is not None else None
        file, line, column = self.place(path, key=key, offset=offset, row=row)
        problem = Problem(file, line, column, show_path(path), code, message, suggestion)
        if problem not in self.found:
            self.found.append(problem)

    def place(self, path: Path, *, key: bool = False, offset: int = 0, row: int = 0) -> tuple[str, int, int]:
        """Answer file, line and column of what stands at a path."""
        node, depth = self.root.find(path)
        if depth < len(path) or key:
            parent, _ = self.root.find(path[: depth - 1] if depth else ())
            last = path[depth - 1] if depth else None
            if isinstance(last, str) and last in parent.keys:
                return parent.keys[last]
            return node.file, node.line, node.column
        if row < len(node.rows):
            line, column = node.rows[row]
            return node.file, line, column + offset
        if offset and node.offset is not None and not row:
            return node.file, node.line, node.offset + offset
        return node.file, node.line, node.column

    def break_(self, unit: Path) -> None:
        """Say that a part has a mistake of form: what follows from it there is not told as well."""
        self.broken.add(unit)

    def has_below(self, path: Path, codes: Iterable[str]) -> bool:
        """Tell whether one of these mistakes was told of a part."""
        shown, wanted = show_path(path), set(codes)
        return any(
            one.code in wanted and (one.path == shown or one.path.startswith((f"{shown}.", f"{shown}[")))
            for one in self.found
        )

    def is_suppressed(self, path: Path) -> bool:
        """Tell whether a place lies in a part whose form is already known to be wrong."""
        return any(path[: len(unit)] == unit for unit in self.broken)
