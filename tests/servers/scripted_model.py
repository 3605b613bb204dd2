"""A scripted model: the Responses API as the Codex CLI uses it, answering from a list of steps.

It shows what Codex does with our tools and what it would tell a model about them; how well a real model
chooses among tools it cannot show. Codex asks `POST /v1/responses` and reads Server-Sent Events; every main
turn takes the next step, any other request (titles, reviews) gets a bland answer, and all are recorded.
"""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

Item = dict[str, Any]
"""One output item of an answer."""


@dataclass(frozen=True)
class ModelRequest:
    """One request that Codex sent to its model."""

    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any] = field(repr=False)
    kind: str
    """What Codex says the request is for: `turn` for the conversation itself."""

    @property
    def model(self) -> str:
        """The model it asks for."""
        return str(self.body["model"])

    @property
    def text(self) -> str:
        """Everything the model is told, as one JSON text."""
        return json.dumps(self.body, ensure_ascii=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the model sees of each tool call of the conversation, oldest first, as plain text."""
        kinds = {"function_call_output", "custom_tool_call_output"}
        return tuple(_plain(item["output"]) for item in self.body["input"] if item.get("type") in kinds)

    @property
    def answers(self) -> tuple[Any, ...]:
        """The JSON in each of `outputs`; raises `ValueError` when one holds something else or was cut."""
        return tuple(_structured(output) for output in self.outputs)


Step = Sequence[Item] | Callable[[ModelRequest], Sequence[Item]]
"""The items of one answer, or a function that makes them from what the model sees."""


def message(text: str) -> Item:
    """The model says something; a turn with no call in it ends the conversation."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content}


def function_call(name: str, arguments: Mapping[str, Any], *, namespace: str | None = None) -> Item:
    """The model calls a function; an MCP tool's namespace is `mcp__SERVER`."""
    call: Item = {"type": "function_call", "name": name, "arguments": json.dumps(arguments)}
    return call if namespace is None else {**call, "namespace": namespace}


def tool_search(query: str) -> Item:
    """The model searches for deferred tools."""
    return {"type": "tool_search_call", "execution": "client", "arguments": {"query": query}}


def execute(javascript: str) -> Item:
    """The model runs JavaScript, as models in code mode do instead of calling functions."""
    return {"type": "custom_tool_call", "namespace": "functions", "name": "exec", "input": javascript}


class ScriptedModel:
    """An ASGI application; `steps` are used up by main turns, then every turn is answered with `done`."""

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self._steps = list(steps)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._requests: list[ModelRequest] = []

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """Every request so far, of any kind."""
        with self._lock:
            return tuple(self._requests)

    @property
    def turns(self) -> tuple[ModelRequest, ...]:
        """The requests of the conversation itself."""
        return tuple(request for request in self.requests if request.kind == "turn")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if request.method == "GET" and path.endswith("/models"):
            return JSONResponse({"object": "list", "data": [], "models": []})
        if request.method != "POST" or not path.endswith("/responses"):
            return JSONResponse({"error": {"message": f"no such path: {path}"}}, status_code=404)
        seen = ModelRequest(
            headers=dict(request.headers),
            body=json.loads(_decoded(await request.body(), request.headers.get("content-encoding", ""))),
            kind=json.loads(request.headers.get("x-codex-turn-metadata", "{}")).get("request_kind", ""),
        )
        with self._lock:
            self._requests.append(seen)
            step: Step = [message("ok")]
            if seen.kind == "turn":
                step = self._steps.pop(0) if self._steps else [message("done")]
            number = next(self._numbers)
        items = step(seen) if callable(step) else step
        return StreamingResponse(_events(number, seen.model, items), media_type="text/event-stream")


def _events(number: int, model: str, items: Sequence[Item]) -> Iterator[str]:
    """The events of one answer, numbered as the API numbers them."""
    count = itertools.count()

    def event(kind: str, **members: Any) -> str:
        data = {"type": kind, "sequence_number": next(count), **members}
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n"

    answer: dict[str, Any] = {"id": f"resp_{number}", "object": "response", "model": model, "output": []}
    yield event("response.created", response={**answer, "status": "in_progress"})
    for index, plain in enumerate(items):
        item = {**plain, "id": f"item_{number}_{index}", "status": "completed"}
        if item["type"] != "message":
            item["call_id"] = f"call_{number}_{index}"
        yield event("response.output_item.added", output_index=index, item={**item, "status": "in_progress"})
        if item["type"] == "message":
            yield event(
                "response.output_text.delta",
                output_index=index,
                item_id=item["id"],
                content_index=0,
                delta=item["content"][0]["text"],
            )
        yield event("response.output_item.done", output_index=index, item=item)
        answer["output"].append(item)
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    yield event("response.completed", response={**answer, "status": "completed", "usage": usage})


def _decoded(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "":
            return body
        case "gzip":
            return gzip.decompress(body)
    raise ValueError(f"a request body in {encoding!r}; Codex sends it only to its maker's own service")


def _plain(output: Any) -> str:
    if isinstance(output, str):
        return output
    return "\n".join(part.get("text", json.dumps(part)) for part in output)


def _structured(output: str) -> Any:
    """Codex puts two lines before a result; in code mode the script printed the whole CallToolResult."""
    text = output.partition("Output:\n")[2]
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the model saw no JSON: {output}") from error
    if isinstance(value, dict) and "structuredContent" in value:
        return value["structuredContent"]
    return value
