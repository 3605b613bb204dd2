"""The scripted model keeps to the protocol of the Responses API."""

import gzip
import json
from typing import Any

import httpx2

from tests.servers.scripted_model import ScriptedModel, function_call, message
from tests.servers.serving import serving

TURN = {"x-codex-turn-metadata": json.dumps({"request_kind": "turn"})}
BODY = {"model": "m", "input": []}


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def test_steps_are_used_up_by_main_turns_only() -> None:
    """A request for a title in between takes no step away."""
    with serving(model := ScriptedModel([[function_call("search", {"q": 1}, namespace="mcp__x")]])) as url:
        title = httpx2.post(f"{url}/v1/responses", json=BODY)
        turn = httpx2.post(f"{url}/v1/responses", json=BODY, headers=TURN)
        after = httpx2.post(f"{url}/v1/responses", json=BODY, headers=TURN)
    assert [len(model.requests), len(model.turns)] == [3, 2]
    kinds = [
        event["item"]["type"]
        for answer in (title, turn, after)
        for event in events(answer)
        if event["type"] == "response.output_item.done"
    ]
    assert kinds == ["message", "function_call", "message"]


def test_an_answer_is_a_numbered_stream_that_ends_with_usage() -> None:
    """Codex needs rising sequence numbers and the usage in the last event."""
    with serving(ScriptedModel([[message("Hello")]])) as url:
        stream = events(httpx2.post(f"{url}/v1/responses", json=BODY, headers=TURN))
    assert [event["sequence_number"] for event in stream] == list(range(len(stream)))
    assert stream[-1]["response"]["usage"]["total_tokens"] == 2


def test_a_compressed_request_is_read() -> None:
    """Codex may compress what it sends."""
    headers = {**TURN, "content-encoding": "gzip"}
    with serving(model := ScriptedModel()) as url:
        httpx2.post(f"{url}/v1/responses", content=gzip.compress(json.dumps(BODY).encode()), headers=headers)
    assert model.turns[0].model == "m"


def test_a_step_may_be_made_from_what_the_model_sees() -> None:
    """The id that one call found can be the argument of the next."""
    seen = {"type": "function_call_output", "call_id": "c", "output": 'Wall time: 1 s\nOutput:\n{"id": "7"}'}
    with serving(ScriptedModel([lambda request: [message(request.answers[0]["id"])]])) as url:
        answer = httpx2.post(f"{url}/v1/responses", json={"model": "m", "input": [seen]}, headers=TURN)
    assert '"delta": "7"' in answer.text
