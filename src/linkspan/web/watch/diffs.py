"""A unified diff as it is shown: by file, with line numbers and the colours of its words.

Colours are guessed from what most languages have in common: strings, comments, numbers and some words. It is
text for reading; nothing of it is ever trusted, and every piece is escaped on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup, escape

from linkspan.web.pages import visible

MOST_LINES: Final = 20_000
"""Lines of a change that a page has; what is left is said, and is in the file to load."""
_LONGEST_LINE: Final = 2_000
_MODES: Final = {"100755": "executable", "120000": "a link", "160000": "a submodule"}
"""git's modes of what is no plain file."""
_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORDS: Final = frozenset(
    """
    abstract and as assert async await begin break case catch class const continue def default defer del do
    elif else elsif end enum except export extends extern false finally fn for foreach from func function
    global go if impl implements import in include instanceof interface is lambda let loop match module mut
    namespace new nil none not null or package pass private protected public pub raise readonly require
    rescue return select self static struct super switch template then this throw throws trait true try
    type typeof union unless until use using val var void when where while with yield None True False
    """.split()  # noqa: SIM905 (a list of them is read by nobody)
)
_TOKEN: Final = re.compile(
    r"(?P<s>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)"
    r"|(?P<c>(?:(?<=\s)|^)(?:#|//|--\s|;;).*$|/\*.*?\*/|<!--.*?-->)"
    r"|(?P<k>[^\W\d]\w*)"
    r"|(?P<n>\d[\w.]*)"
)
"""Words are taken whole and looked up: a pattern of all of them is six times slower."""


@dataclass(slots=True)
class FileChange:
    """What a change does to one file."""

    path: str
    before: str | None = None
    """Its former name, where it has another one now."""
    kind: str = "edit"
    """add, delete, rename or edit."""
    additions: int = 0
    deletions: int = 0
    binary: bool = False
    mode: str = ""
    """What it is beside its text, or is not any more."""
    raw: list[tuple[str, str, int]] = field(default_factory=list, repr=False)
    """Its lines as they are: the sign, the whole line, and its number."""

    @property
    def lines(self) -> list[Markup]:
        """Its lines as they are shown, which takes a while for thousands of them."""
        return [_line(*each) for each in self.raw]


def files_of(diff: str, *, most: int = MOST_LINES) -> tuple[list[FileChange], int]:
    """Answer the files of a diff, and how many lines are not shown of it.

    Whatever comes before the first file, and lines that no diff has, are left out.
    """
    found: list[FileChange] = []
    shown = left = old = new = 0
    inside = False
    for line in diff.removesuffix("\n").split("\n"):  # as git ends them: a change may hold any other mark
        if line.startswith("diff --git "):
            found.append(FileChange(_named(line)))
            inside = False
            continue
        if not found:
            continue
        file = found[-1]
        hunk = _HUNK.match(line)
        if hunk is not None:
            old, new, inside = int(hunk[1]), int(hunk[2]), True
        elif not inside:
            _about(file, line)
            continue
        sign = "@" if hunk is not None else line[:1]
        file.additions += sign == "+"
        file.deletions += sign == "-"
        if shown >= most:
            left += 1
        else:
            shown += 1
            file.raw.append((sign, line, new if sign in "+ " else old))
        old += sign in "- "
        new += sign in "+ "
    return found, left


def _named(line: str) -> str:
    """Answer the path of `diff --git a/PATH b/PATH`; both halves are alike where it is not renamed."""
    rest = line.removeprefix("diff --git ")
    half = len(rest) // 2
    return rest[half + 1 :].removeprefix("b/") if rest[2:half] == rest[half + 3 :] else rest


def _about(file: FileChange, line: str) -> None:
    word, _, rest = line.partition(" ")
    if line.startswith("new file"):
        file.kind, file.mode = "add", _MODES.get(line.removeprefix("new file mode "), "")
    elif line.startswith("deleted file"):
        file.kind, file.mode = "delete", _MODES.get(line.removeprefix("deleted file mode "), "")
    elif word == "index" and line.endswith((" 120000", " 160000")):
        file.mode = _MODES[line[-6:]]
    elif line.startswith("old mode "):
        file.mode = _MODES.get(line.removeprefix("old mode "), "")
    elif line.startswith("new mode "):
        now = _MODES.get(line.removeprefix("new mode "), "")
        file.mode = now or (f"not {file.mode} any more" if file.mode else "")
    elif line.startswith("rename from "):
        file.kind, file.before = "rename", line.removeprefix("rename from ")
    elif line.startswith("rename to "):
        file.path = line.removeprefix("rename to ")
    elif word in ("Binary", "GIT"):
        file.binary = True
    elif word == "+++" and rest.startswith("b/"):
        file.path = rest.removeprefix("b/")


def _line(sign: str, line: str, number: int) -> Markup:
    line = line.removesuffix("\r")
    cut = len(line) - _LONGEST_LINE
    more = f"… ({cut} more characters are in the file to load)" if cut > 0 else ""
    if sign == "@":
        return _markup(f'<span class="l h">{escape(visible(line[:_LONGEST_LINE]))}{more}\n</span>')
    kind = {"+": "a", "-": "d"}.get(sign, "")
    text = "".join(_coloured(line[1:_LONGEST_LINE])) + more
    return _markup(f'<span class="l {kind}" data-n="{number}">{escape(sign or " ")}{text}\n</span>')


def _coloured(text: str) -> Iterator[str]:
    """Answer pieces of it, each escaped by itself."""
    at = 0
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup, match[0]
        if kind == "k" and found not in _WORDS:
            continue
        yield escape(visible(text[at : match.start()]))
        yield f"<i class={kind}>{escape(visible(found))}</i>"
        at = match.end()
    yield escape(visible(text[at:]))


def _markup(text: str) -> Markup:
    return Markup(text)  # noqa: S704 (each piece of it is escaped)
