"""Arguments against a tool's schema."""

from typing import Any

import pytest

from linkspan.errors import InvalidArgument
from linkspan.gateway.arguments import ArgumentCheck

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "limit": {"type": "integer"},
        "loud": {"type": "boolean"},
        "cursor": {"type": "string"},
    },
    "required": ["id"],
    "additionalProperties": False,
}
check = ArgumentCheck(SCHEMA)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"id": 17}, {"id": "17"}),
        ({"id": "17", "limit": "3"}, {"id": "17", "limit": 3}),
        ({"id": "17", "loud": "true"}, {"id": "17", "loud": True}),
    ],
)
def test_a_value_of_a_near_type_is_taken_for_what_it_means(given: Any, meant: Any) -> None:
    """Models write ids as numbers, and some clients send everything as text."""
    assert check(given) == meant


@pytest.mark.parametrize("given", [{"id": True}, {"id": None}, {"id": 1.5}, {"id": "1", "limit": "3x"}])
def test_a_value_of_another_type_is_refused(given: Any) -> None:
    """Nothing is guessed that could be wrong."""
    with pytest.raises(InvalidArgument):
        check(given)


def test_a_cursor_alone_goes_on() -> None:
    """It carries the arguments of its first call, so none of them is required beside it."""
    assert check({"cursor": "c"}) == {"cursor": "c"}
    with pytest.raises(InvalidArgument, match="id: is required"):
        check({})


def test_a_word_that_is_none_is_answered_with_all_words() -> None:
    """And with the nearest: a model that is told of two and `3 other candidates` guesses."""
    words = ["todo", "in_progress", "in_review", "done", "cancelled"]
    check = ArgumentCheck({"properties": {"status": {"type": "string", "enum": words}}})
    with pytest.raises(InvalidArgument) as caught:
        check({"status": "canceled"})
    assert all(word in caught.value.message for word in words)
    assert "did you mean cancelled?" in caught.value.message


def test_words_that_are_too_many_are_not_all_told() -> None:
    """An error is shorter than a list."""
    check = ArgumentCheck({"properties": {"country": {"enum": [f"country-{n}" for n in range(200)]}}})
    with pytest.raises(InvalidArgument) as caught:
        check({"country": 3})
    assert len(caught.value.message) < 400


def test_every_fault_is_named() -> None:
    """One answer is enough to mend a call."""
    with pytest.raises(InvalidArgument) as caught:
        check({"limit": "many", "ids": "1"})
    assert isinstance(caught.value.details, list)
    assert {fault["path"] for fault in caught.value.details} == {"limit", "ids", "id"}
    assert "did you mean id?" in caught.value.message
