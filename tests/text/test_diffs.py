"""Patches of forges, read: lines with their numbers on both sides."""

from __future__ import annotations

from linkspan.text.diffs import added, hunks_of, numbered

PATCH = """@@ -1,3 +1,4 @@ def total():
 a
-b
+B
+c
 d
@@ -10 +11,0 @@
-gone
\\ No newline at end of file"""


def test_each_line_has_its_numbers() -> None:
    """Of the side or the sides that it is on; what is no line of a hunk counts for nothing."""
    first, second = hunks_of(PATCH)
    assert [(line.kind, line.old, line.new) for line in first.lines] == [
        (" ", 1, 1),
        ("-", 2, None),
        ("+", None, 2),
        ("+", None, 3),
        (" ", 3, 4),
    ]
    assert first.heading == "def total():"
    assert (first.numbers("LEFT"), first.numbers("RIGHT")) == ([1, 2, 3], [1, 2, 3, 4])
    assert (second.numbers("LEFT"), second.numbers("RIGHT")) == ([10], [])


def test_what_is_new_is_told_as_ranges() -> None:
    """Of the new side, lines that follow each other together."""
    assert added(hunks_of(PATCH)) == [(2, 3)]
    assert added(hunks_of("@@ -0,0 +1,2 @@\n+a\n+b\n@@ -5,0 +8 @@\n+c")) == [(1, 2), (8, 8)]


def test_a_model_reads_the_numbers_before_the_lines() -> None:
    """Old, new, mark and text; a line on one side has one number."""
    assert numbered(hunks_of(PATCH)).splitlines() == [
        "@@ def total():",
        "     1      1  a",
        "     2        -b",
        "            2 +B",
        "            3 +c",
        "     3      4  d",
        "@@",
        "    10        -gone",
    ]


def test_what_is_no_patch_has_no_lines() -> None:
    """Nothing, words, or a head alone."""
    assert hunks_of("") == hunks_of("Binary files differ") == ()
    assert hunks_of("+++ b/x\n--- a/x") == ()
