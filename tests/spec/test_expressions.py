"""Expressions: plain paths as look-ups, the rest as closures that mean what jmespath means."""

from __future__ import annotations

from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkspan.spec.expressions import ANSWER, BadExpression, compile_getter, compile_predicate

ITEM: dict[str, Any] = {
    "id": 7,
    "a": {"b": {"c": "deep"}, "n": None, "x-y": 1},
    "list": [{"k": "one", "n": 1}, {"k": "two", "n": 2}, {"k": None}],
    "nested": [[1, 2], [3], 4],
    "empty": [],
    "text": "Hello World",
    "yes": True,
    "zero": 0,
    "one": 1,
    "@total": 3,
    "when": "2026-11-22.12:42:19",
}

SAME = [
    "id",
    "a.b.c",
    "a.b.c.d",
    '"@total"',
    'a."x-y"',
    "list[0].k",
    "list[-1].k",
    "list[9].k",
    "list[*].k",
    "list[].k",
    "list[?n > `1`].k | [0]",
    "list[?k == 'one'] | [0].n",
    "list[1:]",
    "list[::-1].k",
    "nested[]",
    "nested[][]",
    "a.*",
    "a.* | [0]",
    "{x: id, y: a.b}",
    "[id, text]",
    "a && [{id: a.b.c}]",
    "missing && [id]",
    "missing || id",
    "empty || id",
    "!missing",
    "!zero",
    "!yes",
    "zero == `false`",
    "one == `true`",
    "yes == `true`",
    "text == 'Hello World'",
    "text != id",
    "id < `8`",
    "text < 'I'",
    '`{"a": 1}`',
    "'raw'",
    "@",
    "@.id",
    "length(list)",
    "join('-', list[?k].k)",
    "keys(a)",
    "sort_by(list[?n], &n)[].k",
    "map(&n, list)",
    "max_by(list[?n], &n).k",
    "not_null(missing, text)",
    "to_string(id)",
    "contains(text, 'World')",
    "merge(a, {z: id}).z",
    "reverse(list)[].k",
    "type(zero)",
    "list[].{key: k, double: n}",
    "(a || list).b",
    "a.b.c.[@]",
    "missing.[a]",
    "missing.{a: b}",
]


@pytest.mark.parametrize("expression", SAME)
def test_an_expression_means_what_jmespath_says(expression: str) -> None:
    """The reference implementation answers the same."""
    assert compile_getter(expression)(ITEM) == jmespath.search(expression, ITEM)


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "b", "2"])
DATA = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "c", "a.b", "a[0]", "b[-1].c", "@", "'a'", "`1`", "`true`", "[a, b]"])
TREES = st.recursive(
    NAMES,
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from(["||", "&&", "==", "!=", "<", ">="]), part).map(
            lambda found: f"({found[0]}) {found[1]} ({found[2]})"
        ),
        part.map(lambda found: f"!({found})"),
        part.map(lambda found: f"({found})[]"),
        part.map(lambda found: f"({found})[*].a"),
        part.map(lambda found: f"({found})[?b]"),
        part.map(lambda found: f"({found}).*"),
        part.map(lambda found: f"({found})[0:2]"),
        part.map(lambda found: f"{{x: {found}, y: a}}"),
        st.tuples(part, part).map(lambda found: f"{found[0]} | {found[1]}"),
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(TREES, DATA)
def test_closures_mean_what_the_interpreter_means(expression: str, data: Any) -> None:
    """Whatever the expression and the data: the same answer."""
    try:
        expected = jmespath.search(expression, data)
    except TypeError:  # there, comparing a text with a number is an error of Python's
        return
    try:
        getter = compile_getter(expression)
    except BadExpression:  # a `!` that holds for less than it seems to
        assert "!" in expression
        return
    assert getter(data) == expected


def test_a_text_and_a_number_have_no_order() -> None:
    """JMESPath: null for what cannot be compared."""
    assert compile_getter("[id < text, yes >= id]")(ITEM) == [None, None]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SAME), DATA)
