"""The compiled function from a product's item to fields."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from linkspan.spec import converters
from linkspan.spec.expressions import compile_getter, source_of
from linkspan.spec.shapes import Step, compile_shape

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "open", ""]), inner),
    max_leaves=10,
)


BACKTICK = "\\u0060"
EXPRESSIONS = (
    "a",
    "a.b",
    "a.b.a",
    "@",
    "a[0]",
    "a || b",
    "a.b || open",
    "a && [{id: a.a, name: a.b}]",
    "{x: @.a, y: a.{z: b, w: `1`}}",
    "!a",
    "!(a && b) || 'no'",
    "[a, b.a, `null`, `true`]",
    "a.[b, a.b]",
    "(a || b).a",
    "a == b",
    "a[?b].a",
)


def step(name: str, expression: str, convert: Any = None, words: Any = None) -> Step:
    return Step(name, source_of(expression), compile_getter(expression), convert, words)


def same_id(fields: dict[str, Any]) -> str:
    return f"made of {fields.get('a')}"


@given(ANYTHING)
def test_keys_are_followed_as_their_expression_says(item: Any) -> None:
    """Written out or called, a field's value is what its expression finds."""
    for expression in EXPRESSIONS:
        shape = compile_shape([step("x", expression)], same_id, None)
        assert shape(item)["x"] == compile_getter(expression)(item)


@given(ANYTHING)
def test_values_are_converted(item: Any) -> None:
    """What the compiled function makes of a value is what the converter makes of it."""
    for convert in (converters.string, converters.integer, converters.iso8601):
        shape = compile_shape([step("x", "a", convert)], same_id, None)
        assert shape({"a": item}) == {"id": "made of None", "x": convert(item)}


def test_words_of_an_enum() -> None:
    """A known word is turned, none stays none, and any other is unknown with the product's own beside it."""
    shape = compile_shape(
        [step("x", "a", None, {"open": "todo", "3": "done", "?": "unknown"})], same_id, None
    )
    made = [shape({"a": value}) for value in ("open", 3, None, "wip", True, "?")]
    assert [(one["x"], one.get("x_raw")) for one in made] == [
        ("todo", None),
        ("done", None),
        (None, None),
        ("unknown", "wip"),
        ("unknown", "true"),
        ("unknown", "?"),
    ]


def test_null_as_a_word() -> None:
    """Where `null` is one of the product's words, an absent value is that word."""
    shape = compile_shape([step("x", "a", None, {"null": "none"})], same_id, None)
    assert shape({})["x"] == "none"


def test_id_of_one_field() -> None:
    """The id is first, and a text, whatever the product's is and wherever its field stands."""
    steps = [step("title", "t", converters.string), step("id", "n", converters.string)]
    assert list(compile_shape(steps, same_id, "id")({"n": 7, "t": "x"}).items()) == [
        ("id", "7"),
        ("title", "x"),
    ]
    steps = [step("number", "n", converters.integer)]
    assert compile_shape(steps, same_id, "number")({"n": 7}) == {"id": "7", "number": 7}


@given(st.text(min_size=1, max_size=6))
def test_keys_are_literals(key: str) -> None:
    """No key and no text, whatever stands in it, is more than that."""
    quoted = json.dumps(key)
    shape = compile_shape(
        [step("x", f"{quoted}.{quoted} || `{quoted.replace('`', BACKTICK)}`")], same_id, None
    )
    assert shape({key: {key: 1}})["x"] == 1
    assert shape({key: 1})["x"] == key


def test_what_is_written_and_what_is_called() -> None:
    """Selections are written into the function; indices, filters and functions are not."""
    assert source_of("a && [{id: a.b}]") is not None
    assert source_of("a[0]") is None
    assert source_of("length(a)") is None
    assert source_of("`{}`") is None
