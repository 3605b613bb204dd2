"""A scripted model: the Responses API as the Codex CLI uses it, answering from a list of steps.

It shows what Codex does with our tools and what it would tell a model about them; how well a real model
chooses among tools it cannot show. Codex asks `POST /v1/responses` and reads Server-Sent Events; every main
turn takes the next step, any other request (titles, reviews) gets a bland answer, and all are recorded.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
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


@dataclass(frozen=True)
class Answer:
    """An answer that is more than its items."""

    items: Sequence[Item]
    input_tokens: int = 1
    cached_tokens: int = 0
    output_tokens: int = 1
    until: Callable[[], bool] | None = None
    """Until it answers true nothing comes after the answer's first words, or its first event."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """An answer that is none: an HTTP status with an error."""

    status: int
    message: str = "no"
    kind: str = "invalid_request_error"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A stream that ends in a failure instead of an answer."""

    code: str
    message: str


Whole = Sequence[Item] | Answer | Refusal | Failed
Step = Whole | Callable[[ModelRequest], Whole]
"""The items of one answer, or more of it, or a function that makes it from what the model sees."""


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


def shell(model: str, command: str) -> Item:
    """The model runs a shell command, in the way of models of that name."""
    if model.startswith("gpt-6"):
        return execute(f"text(await tools.exec_command({json.dumps({'cmd': command})}));")
    return function_call("exec_command", {"cmd": command})


def patch(model: str, text: str) -> Item:
    """The model changes files with a patch in the format of Codex's `apply_patch`."""
    if model.startswith("gpt-6"):
        return execute(f"text(await tools.apply_patch({json.dumps(text)}));")
    if model.startswith("gpt-5"):
        return {"type": "custom_tool_call", "name": "apply_patch", "input": text}
    return shell(model, f"apply_patch <<'END_OF_PATCH'\n{text}\nEND_OF_PATCH")


class ScriptedModel:
    """An ASGI application; `steps` are used up by main turns, then every turn is answered with `done`."""

    def __init__(self, steps: Sequence[Step] = ()) -> None:
        self._steps = list(steps)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._requests: list[ModelRequest] = []
        self.aborted = threading.Event()
        """Set when somebody hung up in the middle of an answer."""

    def prepare(self, steps: Sequence[Step]) -> None:
        """Say these next, after what is left."""
        with self._lock:
            self._steps += steps

    def forget(self) -> None:
        """Know nothing of what was asked and was to be said."""
        with self._lock:
            self._steps.clear()
            self._requests.clear()
            self.aborted.clear()

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
        whole = step(seen) if callable(step) else step
        if isinstance(whole, Refusal):
            error = {"message": whole.message, "type": whole.kind, "param": None, "code": whole.code}
            return JSONResponse({"error": error}, whole.status, headers=dict(whole.headers))
        if isinstance(whole, Failed):
            events = iter(_failure(number, whole))
            return StreamingResponse(events, media_type="text/event-stream")
        answer = whole if isinstance(whole, Answer) else Answer(whole)
        return StreamingResponse(
            self._stream(number, seen.model, answer),
            media_type="text/event-stream",
            headers=dict(answer.headers),
        )

    async def _stream(self, number: int, model: str, answer: Answer) -> AsyncIterator[str]:
        try:
            for event, is_delta in _events(number, model, answer):
                yield event
                while is_delta and answer.until is not None and not answer.until():  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.aborted.set()
            raise


def _failure(number: int, failed: Failed) -> list[str]:
    answer = {"id": f"resp_{number}", "object": "response"}
    error = {"code": failed.code, "message": failed.message}
    return [
        _event("response.created", 0, response={**answer, "status": "in_progress"}),
        _event("response.failed", 1, response={**answer, "status": "failed", "error": error}),
    ]


def _event(kind: str, number: int, **members: Any) -> str:
    data = {"type": kind, "sequence_number": number, **members}
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def _events(number: int, model: str, whole: Answer) -> Iterator[tuple[str, bool]]:
    """The events of one answer, numbered as the API numbers them, and whether each is one of its words.

    An answer without a message is held up by its gate at its first event.
    """
    count = itertools.count()
    speaks = any(item["type"] == "message" for item in whole.items)

    def event(kind: str, **members: Any) -> tuple[str, bool]:
        first = "response.output_text.delta" if speaks else "response.created"
        return _event(kind, next(count), **members), kind == first

    answer: dict[str, Any] = {"id": f"resp_{number}", "object": "response", "model": model, "output": []}
    yield event("response.created", response={**answer, "status": "in_progress"})
    for index, plain in enumerate(whole.items):
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
        "input_tokens": whole.input_tokens,
        "input_tokens_details": {"cached_tokens": whole.cached_tokens},
        "output_tokens": whole.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": whole.input_tokens + whole.output_tokens,
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