def test_a_getter_never_raises(expression: str, data: Any) -> None:
    """Data of any shape gives a value or None, function errors too."""
    compile_getter(expression)(data)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("iso8601(when)", "2026-11-22T12:42:19Z"),
        ("lower(text)", "hello world"),
        ("upper(text)", "HELLO WORLD"),
        ("trim('  a ')", "a"),
        ("split(text, ' ')", ["Hello", "World"]),
        ("split(text, '')", ["Hello", "World"]),
        ("lower(missing)", None),
        ("lower(id)", None),
        ("json({a: id})", '{"a":7}'),
        ('by_name(`[{"k": "env", "v": 1}, {"k": "os"}, {"k": 2}, 3]`, \'k\', \'v\')', {"env": 1, "os": None}),
        ("by_name(missing, 'k', 'v')", None),
        ("by_name(text, 'k', 'v')", None),
        ("join('/bug', split('http://x/rest/data/bug/4', '/rest/data/bug/'))", "http://x/bug4"),
    ],
)
def test_functions_of_our_own(expression: str, value: object) -> None:
    """What mapping a vendor's items needs and JMESPath lacks."""
    assert compile_getter(expression)(ITEM) == value


@pytest.mark.parametrize(
    ("expression", "message", "offset"),
    [
        (" ", "is empty", 0),
        ("a[", "ends too early", 2),
        ("a b", "not expected here: 'b'", 2),
        ("a.b.", "ends too early", 4),
        ("`x", "Unclosed", 0),
        ("a ~ b", "Unknown", 2),
        ("x.nope(a)", "no function nope()", 2),
        ("length(a, b)", "length() takes 1 argument, not 2", 0),
        ("join(a)", "join() takes 2 arguments, not 1", 0),
        ("not_null()", "not_null() takes at least 1 argument, not 0", 0),
        ("a" * 301, "has 301 characters", 0),
        ("!" * 100 + "a", "nested too deeply", 0),
        ("|".join("a" * 100), "nested too deeply", 0),
    ],
)
def test_what_cannot_be_used_says_where(expression: str, message: str, offset: int) -> None:
    """Parse errors, unknown functions, wrong numbers of arguments, length and depth."""
    with pytest.raises(BadExpression) as caught:
        compile_getter(expression)
    assert message in caught.value.message
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "expression",
    ["bdy.x", "headers.a == bdy", "length(bdy)", "[status, bdy]", "@", "bdy[?status]", "a|status"],
)
def test_an_answer_has_three_parts(expression: str) -> None:
    """Expressions rooted at the answer begin with status, headers or body."""
    with pytest.raises(BadExpression, match="not known here"):
        compile_getter(expression, roots=ANSWER)


@pytest.mark.parametrize(
    "expression",
    ["body.a", "body[?x].y", "status == `429` || body | [0].any", "length(body.x)", "max_by(body, &x).y"],
)
def test_names_below_the_root_are_free(expression: str) -> None:
    """Only what is looked up in the answer itself must be one of its parts."""
    compile_getter(expression, roots=ANSWER)


def test_a_predicate_takes_things_as_jmespath_does() -> None:
    """Empty is false, zero is true."""
    values: list[Any] = [None, False, "", [], {}, 0, "0", [0], True]
    holds = [compile_predicate("a")({"a": value}) for value in values]
    assert holds == [False] * 5 + [True] * 4


@pytest.mark.parametrize(
    ("expression", "item", "answer"),
    [
        ("!(a.b)", {"a": {"b": False}}, True),
        ("!a[0]", {"a": [0]}, False),
        ("!contains(a, 'b')", {"a": ["c"]}, True),
        ("a[?!(b.c)].d", {"a": [{"d": 1}]}, [1]),
        ("!a == `true`", {"a": None}, True),
        ("a == '!b.c'", {"a": "!b.c"}, True),
    ],
)
def test_a_not_around_what_it_is_meant_for_is_good(expression: str, item: Any, answer: Any) -> None:
    """Only `!a.b`, which is `(!a).b` and so always nothing, is refused."""
    assert compile_getter(expression)(item) == answer
