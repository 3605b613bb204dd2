"""Making a value fit a size: always JSON, never longer, and it says what it left out."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from linkspan.mcp_server.shorten import cut_text, encode, shorten

WHERE = "get_ticket with this id shows more"
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=900),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=8), inner, max_size=12),
    max_leaves=40,
)


@given(VALUES, st.integers(400, 4000))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_in_what_goes_out_is_json_of_the_size(value: Any, size: int) -> None:
    """No value breaks the size or the JSON; what fits is left as it was."""
    short = shorten(value, size, WHERE)
    assert len(short) <= size
    shown = from_json(short)
    if len(encode(value)) <= size:
        assert shown == value


def test_a_long_text_loses_whole_lines_and_says_so() -> None:
    """What is left is the text's beginning, line by line, and a note that names the next step."""
    text = "\n".join(f"line {number}" for number in range(5000))
    shown = from_json(shorten({"id": "7", "body": text}, 3000, WHERE))
    *lines, note = shown["body"].split("\n")
    assert shown["id"] == "7"
    assert text.startswith("\n".join(lines) + "\n")
    assert note.startswith("[shortened: ")
    assert f"of {len(text)} characters; {WHERE}]" in note


def test_short_texts_beside_a_long_one_stay_whole() -> None:
    """Only what is too long is cut."""
    item = {"title": "t" * 150, "body": "word " * 4000, "state": "open"}
    shown = from_json(shorten(item, 2000, WHERE))
    assert (shown["title"], shown["state"]) == (item["title"], "open")
    assert len(shown["body"]) > 1000


def test_two_long_texts_share_the_room() -> None:
    """No text is sacrificed for another."""
    shown = from_json(shorten({"a": "a " * 5000, "b": "b " * 5000}, 4000, WHERE))
    assert min(len(shown["a"]), len(shown["b"])) > 1000


def test_a_long_list_loses_its_end() -> None:
    """Many small things are fewer then, and each of them is whole."""
    shown = from_json(shorten({"id": "7", "numbers": list(range(5000))}, 1000, WHERE))
    assert shown["numbers"] == list(range(len(shown["numbers"])))
    assert len(shown["numbers"]) > 50


def test_what_cannot_be_cut_is_named_by_its_id() -> None:
    """Thousands of keys leave the id and how to get at the rest."""
    shown = from_json(shorten({"id": "7", **{f"key{number}": number for number in range(5000)}}, 500, WHERE))
    assert shown == {"id": "7", "note": f"[left out: too large to show; {WHERE}]"}


def test_text_of_many_bytes_is_measured_in_bytes() -> None:
    """Umlauts, emoji and control characters take more room than letters."""
    for text in ("é" * 4000, "🎫" * 4000, "\x01" * 4000, '"' * 4000):
        assert len(encode(cut_text(text, 1000, WHERE))) <= 1100


def test_what_json_cannot_say_is_replaced() -> None:
    """Upstream data is never a reason to fail: NaN is null, half a character is U+FFFD."""
    assert from_json(encode({"n": math.nan, "i": math.inf})) == {"n": None, "i": None}
    assert from_json(encode({"a\ud800": ["b\udfff"]})) == {"a?": ["b?"]}
