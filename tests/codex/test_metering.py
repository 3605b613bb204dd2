"""What an answer cost is read off its bytes, however they are cut."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from linkspan.codex.metering import Meter, Used

USAGE = {"input_tokens": 30, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 5}
DONE = {"type": "response.completed", "response": {"model": "m", "output": ["x" * 2000], "usage": USAGE}}
DELTA = {"type": "response.output_text.delta", "delta": '"response.completed" {"usage": 1}' + "y" * 900}
STREAM = "".join(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in (DELTA, DELTA, DONE)
).encode()
EXPECTED = Used("m", {"input_tokens": 30, "cached_input_tokens": 10, "output_tokens": 5, "total_tokens": 35})


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_however_it_is_cut(cuts: list[int]) -> None:
    """Pieces of a stream end anywhere."""
    meter = Meter("text/event-stream; charset=utf-8")
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        meter.feed(STREAM[start:end])
    meter.close()
    assert meter.used() == EXPECTED
    assert meter.used() is None


def test_a_stream_without_a_last_line_end() -> None:
    """A product may close right behind its last event."""
    meter = Meter("text/event-stream")
    meter.feed(STREAM.rstrip(b"\n"))
    meter.close()
    assert meter.used() == EXPECTED


def test_an_answer_in_one_piece() -> None:
    """Without `stream`, usage stands in the answer itself."""
    meter = Meter("application/json")
    body = json.dumps(DONE["response"]).encode()
    meter.feed(body[:100])
    meter.feed(body[100:])
    meter.close()
    assert meter.used() == EXPECTED


def test_what_says_nothing_counts_nothing() -> None:
    """Errors, other types, and events that are not what they look like."""
    for kind, body in (
        ("application/json", b'{"error": {}}'),
        ("application/json", b"[]"),
        ("text/html", STREAM),
        ("text/event-stream", b'data: {"type": "response.completed", "response": null}\n\n'),
        ("text/event-stream", b'data: {"type": "response.completed", broken\n\n'),
    ):
        meter = Meter(kind)
        meter.feed(body)
        meter.close()
        assert meter.used() is None
