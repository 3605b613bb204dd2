"""What a run said of somebody's change, as a review to give: comments only, all of it filtered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from linkspan.errors import InvalidArgument
from linkspan.text.outgoing import Outgoing

Json = dict[str, Any]
_MOST_COMMENTS: Final = 50
_LONGEST_COMMENT: Final = 4_000
_LONGEST_BODY: Final = 30_000
_SIDES: Final = ("LEFT", "RIGHT")
_TICKS: Final = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Review:
    """A review: what it says of the whole, and at lines."""

    event: str
    """comment | request_changes. Approving is for people."""
    body: str = field(repr=False)
    comments: list[Json] = field(default_factory=list)

    def without_lines(self) -> Review:
        """Answer the same in one text, for a change that does not have these lines."""
        said = "\n\n".join(f"**{each['path']}:{each['line']}**\n\n{each['body']}" for each in self.comments)
        head, rule, ending = self.body.rpartition("\n\n---\n")
        return replace(self, body=f"{head}\n\n{said}{rule}{ending}".lstrip(), comments=[])


def read_review(output: Any, words: Outgoing, ending: str) -> Review:
    """Read what a recipe's `output` asked for: `summary`, `event`, and `comments` at lines.

    A comment has `path`, `line` and `body`, and may have `side`, `start_line`, `title` and a `suggestion`,
    which takes the lines' place. Comments that name no line are left out. Raises `InvalidArgument` when there
    is nothing to say at all.
    """
    told = output if isinstance(output, dict) else {"summary": output}
    summary = words.text(str(told.get("summary") or told.get("body") or ""), _LONGEST_BODY)
    comments = list(_comments(told.get("comments") or told.get("findings") or [], words))
    if not summary and not comments:
        raise InvalidArgument("The run said nothing that could be given as a review")
    event = "request_changes" if told.get("event") == "request_changes" else "comment"
    return Review(event, f"{summary}\n\n---\n{ending}".lstrip(), comments)


def _comments(told: Any, words: Outgoing) -> Iterator[Json]:
    for each in told[:_MOST_COMMENTS] if isinstance(told, list) else ():
        path, line = (each.get("path"), each.get("line")) if isinstance(each, dict) else (None, None)
        if not isinstance(path, str) or not path or type(line) is not int or line < 1:
            continue
        title = words.line(str(each.get("title") or ""), 200)
        parts = [f"**{title}**" if title else "", words.text(str(each.get("body") or ""), _LONGEST_COMMENT)]
        if isinstance(each.get("suggestion"), str):
            parts.append(_suggestion(words.code(each["suggestion"], _LONGEST_COMMENT)))
        body = "\n\n".join(part for part in parts if part)
        if not body:
            continue
        side = each.get("side") if each.get("side") in _SIDES else "RIGHT"
        comment: Json = {"path": path, "line": line, "side": side, "body": body}
        start = each.get("start_line")
        if type(start) is int and 0 < start < line:
            comment |= {"start_line": start, "start_side": side}
        yield comment


def _suggestion(code: str) -> str:
    """Put code where a forge offers to take it over, in a fence that it cannot end itself."""
    longest = max((len(ticks) for ticks in _TICKS.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}suggestion\n{code.rstrip()}\n{fence}"
