"""A script in a model's place: the Responses API as Codex uses it, for one ticket of the sample shop.

It thinks nothing. It shows what happens around a model, which a real one does with any ticket.
"""

from __future__ import annotations

import gzip
import itertools
import json
import secrets
from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

Json = dict[str, Any]
KNOWN: Final = "Ordering after 22:40"
"""What the one ticket says that the script knows how to fix."""
FIX: Final = r"""
set -e
cat AGENTS.md
sed -i 's/    return ready.replace(hour=ready.hour + 1, minute=0, second=0, microsecond=0)/'\
'    return ready.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)/' cafe/orders.py
sed -i 's/        self.assertEqual(pickup_time(noon).hour, 13)/&\n'\
'        late = datetime(2026, 11, 23, 22, 55, tzinfo=UTC)\n'\
'        self.assertEqual(pickup_time(late).hour, 0)/' test_cafe.py
python3 -B -m unittest
"""
DONE: Final = (
    "Orders after 22:40 asked for hour 24, which no day has. Pickup is now the next full hour, past midnight"
    " too. A test orders at 22:55; all tests of the shop pass in the sandbox."
)
UNKNOWN: Final = (
    "A script stands in for a model in this demo, and it only knows how to fix HC-103 (ordering after 22:40)."
    " With OPENAI_API_KEY set, the same button lets a real model work on any ticket."
)

TALK: Final = "Answer whoever talks with you"
"""How the prompt of the recipe begins that people talk by."""
READ: Final = "grep -n -A 8 'def pickup_time' cafe/orders.py"
TESTS: Final = {
    "cmd": "python3 -B -m unittest",
    "sandbox_permissions": "require_escalated",
    "justification": "May I run the shop's tests outside of the sandbox?",
}
TALKED: Final = (
    "A script stands in for a model in this demo: it has read pickup_time in cafe/orders.py, asked you about"
    " the tests, and understands nothing that you say. Orders after 22:40 ask for hour 24, since the function"
    " adds one to the hour. With OPENAI_API_KEY set, a real model answers here."
)


async def answer(request: Request) -> Response:
    """Answer a turn: run the fix first, then say what was done."""
    body = await request.body()
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    asked: Json = json.loads(body)
    kind = json.loads(request.headers.get("x-codex-turn-metadata", "{}")).get("request_kind", "turn")
    events = _events(str(asked.get("model")), _item(asked, kind), secrets.token_hex(4))
    return StreamingResponse(events, media_type="text/event-stream")


def _item(asked: Json, kind: str) -> Json:
    items = [each for each in asked.get("input", []) if isinstance(each, dict)]
    if kind != "turn":
        return _message("ok")
    model, told = str(asked.get("model")), json.dumps(items)
    done = _done(items)
    if TALK in told:  # of several turns: what was done in an earlier one is not done again
        return (_command(model, {"cmd": READ}), _command(model, TESTS), _message(TALKED))[min(done, 2)]
    if KNOWN not in told:
        return _message(UNKNOWN)
    return _message(DONE) if done else _command(model, {"cmd": FIX})


def _done(items: list[Json]) -> int:
    """Answer how many calls of ours were answered: each call and each answer has its id."""
    return sum(str(each.get("call_id", "")).startswith("call_demo") for each in items) // 2


def _command(model: str, arguments: Json) -> Json:
    """Run a command, in the way of models of that name."""
    if model.startswith("gpt-6"):
        script = f"text(await tools.exec_command({json.dumps(arguments)}));"
        return {"type": "custom_tool_call", "namespace": "functions", "name": "exec", "input": script}
    return {"type": "function_call", "name": "exec_command", "arguments": json.dumps(arguments)}


def _message(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}


def _events(model: str, plain: Json, name: str) -> Iterator[str]:
    """The events of one answer, numbered as the API numbers them (developers.openai.com, Responses)."""
    count = itertools.count()

    def event(kind: str, **members: Any) -> str:
        told = {"type": kind, "sequence_number": next(count), **members}
        return f"event: {kind}\ndata: {json.dumps(told)}\n\n"

    whole: Json = {"id": "resp_demo", "object": "response", "model": model, "output": []}
    item = {**plain, "id": f"item_demo_{name}", "status": "completed"}
    if item["type"] != "message":
        item["call_id"] = f"call_demo_{name}"
    yield event("response.created", response={**whole, "status": "in_progress"})
    yield event("response.output_item.added", output_index=0, item={**item, "status": "in_progress"})
    if item["type"] == "message":
        text = item["content"][0]["text"]
        where = {"output_index": 0, "item_id": item["id"], "content_index": 0}
        yield event("response.output_text.delta", delta=text, **where)
    yield event("response.output_item.done", output_index=0, item=item)
    usage = {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
    yield event(
        "response.completed", response={**whole, "output": [item], "status": "completed", "usage": usage}
    )
