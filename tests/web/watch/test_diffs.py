"""A diff as it is shown."""

from __future__ import annotations

import pytest

from linkspan.web.watch.diffs import files_of

DIFF = """\
diff --git a/a.py b/a.py
index 1..2 100644
--- a/a.py
+++ b/a.py
@@ -1,2 +1,3 @@ def x():
 same
-x = '<b>'  # not <i>
+x = 1
+-- y
diff --git a/old name.txt b/new name.txt
similarity index 90%
rename from old name.txt
rename to new name.txt
diff --git a/p.png b/p.png
new file mode 100644
Binary files /dev/null and b/p.png differ
diff --git a/gone.py b/gone.py
deleted file mode 100644
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
--- a comment that looks like a header
"""


def test_files_are_named_and_counted() -> None:
    """Renamed, new, deleted and binary ones; a line that looks like a header is a line."""
    files, left = files_of(DIFF)
    assert [(f.path, f.before, f.kind, f.additions, f.deletions, f.binary) for f in files] == [
        ("a.py", None, "edit", 2, 1, False),
        ("new name.txt", "old name.txt", "rename", 0, 0, False),
        ("p.png", None, "add", 0, 0, True),
        ("gone.py", None, "delete", 0, 1, False),
    ]
    assert left == 0


def test_what_a_file_is_beside_its_text() -> None:
    """It becomes executable, or is no more; a link, new, changed or deleted, is no file with a path in it."""
    headers = {
        "old mode 100644\nnew mode 100755": "executable",
        "old mode 100755\nnew mode 100644": "not executable any more",
        "new file mode 100755": "executable",
        "new file mode 100644": "",
        "new file mode 120000": "a link",
        "deleted file mode 120000": "a link",
        "index 1..2 120000": "a link",
        "index 1..2 160000": "a submodule",
        "index 1..2 100755": "",
    }
    files, _left = files_of("".join(f"diff --git a/run b/run\n{header}\n" for header in headers))
    assert [each.mode for each in files] == list(headers.values())


def test_lines_are_numbered_coloured_and_escaped() -> None:
    """Each with its number in its own file; markup in them is text."""
    lines = files_of(DIFF)[0][0].lines
    assert lines[1] == '<span class="l " data-n="1"> same\n</span>'
    assert "<i class=s>&#39;&lt;b&gt;&#39;</i>" in lines[2]
    assert "<i class=c># not &lt;i&gt;</i>" in lines[2]
    assert lines[3].startswith('<span class="l a" data-n="2">+x = <i class=n>1</i>')


def test_there_is_an_end_to_it() -> None:
    """Lines beyond the bound are counted, also those of the sums."""
    files, left = files_of(DIFF, most=3)
    assert (sum(len(each.lines) for each in files), left) == (3, 4)
    assert (files[0].additions, files[3].deletions) == (2, 1)


@pytest.mark.parametrize("text", ["", "nonsense\n+x", "diff --git \n@@ x", "diff --git a b\n@@ -1 +1 @@\n"])
def test_what_is_no_diff_is_no_fault(text: str) -> None:
    """It shows what there is of it."""
    files_of(text)


def test_a_line_ends_where_git_ends_it() -> None:
    """Whatever else a change holds, no line of it is hidden, is another file's, or has another number."""
    marks = "\f\v\x1c\x1d\x1e\x85\u2028\u2029\r"
    bad = "".join(f"+# a{mark}diff --git a/README.md b/README.md{mark}@@ -1 +1 @@\n" for mark in marks)
    diff = f"diff --git a/pay.py b/pay.py\n@@ -1,2 +1,11 @@\n one\n{bad}+import os\r\n two\n"
    (file,), left = files_of(diff)
    assert (file.path, file.additions, file.deletions, left) == ("pay.py", len(marks) + 1, 0, 0)
    numbers = [number for _sign, _line, number in file.raw[1:]]
    assert numbers == list(range(1, len(marks) + 4))
    assert file.lines[-2] == '<span class="l a" data-n="11">+<i class=k>import</i> os\n</span>'


def test_what_nobody_sees_is_shown() -> None:
    """What turns the direction of writing or has no width, and how far a line goes on."""
    text = "+" + "a" * 2_500 + "\n+if admin\u202e: '\u2066ok' # \u200b\n"
    (file,), _left = files_of(f"diff --git a/a b/a\n@@ -0,0 +1,2 @@ \u202d\n{text}")
    heading, long, turned = file.lines
    assert "@@ &lt;U+202D&gt;" in heading
    assert "a… (501 more characters are in the file to load)\n" in long
    assert "admin&lt;U+202E&gt;: <i class=s>&#39;&lt;U+2066&gt;ok&#39;</i>" in turned
    assert "<i class=c># &lt;U+200B&gt;</i>" in turned
