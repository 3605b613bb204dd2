"""Collects every mistake with its place, and finds the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from linkspan.errors import Problem
from linkspan.spec.yaml import Node, Path, show_path


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
    ) -> None:
        """Tell one mistake at a path.

        `key` points at the key instead of the value; a path that does not exist points at the nearest key
        above it. `offset` is how many characters into the text the mistake is. `words` are what would have
        been right in place of `word`.
        """
        if self.is_suppressed(path):
            return
        suggestion = nearest(word, words) if word is not None and words is not None else None
        file, line, column = self.place(path, key=key, offset=offset)
        problem = Problem(file, line, column, show_path(path), code, message, suggestion)
        if problem not in self.found:
            self.found.append(problem)

    def place(self, path: Path, *, key: bool = False, offset: int = 0) -> tuple[str, int, int]:
        """Answer file, line and column of what stands at a path."""
        node, depth = self.root.find(path)
        if depth < len(path) or key:
            parent, _ = self.root.find(path[: depth - 1] if depth else ())
            last = path[depth - 1] if depth else None
            if isinstance(last, str) and last in parent.keys:
                return parent.keys[last]
            return node.file, node.line, node.column
        if offset and node.offset is not None:
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
