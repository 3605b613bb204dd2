"""What a run said of somebody's change, as a review: each finding where a forge takes it, all filtered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from linkspan.errors import InvalidArgument
from linkspan.runs.subject import Subject
from linkspan.text.diffs import Side
from linkspan.text.outgoing import Outgoing

Json = dict[str, Any]
_MOST_COMMENTS: Final = 50
_MOST_BESIDE: Final = 20
_LONGEST_COMMENT: Final = 4_000
_LONGEST_BODY: Final = 30_000
_SIDES: Final = ("LEFT", "RIGHT")
_EVENTS: Final = ("request_changes", "approve")
_TICKS: Final = re.compile(r"`+")
_MARKS: Final = re.compile(r"\W+")
_SAME_WORDS: Final = 60
"""Letters by which two comments are the same: models end one thought in many ways."""


@dataclass(frozen=True, slots=True)
class Review:
    """A review: what it says of the whole, and at lines."""

    event: str
    """comment | request_changes | approve; approving is for people unless the recipe says otherwise."""
    body: str = field(repr=False)
    comments: list[Json] = field(default_factory=list)

    def without_lines(self) -> Review:
        """Answer the same in one text, for a change that does not have these lines."""
        said = "\n\n".join(_beside(each) for each in self.comments)
        head, rule, ending = self.body.rpartition("\n\n---\n")
        return replace(self, body=f"{head}\n\n{said}{rule}{ending}".lstrip(), comments=[])

    def as_comment(self) -> Review:
        """Answer the same without a judgement: a forge takes none of who made the change."""
        return replace(self, event="comment")


@dataclass(frozen=True, slots=True)
class _Finding:
    """Something that is wrong at lines of a file."""

    path: str
    line: int
    start: int
    side: Side
    body: str
    suggestion: str | None

    def comment(self, *, suggests: bool = True) -> Json:
        parts = [self.body]
        if self.suggestion is not None:
            word = "suggestion" if suggests and self.side == "RIGHT" else ""
            parts.append(_fenced(self.suggestion, word))
        made: Json = {"path": self.path, "line": self.line, "side": self.side}
        if self.start < self.line:
            made |= {"start_line": self.start, "start_side": self.side}
        return {**made, "body": "\n\n".join(part for part in parts if part)}


def read_review(
    output: Any, words: Outgoing, ending: str, subject: Subject | None = None, *, may_approve: bool = False
) -> Review | None:
    """Read what a recipe's `output` asked for: `summary`, `event`, and `findings` at lines.

    A finding has `path`, `line` and `body`, and may have `side`, `start_line`, `title`, `severity` and a
    `suggestion`, which takes the lines' place. With a subject each is put where the forge takes it: at lines
    of the change, or, when it is outside of them, in the text. What was said there before is not said again,
    and of a pull request that was reviewed before only what is new is spoken of.

    None when it was, and nothing is left to say. Findings without a line are left out. Raises
    `InvalidArgument` when there is nothing to say at all.
    """
    told = output if isinstance(output, dict) else {"summary": output}
    summary = words.said(str(told.get("summary") or told.get("body") or ""), _LONGEST_BODY)
    findings = list(_findings(told.get("findings") or told.get("comments") or [], words))
    unplaced: tuple[list[Json], list[Json]] = ([finding.comment() for finding in findings], [])
    comments, beside = _placed(findings, subject) if subject else unplaced
    event = str(told.get("event")) if told.get("event") in _EVENTS else "comment"
    if event == "approve" and not may_approve:
        event = "comment"
    if subject is not None and subject.since is not None and not comments and event != "approve":
        return None
    if not summary and not comments and not beside:
        raise InvalidArgument("The run said nothing that could be given as a review")
    if beside:
        said = "\n\n".join(_beside(each) for each in beside[:_MOST_BESIDE])
        summary = f"{summary}\n\n### Outside of the changed lines\n\n{said}".lstrip()
    return Review(event, f"{summary}\n\n---\n{ending}".lstrip(), comments)


def _findings(told: Any, words: Outgoing) -> Iterator[_Finding]:
    for each in told[:_MOST_COMMENTS] if isinstance(told, list) else ():
        path, line = (each.get("path"), each.get("line")) if isinstance(each, dict) else (None, None)
        if not isinstance(path, str) or not path or type(line) is not int or line < 1:
            continue
        title = words.line(str(each.get("title") or ""), 200)
        severity = words.line(str(each.get("severity") or ""), 20)
        head = f"**{f'{severity}: ' if severity else ''}{title}**" if title else ""
        text = words.said(str(each.get("body") or ""), _LONGEST_COMMENT)
        body = "\n\n".join(part for part in (head, text) if part)
        suggestion = each.get("suggestion")
        code = words.code(suggestion, _LONGEST_COMMENT) if isinstance(suggestion, str) else None
        if not body and code is None:
            continue
        start = each.get("start_line")
        start = start if type(start) is int and 0 < start < line else line
        side = cast("Side", each.get("side") if each.get("side") in _SIDES else "RIGHT")
        yield _Finding(path.removeprefix("./"), line, start, side, body, code)


def _placed(findings: list[_Finding], subject: Subject) -> tuple[list[Json], list[Json]]:
    """Answer comments at lines of the change, and those for which it has no lines."""
    comments: list[Json] = []
    beside: list[Json] = []
    for finding in findings:
        file = subject.file(finding.path)
        named = replace(finding, path=file.path) if file else finding
        if _was_said(named, subject):
            continue
        placed = _within(named, subject)
        if placed is None:
            if subject.since is None:
                beside.append(named.comment(suggests=False))
            continue
        if placed.side == "RIGHT" and not subject.is_fresh(placed.path, placed.start, placed.line):
            continue
        if placed.side == "LEFT" and subject.since is not None:
            continue  # which lines went away since cannot be told by their numbers
        comments.append(placed.comment(suggests=(placed.start, placed.line) == (named.start, named.line)))
    return comments, beside


def _within(finding: _Finding, subject: Subject) -> _Finding | None:
    """Answer a finding at lines of one hunk: its own, or as many of them as the hunk has."""
    file = subject.file(finding.path)
    for hunk in file.hunks if file else ():
        numbers = hunk.numbers(finding.side)
        if not numbers:
            continue
        start, line = max(finding.start, numbers[0]), min(finding.line, numbers[-1])
        if start <= line:
            return replace(finding, start=start, line=line)
    return None


def _was_said(finding: _Finding, subject: Subject) -> bool:
    """Tell whether a thread says the same, or one was settled at that very line.

    An open thread of somebody else at the line does not keep another thought from being said.
    """
    words = _words(finding.body)
    for thread in subject.threads:
        if thread.path != finding.path:
            continue
        if any(_words(text) == words for text in thread.texts):
            return True
        if thread.resolved and thread.covers(finding.path, finding.side, finding.line):
            return True
    return False


def _words(text: str) -> str:
    return _MARKS.sub("", text.lower())[:_SAME_WORDS]


def _beside(comment: Json) -> str:
    start = comment.get("start_line")
    lines = comment["line"] if start is None else f"{start}-{comment['line']}"
    return f"**{Outgoing(str).plain(comment['path'])}:{lines}**\n\n{comment['body']}"


def _fenced(code: str, word: str) -> str:
    """Put code where a forge offers to take it over, in a fence that it cannot end itself."""
    longest = max((len(ticks) for ticks in _TICKS.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{word}\n{code.rstrip()}\n{fence}"
