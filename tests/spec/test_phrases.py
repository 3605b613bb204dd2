"""Texts in query languages, and lists for bodies: quoting that holds, members that are left out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkspan.errors import InvalidArgument
from linkspan.spec import graphql
from linkspan.spec.catalog import ABSENT, Scope
from linkspan.spec.phrases import QUOTES


def query(load: Any, good: str, tree: str) -> Any:
    """Answer the value that stands in the query of a search with two parameters."""
    text = good.replace(
        "query: {q: $query}", f"params: {{n: integer, on: boolean, all: array}}, query: {{q: {tree}}}"
    )
    return dict(load(text).tool("search_tickets").operations["desk"].plan.query)["q"]


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        ("jql", 'a "b" \\', '"a \\"b\\" \\\\"'),
        ("cql", "x", '"x"'),
        ("soql", "it's", "'it\\'s'"),
        ("odata", "it's", "'it''s'"),
        ("wiql", "x", "'x'"),
        ("lucene", 'a" OR b', '"a\\" OR b"'),
        ("github", "a b", '"a b"'),
        ("servicenow", "a b", "a b"),
        ("matcher", "x", '"x"'),
        ("words", "a AND (b) 'c'", "a AND b c"),
        ("date", "2026-11-22", "2026-11-22"),
        ("plain", "acme/api", "acme/api"),
    ],
)
def test_values_are_quoted_for_their_language(
    kind: str, value: str, written: str, load: Any, good: str
) -> None:
    """Each as the language wants it."""
    made = query(
        load, good, f"{{clauses: ['x = {{query:{kind}}}', 'n = {{n:plain}} {{on:plain}} {{all:jql}}']}}"
    )
    assert made(Scope({"query": value})) == f"x = {written}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("github", 'a"b'),
        ("servicenow", "a^ORb"),
        ("servicenow", "a,b"),
        ("servicenow", "JavaScript:gs.getUserID()"),
        ("words", "()"),
        ("date", "soon"),
        ("plain", "a b"),
        ("jql", "a\nb"),
    ],
)
def test_what_cannot_be_quoted_is_refused(kind: str, value: str, load: Any, good: str) -> None:
    """By its name, before anything is sent."""
    made = query(load, good, f"{{clauses: ['x = {{query:{kind}}}', '{{n:jql}}{{on:jql}}{{all:jql}}']}}")
    with pytest.raises(InvalidArgument, match=r"^query: must"):
        made(Scope({"query": value}))


def test_numbers_switches_and_lists(load: Any, good: str) -> None:
    """Numbers and booleans bare, lists with commas, and nothing where nothing is given."""
    made = query(
        load,
        good,
        "{clauses: ['n > {n:jql}', 'on = {on:jql}', 'all IN ({all:jql})', '{query:jql}'], join: ' OR '}",
    )
    assert made(Scope({"n": 3, "on": False, "all": ["a", 1]})) == 'n > 3 OR on = false OR all IN ("a", 1)'
    assert made(Scope({"all": []})) is ABSENT


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["jql", "soql", "odata", "lucene", "github", "servicenow"]), st.text(max_size=40))
def test_no_value_ends_its_quotation(kind: str, value: str) -> None:
    """What is written is one quotation from end to end, whatever is in it."""
    try:
        written = QUOTES[kind](value)
    except Exception as fault:
        assert type(fault).__name__ == "_Unfit"
        return
    whole = {
        "jql": r'"(?:[^"\\]|\\.)*"', "lucene": r'"(?:[^"\\]|\\.)*"', "soql": r"'(?:[^'\\]|\\.)*'",
        "odata": r"'(?:[^']|'')*'", "github": r'"[^"]*"', "servicenow": r"[^^]*",
    }[kind]  # fmt: skip
    assert re.fullmatch(whole, written, re.DOTALL)


def test_a_list_for_a_body(load: Any, good: str) -> None:
    """Things become mappings or values, with formats and lists of their own; null is left out."""
    text = good.replace(
        "body: {state: $status, subject: $title}",
        "body: {state: $status, subject: $title, all: {each: $labels, map: '@'},"
        " checks: {each: $children, map: {name: title, done: \"'yes'\", text: {from: note, format: html},"
        " day: {from: at, as: day}, tags: {each: tags, map: {t: '@'}}}}}",
    )
    body = load(text).tool("update_ticket").operations["desk"].plan.body
    made = body.value(
        Scope(
            {
                "labels": ["a"],
                "children": [
                    {"title": "T", "note": "**b**", "at": "2026-11-22T10:00:00Z", "tags": ["x", "y"]},
                    5,
                ],
            }
        )
    )
    assert made == {
        "all": ["a"],
        "checks": [
            {
                "name": "T",
                "done": "yes",
                "text": "<p><strong>b</strong></p>",
                "day": "2026-11-22",
                "tags": [{"t": "x"}, {"t": "y"}],
            },
            {"done": "yes"},
        ],
    }
    assert body.value(Scope({"title": "T"})) == {"subject": "T"}


def test_a_document_says_what_it_needs() -> None:
    """Variables with a default or without `!` may stay empty; strings and comments hold no brackets."""
    document = graphql.read(
        '# {\nquery A($a: ID!, $b: [Int!]!, $c: [Int!] $d: Int! = 1) @x(y: "}")'
        ' { a(b: "\\"{", c: """ { " """) { b } }'
    )
    assert (document.kind, document.variables) == ("query", {"a": True, "b": True, "c": False, "d": False})
    assert graphql.read("{ me { id } }").kind == "query"
    assert graphql.read("fragment F on X { a(b: $b) } mutation($b: Int) { m { ...F } }").kind == "mutation"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='query{}()[]$a:!"# \n=', max_size=60))
def test_any_text_is_a_document_or_is_refused(text: str) -> None:
    """Never another error."""
    try:
        graphql.read(text)
    except graphql.BadDocument as error:
        assert 0 <= error.offset <= len(text)
