"""Answers as tool results: the same data twice, within the size, errors that a model can act on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp.types import methods as wire
from pydantic_core import from_json, to_json

from linkspan import errors
from linkspan.gateway.results import Blocks, DryRun, Item
from linkspan.mcp_server.protocol import LEGACY_VERSIONS
from linkspan.mcp_server.results import error_result, tool_result
from tests.mcp_server.conftest import PIXEL, page

LIMIT = 10_000
WHOSE = {"account": "acc", "connector": "desk"}


def result(answer: Any, limit: int = LIMIT) -> dict[str, Any]:
    whole = tool_result(answer, limit) + b"}"
    assert isinstance(answer, Blocks) or len(whole) <= limit + 1
    shown: dict[str, Any] = from_json(whole)
    for revision in LEGACY_VERSIONS:
        wire.validate_server_result("tools/call", revision, shown)
    return shown


def data(answer: Any, limit: int = LIMIT) -> dict[str, Any]:
    """The structured content, which must stand in the text as well, byte for byte the same JSON."""
    shown = result(answer, limit)
    text = shown["content"][0]["text"]
    assert 2 * len(text.encode()) <= limit
    assert from_json(text) == shown["structuredContent"]
    return shown["structuredContent"]  # type: ignore[no-any-return]


def test_a_page_that_fits_is_shown_whole() -> None:
    """Items and cursor as the gateway gave them, and nothing said of truncation."""
    assert data(page([{"id": "1"}], "next")) == {"result": [{"id": "1"}], "next_cursor": "next", **WHOSE}


def test_a_page_that_is_too_long_loses_whole_items_and_goes_on_after_them() -> None:
    """What is shown is a prefix, and the cursor continues right behind it."""
    items = [{"id": str(number), "text": "x" * 400} for number in range(50)]
    shown = data(page(items, "next"))
    count = len(shown["result"])
    assert 5 < count < 13
    assert shown == {"result": items[:count], "next_cursor": f"after-{count}", "truncated": True, **WHOSE}


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30), st.integers(1200, 12_000))
@example([450, 403], 1200)
@settings(max_examples=100, deadline=None)
def test_no_item_is_lost_or_shown_twice(sizes: list[int], limit: int) -> None:
    """Whatever the sizes, cursor and items fit together, and the limit holds."""
    items = [{"id": str(number), "text": "y" * size} for number, size in enumerate(sizes)]
    shown = data(page(items, None), limit)
    if "truncated" not in shown:
        assert shown == {"result": items, "next_cursor": None, **WHOSE}
        return
    count = len(shown["result"])
    assert [item["id"] for item in shown["result"]] == [str(number) for number in range(count)]
    assert shown["next_cursor"] == (f"after-{count}" if count < len(items) else None)
    if count > 1:
        assert shown["result"] == items[:count]


def test_a_single_item_that_is_too_long_is_shortened() -> None:
    """A model sees the beginning of a huge text, valid JSON, and how to get the rest."""
    shown = data(page([{"id": "1", "text": "word " * 5000}, {"id": "2"}]))
    assert [item["id"] for item in shown["result"]] == ["1"]
    assert shown["next_cursor"] == "after-1"
    assert "[shortened: " in shown["result"][0]["text"]


@pytest.mark.parametrize("sign", ['"', "\\", "\n", "ü", "\x01", "🙂"])
def test_what_takes_more_room_in_a_text_is_counted_as_it_is(sign: str) -> None:
    """Code and stack traces are full of signs that are escaped, and escaped again in the copy."""
    items = [{"id": str(number), "text": sign * 150} for number in range(60)]
    shown = data(page(items, None))
    count = len(shown["result"])
    assert shown["result"] == items[:count]
    assert shown["next_cursor"] == f"after-{count}"
    one = result(page(items[:1], None))
    assert count * len(to_json(one)) > LIMIT / 2  # and no more is left out than has to be
    assert data(Item({"id": "1", "text": sign * 20_000}, "acc"))["truncated"] is True


def test_an_item_says_that_it_was_shortened() -> None:
    """`truncated` stands beside the item."""
    shown = data(Item({"id": "1", "text": "word " * 5000}, "acc"))
    assert shown["truncated"] is True
    assert shown["result"]["id"] == "1"


def test_an_item_says_whose_it_is() -> None:
    """Account and connector stand beside it, shortened or not; what is nobody's says nothing."""
    for text in ("short", "word " * 5000):
        shown = data(Item({"id": "1", "text": text}, "acc", connector="desk"))
        assert (shown["account"], shown["connector"]) == ("acc", "desk")
    assert data(Item({"id": "run_1"}, "")) == {"result": {"id": "run_1"}}


