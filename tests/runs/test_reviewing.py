"""Findings of a model become comments where a forge takes them, and are not said twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from linkspan.errors import InvalidArgument
from linkspan.runs.reviewing import Review, read_review
from linkspan.runs.subject import FileChange, Subject, Thread
from linkspan.text.outgoing import Outgoing

WORDS = Outgoing(lambda text: text)
PATCH = "@@ -10,3 +10,4 @@\n a\n-b\n+B\n+c\n d\n@@ -30,2 +31,2 @@\n x\n-y\n+Y"
SUBJECT = Subject(
    id="acme/shop#1",
    repository="acme/shop",
    base="main",
    head_sha="f" * 40,
    files=(
        FileChange("cart.py", "renamed", "basket.py", PATCH),
        FileChange("logo.png", "modified"),
    ),
)


def finding(line: int, **more: Any) -> dict[str, Any]:
    return {"path": "cart.py", "line": line, "body": "Why?", **more}


def read(*findings: Any, subject: Subject | None = SUBJECT, may_approve: bool = False, **more: Any) -> Review:
    told = {"summary": "So.", "findings": list(findings), **more}
    review = read_review(told, WORDS, "END", subject, may_approve=may_approve)
    assert review is not None
    return review


@pytest.mark.parametrize(
    ("given", "placed"),
    [
        ({"line": 11}, {"line": 11, "side": "RIGHT"}),
        (
            {"line": 12, "start_line": 11},
            {"line": 12, "side": "RIGHT", "start_line": 11, "start_side": "RIGHT"},
        ),
        ({"line": 11, "side": "LEFT"}, {"line": 11, "side": "LEFT"}),
        ({"line": 11, "path": "basket.py"}, {"line": 11, "side": "RIGHT"}),
        ({"line": 11, "path": "./cart.py"}, {"line": 11, "side": "RIGHT"}),
        (
            {"line": 11, "start_line": 2},
            {"line": 11, "side": "RIGHT", "start_line": 10, "start_side": "RIGHT"},
        ),
        ({"line": 25, "start_line": 13}, {"line": 13, "side": "RIGHT"}),
        (
            {"line": 32, "start_line": 12},
            {"line": 13, "side": "RIGHT", "start_line": 12, "start_side": "RIGHT"},
        ),
        ({"line": 11, "start_line": 99}, {"line": 11, "side": "RIGHT"}),
    ],
)
def test_a_finding_stands_at_lines_that_the_change_has(given: dict[str, Any], placed: dict[str, Any]) -> None:
    """One line or several of one hunk, on either side, by the file's new or old name."""
    (comment,) = read(finding(**given)).comments
    assert comment == {"path": "cart.py", **placed, "body": "Why?"}


@pytest.mark.parametrize(
    "given", [{"line": 20}, {"line": 33}, {"line": 11, "path": "other.py"}, {"line": 1, "path": "logo.png"}]
)
def test_what_is_outside_stands_in_the_text(given: dict[str, Any]) -> None:
    """With its place, and its suggestion as code alone."""
    review = read(finding(**given, suggestion="x"))
    assert review.comments == []
    place = f"**{given.get('path', 'cart.py')}:{given['line']}**"
    assert f"### Outside of the changed lines\n\n{place}\n\nWhy?\n\n```\nx\n```" in review.body


def test_a_path_that_is_none_is_words() -> None:
    """A model may take it from a stranger, and nothing says that there is such a file."""
    review = read(finding(1, path="[Approve](https://evil.example/x) @ada"))
    assert "**Approve (evil.example/x) @ ada:1**" in review.body


@pytest.mark.parametrize(
    ("more", "word"), [({}, "suggestion"), ({"side": "LEFT"}, ""), ({"start_line": 2}, "")]
)
def test_a_suggestion_takes_the_place_of_its_own_lines_only(more: dict[str, Any], word: str) -> None:
    """Of the new file, and not of lines that it was cut to; its fence holds whatever is in it."""
    (comment,) = read(finding(11, suggestion="a = '```'\n", **more)).comments
    assert comment["body"] == f"Why?\n\n````{word}\na = '```'\n````"


def test_nothing_is_said_twice() -> None:
    """Neither the same words in the same file, nor anything at a line whose thread was resolved."""
    threads = (
        Thread("cart.py", None, "RIGHT", False, ("**Float**\n\nWhy, indeed?",)),
        Thread("cart.py", 12, "RIGHT", True, ("Settled.",)),
        Thread("cart.py", 13, "RIGHT", False, ("Somebody's thought.",), ("ada",)),
    )
    subject = replace(SUBJECT, threads=threads)
    review = read(
        finding(31, title="Float", body="Why, indeed?"),
        finding(12, body="A new thought."),
        finding(13, body="Another thought."),
        subject=subject,
    )
    assert [each["line"] for each in review.comments] == [13]


def test_of_what_was_reviewed_before_only_what_is_new_is_spoken_of() -> None:
    """Lines that came since; with nothing to say of them there is no review, approving aside."""
    fresh = (FileChange("cart.py", "modified", None, "@@ -10,2 +10,3 @@\n a\n B\n+c"),)
    subject = replace(SUBJECT, since="e" * 40, fresh=fresh)
    review = read(finding(12), finding(11), finding(11, side="LEFT"), finding(99), subject=subject)
    assert [each["line"] for each in review.comments] == [12]
    assert "Outside" not in review.body
    for event in ("comment", "request_changes", "approve"):
        told = {"summary": "So.", "event": event, "findings": [finding(11)]}
        assert read_review(told, WORDS, "END", subject) is None
    approved = read_review({"summary": "Good.", "event": "approve"}, WORDS, "END", subject, may_approve=True)
    assert approved is not None
    assert approved.event == "approve"


@pytest.mark.parametrize(
    ("event", "may_approve", "given"),
    [
        ("approve", False, "comment"),
        ("approve", True, "approve"),
        ("request_changes", False, "request_changes"),
        ("merge", True, "comment"),
        (["approve"], True, "comment"),
    ],
)
def test_it_approves_only_when_it_may(event: Any, may_approve: bool, given: str) -> None:
    """Whatever the model says."""
    assert read(event=event, may_approve=may_approve).event == given


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"summary": " "},
        {"findings": [{"path": "a", "line": 0, "body": "x"}, {"line": 1}, "x", None]},
        None,
        7.0,
    ],
)
def test_nothing_to_say_is_no_review(told: Any) -> None:
    """Findings without a place count for nothing; a number is words."""
    if told == 7.0:
        assert read_review(told, WORDS, "END") is not None
        return
    with pytest.raises(InvalidArgument):
        read_review(told if told is not None else {"summary": None}, WORDS, "END", SUBJECT)


def test_a_subject_is_kept_and_read_again() -> None:
    """As plain data, with everything in it."""
    thread = Thread("cart.py", 3, "LEFT", True, ("a", "b"), ("ada", "bo"), 2)
    subject = replace(SUBJECT, threads=(thread,), since="e" * 40, fresh=SUBJECT.files)
    assert Subject.load(subject.dump()) == subject
