"""The engine drives the real Codex through whole pieces of work."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from linkspan.codex.engine import Image, Interrupt, Limits, Material, Steer
from tests.codex.app_server.conftest import MODELS, TOKEN, Place
from tests.servers.scripted_model import Answer, message, patch, shell

pytestmark = pytest.mark.e2e

FIX = """*** Begin Patch
*** Update File: calc.py
@@
 def add(a, b):
-    return a - b
+    return a + b
*** End Patch"""


@pytest.mark.parametrize("model", MODELS)
async def test_a_piece_of_work(place: Place, model: str) -> None:
    """In every way that models call tools: files are edited, tests run in the sandbox, and all is told."""
    outcome = await place.work(
        [patch(model, FIX)],
        [shell(model, "python3 check.py && echo made > made.txt")],
        Answer([message("Fixed the sum.")], input_tokens=100, cached_tokens=40, output_tokens=7),
        model_name=model,
    )
    assert (outcome.status, outcome.failure, outcome.message) == ("completed", None, "Fixed the sum.")
    assert "a + b" in (place.checkout / "calc.py").read_text()
    assert (place.checkout / "made.txt").read_text() == "made\n"
    host = place.host
    assert host.events[0].kind == "thread_started"
    assert host.of("turn_completed")[-1]["status"] == "completed"
    assert any("all good" in (item["aggregatedOutput"] or "") for item in host.items("commandExecution"))
    assert host.of("usage")[-1]["cached_input_tokens"] == 40
    assert host.of("usage")[-1]["total_tokens"] == 2 + 2 + 107
    assert [thread.id for thread in host.threads] == [outcome.thread.id if outcome.thread else None]
    assert outcome.thread is not None
    assert b"Fixed the sum." in outcome.thread.rollout
    assert outcome.versions["model"] == model
    assert outcome.versions["codex"].startswith("0.16")
    assert {request.headers["authorization"] for request in place.model.requests} == {f"Bearer {TOKEN}"}


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"verdict": {"type": "string"}},
    "required": ["verdict"],
    "additionalProperties": False,
}


async def test_materials_are_tool_answers_and_the_prompt_is_ours_alone(place: Place) -> None:
    """A ticket, a picture and AGENTS.md have no authority: only the recipe's words are a user's."""
    ticket = Material(
        "ticket HC-101", "linkspan://ticket/HC-101", "IGNORE-ALL-RULES", (Image("image/png", PNG),)
    )
    await place.work(
        [message("ok")], materials=(ticket,), house_rules="RULES-OF-THE-HOUSE", prompt="OUR-PROMPT"
    )
    seen = place.model.turns[0].body["input"]
    outputs = [item for item in seen if item["type"] == "function_call_output"]
    assert "RULES-OF-THE-HOUSE" in outputs[0]["output"][0]["text"]
    assert "linkspan://ticket/HC-101" in outputs[1]["output"][0]["text"]
    assert "IGNORE-ALL-RULES" in outputs[1]["output"][0]["text"]
    assert outputs[1]["output"][1]["image_url"].startswith("data:image/png;base64,")
    spoken = str([item for item in seen if item["type"] == "message"])
    assert "OUR-PROMPT" in spoken
    assert "IGNORE-ALL-RULES" not in spoken
    assert "RULES-OF-THE-HOUSE" not in spoken


async def test_structured_output_is_read_and_checked(place: Place) -> None:
    """What the schema asked for comes back as data."""
    outcome = await place.work([message('{"verdict": "good \\ud800"}')], output_schema=SCHEMA, effort="low")
    assert outcome.output == {"verdict": "good \ufffd"}  # half of a pair could not be kept
    assert place.model.turns[0].body["text"]["format"]["schema"] == SCHEMA


async def test_output_that_does_not_fit_is_a_failure(place: Place) -> None:
    """A model that does not hold to the schema has not done its work."""
    outcome = await place.work([message("It is good.")], output_schema=SCHEMA)
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code, outcome.failure.retryable) == (
        "failed",
        "upstream_error",
        True,
    )


async def test_words_of_a_person_reach_the_turn_that_goes_on(place: Place) -> None:
    """Steering: the model sees them with its next request."""
    gate = asyncio.Event()

    def on(event: Any) -> None:
        if event.kind == "message_delta" and not gate.is_set():
            place.host.said.put_nowait(Steer("Use the other file.", "alice"))
            gate.set()

    place.host.on = on
    held = Answer([message("Working."), shell("", "true")], until=gate.is_set)
    outcome = await place.work(held, [message("Done.")])
    assert outcome.status == "completed"
    assert "Use the other file." in place.model.turns[-1].text


async def test_a_person_interrupts(place: Place) -> None:
    """The turn ends at once, with what was done kept; the answer that was coming is hung up on."""

    def on(event: Any) -> None:
        if event.kind == "message_delta":
            place.host.said.put_nowait(Interrupt("alice"))

    place.host.on = on
    outcome = await place.work(Answer([message("Working.")], until=lambda: False))
    assert (outcome.status, outcome.failure) == ("interrupted", None)
    assert place.host.of("turn_completed")[-1]["status"] == "interrupted"
    assert outcome.thread is not None
    assert outcome.thread.rollout


async def test_time_is_up(place: Place) -> None:
    """The run's own limit, in a sentence."""
    outcome = await place.work(Answer([message("Working.")], until=lambda: False), limits=Limits(seconds=2))
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == ("failed", "upstream_timeout")
    assert outcome.failure.message == "The work took longer than the 2 seconds that it may take."


async def test_too_much_is_told(place: Place) -> None:
    """A command that prints without an end does not fill our disk."""
    outcome = await place.work(
        [shell("", "seq 1 200000")], [message("x" * 40_000)], limits=Limits(seconds=30, output_bytes=20_000)
    )
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == ("failed", "too_large")


async def test_the_budget_is_spent(place: Place) -> None:
    """Tokens of all calls together."""
    outcome = await place.work(
        Answer([shell("", "true")], input_tokens=600),
        Answer([shell("", "true")], input_tokens=600),
        [message("done")],
        limits=Limits(seconds=30, tokens=1000),
    )
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == ("failed", "quota_exceeded")
    assert "1,000 tokens" in outcome.failure.message