def test_a_dry_run_shows_the_request() -> None:
    """The request is the result."""
    assert data(DryRun({"method": "POST", "url": "https://x/y"}, "acc")) == {
        "dry_run": True,
        "request": {"method": "POST", "url": "https://x/y"},
    }


def test_declared_blocks_are_the_content_and_nothing_else() -> None:
    """A model has to see an image: then nothing structured may hide it."""
    blocks = [{"type": "image", "data": PIXEL, "mimeType": "image/png"}, {"type": "text", "text": "Look."}]
    assert result(Blocks(blocks)) == {"content": blocks}


def test_long_text_blocks_are_cut() -> None:
    """The size holds for declared texts, too; images are not touched."""
    blocks = [
        {"type": "text", "text": "word " * 9000},
        {"type": "image", "data": PIXEL, "mimeType": "image/png"},
    ]
    text, image = result(Blocks(blocks))["content"]
    assert len(text["text"]) < LIMIT
    assert image == blocks[1]


def test_embedded_resources_are_counted_too() -> None:
    """A megabyte in a resource is as long to read as one in a text; data that cannot be cut is left out."""
    uri = "acme://report/1"
    long_text = {"type": "resource", "resource": {"uri": uri, "text": "word " * 200_000}}
    blob = {"type": "resource", "resource": {"uri": uri, "blob": "QUJD" * 250_000}}
    shown = tool_result(Blocks([long_text, blob, {"type": "text", "text": "Look."}]), LIMIT) + b"}"
    assert len(shown) < LIMIT + 1000
    first, second, third = from_json(shown)["content"]
    assert "[shortened: " in first["resource"]["text"]
    assert uri in second["text"] and "left out" in second["text"]
    assert third == {"type": "text", "text": "Look."}


def test_many_blocks_keep_to_the_size() -> None:
    """However short each of them is."""
    shown = tool_result(Blocks([{"type": "text", "text": "word " * 20}] * 2000), LIMIT) + b"}"
    assert len(shown) < LIMIT + 1000
    assert "more blocks" in from_json(shown)["content"][-1]["text"]


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited("Desk is busy", hint="Call list_tickets again in 30 seconds.", retry_after=30),
        errors.NotLinked("desk is not linked", hint="Run: linkspan account link desk --tenant acme"),
        errors.UpstreamError("Desk answered 500", upstream_status=500, hint="Call it again in a minute."),
    ],
)
def test_an_error_is_a_sentence_with_the_next_step(error: errors.LinkspanError) -> None:
    """`isError`, the error's own shape, and the same sentence in both places."""
    shown = from_json(error_result(error, LIMIT) + b"}")
    wire.validate_server_result("tools/call", "2025-06-18", shown)
    assert shown["isError"] is True
    assert shown["structuredContent"] == from_json(to_json(error.to_dict()))
    assert shown["content"][0]["text"] == shown["structuredContent"]["error"]["message"]
    assert shown["content"][0]["text"].startswith("Error: ")


def test_a_huge_error_is_cut_too() -> None:
    """A product's long complaint does not flood the model."""
    error = errors.InvalidArgument("no " * 9000, details=[{"path": "x", "message": "y" * 9000}])
    shown = error_result(error, LIMIT)
    assert len(shown) < 2 * LIMIT
    assert from_json(shown + b"}")["structuredContent"]["error"]["code"] == "invalid_argument"
