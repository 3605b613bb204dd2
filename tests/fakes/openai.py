"""OpenAI's API, scripted: what it answers, and what it was asked.

It knows nothing. It answers as the official description says (`tests/contracts/test_openai.py` holds models,
responses, files and items of conversations against it), and otherwise (agents, groups) in the shapes that the
package openai has types for. It keeps every request, streams when it is told to go on, and refuses by the
number in a model's name (`status-429-insufficient_quota`), and hangs up in the middle of what `breaking-off`
and `file_cut` answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

KEY: Final = "sk-canary-of-acme"
HEADERS: Final = {
    "x-request-id": "req_theirs",
    "openai-processing-ms": "5",
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "set-cookie": "__cf=x",
}
SHORT: Final = 100_000
"""Bytes of a body that is kept."""
KINDS: Final = {401: "invalid_request_error", 429: "requests", 500: "server_error"}


@dataclass(frozen=True)
class Seen:
    """One request: everything of it that was sent, but for long bodies, of which length and digest."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any
    raw: bytes = field(repr=False)
    """The body as it came; empty where it is long."""
    length: int
    digest: str


class ScriptedOpenAI:
    """An ASGI application; `go_on` lets a stream go on after its first event."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.go_on = threading.Event()
        self.aborted = threading.Event()
        self.words = ["one", "two", "three"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            self.aborted.set()
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        head, digest, length = bytearray(), hashlib.sha256(), 0
        async for part in request.stream():
            digest.update(part)
            length += len(part)
            if length <= SHORT:
                head += part
        body: Any = None
        if length <= SHORT and request.headers.get("content-type") == "application/json":
            body = json.loads(head) if head else None
        path = request.url.path.removeprefix("/v1")
        seen = Seen(
            *(request.method, path, request.url.query, dict(request.headers), body),
            *(bytes(head) if length <= SHORT else b"", length, digest.hexdigest()),
        )
        self.seen.append(seen)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "Incorrect API key provided", "invalid_api_key")
        model = str((body or {}).get("model", "")) if isinstance(body, dict) else ""
        if model.startswith("status-"):
            _, status, *code = model.split("-")
            return refusal(int(status), "as the test wants it", code[0] if code else None)
        if request.method == "POST" and path == "/responses":
            return self._respond(body)
        if request.method == "POST" and path in ("/agents/sessions", "/agents"):
            return answer(session() if path == "/agents/sessions" else {"id": "agent_1", "object": "agent"})
        if request.method == "POST" and path == "/files":
            name = {"filename": "big.jsonl", "purpose": "batch", "status": "processed"}
            return answer({"id": "file_1", "object": "file", "bytes": length, "created_at": 1, **name})
        if request.method == "GET" and path == "/files/file_1/content":
            return self._content(request)
        if request.method == "GET" and path == "/files/file_cut/content":
            return BrokenOff(b"one", 200, {"content-length": "2048"}, "application/octet-stream")
        return self._list(path, request.query_params)

    def _respond(self, body: Any) -> Response:
        if body["model"] == "breaking-off":
            first = event("response.created", 0, response=response("resp_1", body["model"], "in_progress"))
            return BrokenOff(first, media_type="text/event-stream")
        if not body.get("stream"):
            return answer(response("resp_1", body["model"], "completed", " ".join(self.words)))
        return StreamingResponse(self._stream(body["model"]), media_type="text/event-stream", headers=HEADERS)

    async def _stream(self, model: str) -> AsyncIterator[str]:
        try:
            yield event("response.created", 0, response=response("resp_1", model, "in_progress"))
            while not self.go_on.is_set():  # noqa: ASYNC110 - another thread says so
                await asyncio.sleep(0.002)
            for number, word in enumerate(self.words, 1):
                place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
                yield event("response.output_text.delta", number, delta=word, **place)
            done = response("resp_1", model, "completed", " ".join(self.words))
            yield event("response.completed", len(self.words) + 1, response=done)
        except asyncio.CancelledError:
            self.aborted.set()
            raise

    def _content(self, request: Request) -> Response:
        whole = bytes(range(256)) * 8
        asked = request.headers.get("range")
        if asked is None:
            return Response(whole, 200, HEADERS, "application/octet-stream")
        start, end = (int(word) for word in asked.removeprefix("bytes=").split("-"))
        told = {**HEADERS, "content-range": f"bytes {start}-{end}/{len(whole)}"}
        return Response(whole[start : end + 1], 206, told, "application/octet-stream")

    def _list(self, path: str, query: Mapping[str, str]) -> Response:
        after = (
            query.get("page") if path.endswith("/files") and "environments" in path else query.get("after")
        )
        first = after is None
        if path == "/models":
            return answer({"object": "list", "data": [thing("model", n) for n in (1, 2, 3)]})
        if path in ("/files", "/conversations/conv_1/items"):
            kind = "file" if path == "/files" else "message"
            data = [thing(kind, n) for n in ((1, 2) if first else (3,))]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            return answer({"object": "list", "data": data, "has_more": first, **ends})
        if path == "/organization/groups":
            data = [thing("group", n) for n in ((1, 2) if first else (3,))]
            return answer(
                {"object": "list", "data": data, "has_more": first, "next": "n2" if first else None}
            )
        if path == "/agents/environments/env_1/files":
            data = [thing("agent.environment.file", n) for n in ((1, 2) if first else (3,))]
            return answer(
                {"object": "list", "data": data, "has_more": first, "next": "t2" if first else None}
            )
        return refusal(404, f"no such path: {path}", "not_found")


class BrokenOff(Response):
    """The beginning of an answer; then the connection is closed."""

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Tell no length but one that is given."""
        super().init_headers(headers)
        if headers is None or "content-length" not in headers:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and leave."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


def thing(kind: str, number: int) -> dict[str, Any]:
    """Answer something that a list has, with the members that the package's types ask for."""
    known: dict[str, dict[str, Any]] = {
        "file": {"bytes": 1, "created_at": 1, "filename": "a", "purpose": "batch", "status": "processed"},
        "model": {"created": 1, "owned_by": "openai"},
        "message": {"type": "message", "role": "user", "status": "completed", "content": []},
        "group": {"name": "g", "created_at": 1, "is_scim_managed": False, "group_type": "group"},
        "agent.environment.file": {"environment_id": "env_1", "path": f"/a{number}", "size_bytes": 1},
    }
    return {"id": f"{kind}_{number}", "object": kind, **known[kind]}


def response(name: str, model: str, status: str, text: str | None = None) -> dict[str, Any]:
    """Answer a response of a model."""
    content: list[Any] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    said = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    rest = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "metadata": {}}
    usual = {
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    output = [said] if text is not None else []
    return {
        "id": name, "object": "response", "created_at": 1, "model": model, "status": status,
        "output": output, **rest, **usual,
    }  # fmt: skip


def session() -> dict[str, Any]:
    """Answer a session of the Agents API."""
    return {"id": "sess_1", "object": "agent.session", "status": "idle", "created_at": 1, "metadata": {}}


def answer(data: Any) -> Response:
    """Answer JSON with the headers that OpenAI sends."""
    return JSONResponse(data, headers=HEADERS)


def refusal(status: int, message: str, code: str | None) -> Response:
    """Answer an error as OpenAI does."""
    kind = code if code == "insufficient_quota" else KINDS.get(status, "invalid_request_error")
    headers = {**HEADERS, **({"retry-after": "7"} if status == 429 and code != "insufficient_quota" else {})}
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status, headers=headers)


def event(kind: str, number: int, **members: Any) -> str:
    """Answer one Server-Sent Event."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **members})}\n\n"
