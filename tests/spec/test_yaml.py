"""The strict subset of YAML."""

from __future__ import annotations

import pytest

from linkspan.spec import yaml


def plain(text: str) -> object:
    node, problems = yaml.read(text.encode(), "t.yaml")
    assert problems == []
    assert node is not None
    return node.plain()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22 12:42:19", "2026-11-22 12:42:19"),
        ("12:30", "12:30"),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ('"12"', "12"),
        ("'true'", "true"),
        ("=", "="),
        ("9" * 60, "9" * 60),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    """`no` is Norway, a date is text, a quoted number is text."""
    assert plain(f"- {text}") == [value]


def test_keys_are_always_text() -> None:
    """A product's words may be numbers or `no`; they stay as written."""
    assert plain("{1: a, no: b, true: c, ~: d}") == {"1": "a", "no": "b", "true": "c", "~": "d"}


def test_places_of_keys_and_values() -> None:
    """Every key and value knows its line and column, counted in characters from 1."""
    node, _ = yaml.read("a:\n  é: [x, 'y z']\n".encode(), "t.yaml")
    assert node is not None
    inner = node.child("a")
    assert inner is not None
    assert inner.keys["é"] == ("t.yaml", 2, 3)
    word, depth = node.find(("a", "é", 1))
    assert (word.line, word.column, word.offset, depth) == (2, 10, 11, 3)
    assert node.find(("a", "b", "c"))[1] == 1


def test_a_text_over_lines_has_no_offset() -> None:
    """Where a folded or escaped text's characters stand is not guessed."""
    node, _ = yaml.read(b'a: >-\n  one\n  two\nb: "t\\x41"\n', "t.yaml")
    assert node is not None
    assert [node.find((key,))[0].offset for key in "ab"] == [None, None]


def test_a_file_that_is_too_large_is_not_read() -> None:
    """Two megabytes are enough."""
    node, problems = yaml.read(b"#" * (yaml.MAX_BYTES + 1), "t.yaml")
    assert node is None
    assert [str(problem) for problem in problems] == [
        "t.yaml:1:1: the file has 2097153 bytes; the most is 2097152"
    ]


def test_bytes_that_are_not_utf8_are_told_where_they_stand() -> None:
    """The line and the column of the first wrong byte."""
    node, problems = yaml.read("a: é\nb: ".encode() + b"\xff", "t.yaml")
    assert node is None
    assert [str(problem) for problem in problems] == ["t.yaml:2:4: the file is not UTF-8 here"]


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    """Editors on Windows write both."""
    node, problems = yaml.read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "t.yaml")
    assert problems == []
    assert node is not None
    assert node.plain() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "character", ["\x07", "\x7f", "\x85", "\u200b", "\u202e", "\u2066", "\ufeff", "\U000e0041", "\u00ad"]
)
def test_invisible_characters_are_told_even_in_comments(character: str) -> None:
    """What a reviewer cannot see must not be in the file; every place is told."""
    _, problems = yaml.read(f"a: 1\n# x{character}y\nb: 'c{character}'\n".encode(), "t.yaml")
    hidden = [(problem.line, problem.column) for problem in problems if problem.code == "hidden_character"]
    assert hidden == [(2, 4), (3, 6)]


def test_emoji_and_every_script_are_fine() -> None:
    """Only what cannot be seen is refused."""
    assert plain("a: Tickets 🎫 ✔️ Заявки 課題 تذاكر") == {"a": "Tickets 🎫 ✔️ Заявки 課題 تذاكر"}


def test_a_bomb_of_aliases_is_refused_and_never_expanded() -> None:
    """Aliases are told one by one; nothing is copied."""
    bomb = "a: &a [x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(9))
    _, problems = yaml.read(bomb.encode(), "t.yaml")
    assert len(problems) == 19
    assert {problem.code for problem in problems} == {"alias"}


def test_a_key_that_is_no_word_is_refused() -> None:
    """Lists and mappings as keys are a mistake, not a crash."""
    _, problems = yaml.read(b"? [a, b]\n: c\n? {d: e}\n: f\n", "t.yaml")
    assert [(problem.line, problem.code) for problem in problems] == [(1, "wrong_type"), (3, "wrong_type")]
