"""Unified diffs, read: which lines a change has on each side, and the same with numbers for a model.

A patch is what forges tell of one file: hunks, without the two lines that name the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

Side = Literal["LEFT", "RIGHT"]
"""The file as it was, or as it is to be."""
_HEAD: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk, with its number on each side where it is there."""

    kind: Literal[" ", "+", "-"]
    old: int | None
    new: int | None
    text: str = field(repr=False)

    def number(self, side: Side) -> int | None:
        """Answer its number on a side."""
        return self.old if side == "LEFT" else self.new


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that stand together."""

    heading: str
    lines: tuple[Line, ...]

    def numbers(self, side: Side) -> list[int]:
        """Answer the numbers of its lines on a side, in order and without a gap."""
        return [number for line in self.lines if (number := line.number(side)) is not None]


def hunks_of(patch: str) -> tuple[Hunk, ...]:
    """Read a patch; what stands before its first hunk is left out."""
    found: list[Hunk] = []
    lines: list[Line] = []
    old = new = 0
    for text in patch.split("\n"):
        head = _HEAD.match(text)
        if head is not None:
            lines = []
            found.append(Hunk(head[3].strip(), ()))
            old, new = int(head[1]), int(head[2])
        elif found and text[:1] in ("+", "-", " "):
            mark = text[0]
            was, now = (None if mark == "+" else old), (None if mark == "-" else new)
            lines.append(Line(mark, was, now, text[1:]))  # type: ignore[arg-type]  # one of the three
            old, new = old + (mark != "+"), new + (mark != "-")
        else:
            continue
        found[-1] = Hunk(found[-1].heading, tuple(lines))
    return tuple(found)


def numbered(hunks: tuple[Hunk, ...]) -> str:
    """Answer hunks with the number of each line before it: of the old side, then of the new one."""
    parts = []
    for hunk in hunks:
        parts.append(f"@@ {hunk.heading}".rstrip())
        parts += [
            f"{'' if line.old is None else line.old:>6} {'' if line.new is None else line.new:>6} "
            f"{line.kind}{line.text}".rstrip()
            for line in hunk.lines
        ]
    return "\n".join(parts)


def added(hunks: tuple[Hunk, ...]) -> list[tuple[int, int]]:
    """Answer which lines are new, as ranges of the new side."""
    ranges: list[tuple[int, int]] = []
    for hunk in hunks:
        for line in hunk.lines:
            if line.kind == "+" and line.new is not None:
                if ranges and ranges[-1][1] == line.new - 1:
                    ranges[-1] = (ranges[-1][0], line.new)
                else:
                    ranges.append((line.new, line.new))
    return ranges
