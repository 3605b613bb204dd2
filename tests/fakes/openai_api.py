"""OpenAI's API for work that it hosts, in memory: background Responses, and sessions of the Agents API.

What it is asked must be what the official package `openai` may send, and what it answers must be what that
package reads; both are held against the package's own types. What the model does is scripted: it calls tools
of the MCP server that it was given, with the authorization that it was given, runs commands in its sandbox,
and says something.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from openai import OpenAI
from openai.types.beta.agent_session_item import AgentSessionItem
from openai.types.beta.agents.session_create_params import SessionCreateParamsNonStreaming
from openai.types.beta.agents.sessions.event_create_params import EventCreateParams
from openai.types.beta.agents.sessions.turn import Turn
from openai.types.file_create_params import ExpiresAfter
from openai.types.file_object import FileObject
from openai.types.responses import Response as OpenAIResponse
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.openai_sandbox import PLACE, Sandbox

Json = dict[str, Any]


@dataclass
class Call:
    """What the model may do: call a tool, and run a command in its sandbox."""

    tool: Callable[[str, Json], Awaitable[str]]
    shell: Callable[[str], Awaitable[str]]

    async def __call__(self, tool: str, arguments: Json) -> str:
        return await self.tool(tool, arguments)


Script = Callable[[Call], Awaitable[str]]
"""What the model does: it may call, and answers its last words."""
_USAGE = {
    "input_tokens": 70,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 100,
}


@dataclass
class Work:
    """A response or a session, as it stands."""

    id: str
    body: Json
    status: str = "in_progress"
    items: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    turns: list[Json] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    denied: list[str] = field(default_factory=list)
    sandbox: Sandbox | None = None


@dataclass
class HostedOpenAI:
    """Everything of it. `scripts` are used up by responses and by turns of sessions, in their order."""

    public: str = "https://linkspan.example"
    """The address that it believes ours to be."""
    behind: str = ""
    """Where that really is."""
    key: str = ""
    scripts: list[Script] = field(default_factory=list)
    works: dict[str, Work] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    break_after: int | None = None
    """The next stream ends after so many events, as a lost connection does."""
    refusals: list[JSONResponse] = field(default_factory=list)
    """Answered first come first served to whatever makes something."""
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    disk: Path | None = None
    """Where sandboxes are."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    told: list[Json] = field(default_factory=list)
    """What webhooks were answered."""
    removed: list[str] = field(default_factory=list)
    """Sessions that were removed, with their sandboxes."""
    webhook: tuple[str, str] | None = None
    """The address and the secret (`whsec_…`) of what is told when a session is idle or an answer is there."""
    pace: Callable[[float], Awaitable[object]] = lambda _seconds: asyncio.sleep(0.05)
    """What who asks sleeps with between two looks."""
    asks_for: str | None = None
    """The next turn of a session waits until this request of its own is answered."""

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        session = "/v1/agents/sessions/{id}"
        return Starlette(
            routes=[
                Route("/v1/responses", self._respond, methods=["POST"]),
                Route("/v1/responses/{id}", self._response),
                Route("/v1/responses/{id}/cancel", self._cancel, methods=["POST"]),
                Route("/v1/files", self._upload, methods=["POST"]),
                Route("/v1/agents/sessions", self._open, methods=["POST"]),
                Route("/v1/agents/sessions", self._sessions, methods=["GET"]),
                Route("/v1/agents/environments/{id}", self._environment),
                Route(session, self._session, methods=["GET"]),
                Route(session, self._remove, methods=["DELETE"]),
                Route(f"{session}/artifacts", self._artifacts),
                Route(f"{session}/artifacts/{{artifact}}/content", self._content),
                Route(f"{session}/items", self._items),
                Route(f"{session}/turns", self._turns),
                Route(f"{session}/events", self._event, methods=["POST"]),
            ]
        )

    async def _enter(self, request: Request, shape: Any = None, *, beta: bool = False) -> Json | JSONResponse:
        path = request.url.path.removeprefix("/v1")
        self.asked.append(f"{request.method} {path}" + (f"?{request.url.query}" if request.url.query else ""))
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _refused(401, "Incorrect API key provided", "invalid_api_key")
        if beta and request.headers.get("openai-beta") != "agents=v1":
            return _refused(400, "The header OpenAI-Beta is missing", "invalid_request_error")
        if request.method != "POST":
            return {}
        if self.refusals and not path.endswith("/cancel"):
            return self.refusals.pop(0)
        if path == "/files":
            return {}
        body: Json = json.loads(await request.body() or b"{}")
        if shape is not None:
            try:
                TypeAdapter(shape).validate_python(body, extra="forbid")
            except ValidationError as error:
                self.wrong.append(str(error))
                return _refused(400, str(error)[:300], "invalid_request_error")
        return body

    # Responses -------------------------------------------------------------------------------------------

    async def _respond(self, request: Request) -> Any:
        body = await self._enter(request, ResponseCreateParamsStreaming)
        if isinstance(body, JSONResponse):
            return body
        if (previous := body.get("previous_response_id")) is not None and previous not in self.works:
            return _refused(400, "Previous response not found", "previous_response_not_found")
        key = request.headers.get("idempotency-key", "")
        work = self.works.get(self.keys.get(key, ""))
        if work is None:
            work = Work(f"resp_{len(self.works) + 1}", body)
            self.works[work.id], self.keys[key] = work, work.id
            self._happen(work, "response.created", response=self._as_response(work))
            work.task = asyncio.create_task(self._think(work))
        return self._streamed(work, -1)

    async def _think(self, work: Work) -> None:
        script = self.scripts.pop(0)

        async def tool(tool: str, arguments: Json) -> str:
            (server,) = work.body["tools"]
            output = await self._call(server["server_url"], server["authorization"], tool, arguments)
            item = {
                "id": f"mcp_{len(work.items)}",
                "type": "mcp_call",
                "server_label": server["server_label"],
                "name": tool,
                "arguments": json.dumps(arguments),
                "output": output,
                "status": "completed",
            }
            self._item(work, item)
            return output

        try:
            words = await script(Call(tool, _no_shell))
        except asyncio.CancelledError:
            work.status = "cancelled"
            self._happen(work, "response.cancelled", response=None)
            return
        identified, part = f"msg_{len(work.items)}", {"type": "output_text", "text": words, "annotations": []}
        self._happen(
            work,
            "response.output_text.delta",
            item_id=identified,
            output_index=len(work.items),
            content_index=0,
            delta=words,
            logprobs=[],
        )
        message = {"id": identified, "type": "message", "role": "assistant", "status": "completed"}
        self._item(work, {**message, "content": [part]})
        work.status = "completed"
        self._happen(work, "response.completed", response=self._as_response(work))
        await self._tell("response.completed", {"id": work.id})

    def _item(self, work: Work, item: Json) -> None:
        work.items.append(item)
        self._happen(work, "response.output_item.done", output_index=len(work.items) - 1, item=item)

    def _happen(self, work: Work, kind: str, **members: Any) -> None:
        event = {"type": kind, "sequence_number": len(work.events), **members}
        if members.get("response", 0) is not None:
            TypeAdapter(ResponseStreamEvent).validate_python(event)
        work.events.append(event)
        work.news.set()

    def _as_response(self, work: Work) -> Json:
        told = {
            "id": work.id,
            "object": "response",
            "created_at": 1_800_000_000,
            "model": f"{work.body['model']}-2026-11-01",
            "status": work.status,
            "background": True,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": work.body.get("metadata") or {},
            "output": list(work.items),
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": _USAGE if work.status == "completed" else None,
        }
        OpenAIResponse.model_validate(told)
        return told

    async def _response(self, request: Request) -> Any:
        entered = await self._enter(request)
        if isinstance(entered, JSONResponse):
            return entered
        work = self.works.get(request.path_params["id"])
        if work is None:
            return _refused(404, "Response not found", "not_found")
        if request.query_params.get("stream") == "true":
            return self._streamed(work, int(request.query_params.get("starting_after", -1)))
        return JSONResponse(self._as_response(work))

    def _streamed(self, work: Work, after: int) -> StreamingResponse:
        limit, self.break_after = self.break_after, None

        async def told() -> AsyncIterator[str]:
            number = after + 1
            while True:
                while number < len(work.events):
                    event = work.events[number]
                    yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
                    number += 1
                    if limit is not None and number > after + limit:
                        return
                if work.status != "in_progress":
                    return
                work.news.clear()
                await work.news.wait()

        return StreamingResponse(told(), media_type="text/event-stream")

    async def _cancel(self, request: Request) -> Any:
        entered = await self._enter(request)
        if isinstance(entered, JSONResponse):
            return entered
        work = self.works[request.path_params["id"]]
        await self._end(work)
        return JSONResponse(self._as_response(work))

    async def _end(self, work: Work) -> None:
        if work.task is not None and not work.task.done():
            work.task.cancel()
            await asyncio.gather(work.task, return_exceptions=True)

    # The Agents API --------------------------------------------------------------------------------------

    async def _open(self, request: Request) -> Any:
        body = await self._enter(request, SessionCreateParamsNonStreaming, beta=True)
        if isinstance(body, JSONResponse):
            return body
        key = request.headers.get("idempotency-key", "")
        work = self.works.get(self.keys.get(key, ""))
        if work is None:
            number = len(self.works) + len(self.removed) + 1
            work = Work(f"asess_{number}", body)
            if body["environment"]["type"] == "openai_hosted":
                assert self.disk is not None
                folder = self.disk / work.id
                folder.mkdir()
                work.sandbox = Sandbox(f"env_{number}", folder, body["environment"].get("network") or {})
            self.works[work.id] = work
            if key:
                self.keys[key] = work.id
            self._begin(work, body["input"])
        return JSONResponse(self._as_session(work))

    async def _upload(self, request: Request) -> Any:
        entered = await self._enter(request)
        if isinstance(entered, JSONResponse):
            return entered
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            seconds = int(str(form["expires_after[seconds]"]))
            expires = {"anchor": form["expires_after[anchor]"], "seconds": seconds}
            TypeAdapter(ExpiresAfter).validate_python(expires, extra="forbid")
            assert 3600 <= seconds <= 2_592_000
            data = await file.read()
        name = f"file_{len(self.uploads) + 1}"
        self.uploads[name] = data
        told = {"id": name, "bytes": len(data), "created_at": 1_800_000_000, "filename": file.filename}
        told |= {"object": "file", "purpose": form["purpose"], "status": "processed"}
        FileObject.model_validate(told)
        return JSONResponse(told)

    async def _sessions(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        run = request.query_params.get("metadata[linkspan_run]")
        found = [
            self._as_session(work)
            for work in self.works.values()
            if (work.body.get("metadata") or {}).get("linkspan_run") == run
        ]
        return JSONResponse({"object": "list", "data": found[:1], "has_more": False})

    async def _environment(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        there = (work.sandbox for work in self.works.values() if work.sandbox is not None)
        for sandbox in there:
            if sandbox.id == request.path_params["id"]:
                return JSONResponse(sandbox.as_info())
        return _refused(404, "Environment not found", "not_found")

    async def _remove(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        work = self.works.get(request.path_params["id"])
        if work is None:
            return _refused(404, "Session not found", "not_found")
        if work.status == "in_progress":
            return _refused(409, "The session is in progress", "conflict")
        del self.works[work.id]
        self.removed.append(work.id)
        return JSONResponse({"id": work.id, "deleted": True, "object": "agent.session.deleted"})

    async def _artifacts(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        sandbox = self.works[request.path_params["id"]].sandbox
        listed = [] if sandbox is None else list(reversed(sandbox.artifacts))
        after = request.query_params.get("after")
        ids = [each["id"] for each in listed]
        left = listed[ids.index(after) + 1 :] if after else listed
        return JSONResponse({"object": "list", "data": left[:1], "has_more": len(left) > 1})

    async def _content(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        sandbox = self.works[request.path_params["id"]].sandbox
        assert sandbox is not None
        data = sandbox.contents[request.path_params["artifact"]]
        return Response(data, media_type="application/octet-stream")

    def _begin(self, work: Work, said: list[Json]) -> None:
        turn = {
            "id": f"turn_{len(work.turns) + 1}",
            "agent_id": "agent_1",
            "created_at": 1_800_000_000,
            "object": "agent.session.turn",
            "session_id": work.id,
            "status": "in_progress",
        }
        work.turns.append(turn)
        work.status = "in_progress"
        work.task = asyncio.create_task(self._take(work, turn, said))

    async def _take(self, work: Work, turn: Json, said: list[Json]) -> None:
        if work.sandbox is not None and work.sandbox.status == "pending":
            work.turns.remove(turn)  # none begins before the sandbox is there
            await work.sandbox.prepare(work.body["environment"], self.uploads)
            if work.sandbox.status == "failed":
                work.status = "idle"
                return
            work.turns.append(turn)
        for each in said:
            self._say(work, turn, each)
        script = self.scripts.pop(0)

        async def shell(command: str) -> str:
            assert work.sandbox is not None
            code, output = await work.sandbox.run(command)
            item = {"type": "command_execution", "command": command, "cwd": PLACE}
            self._say(work, turn, {**item, "exit_code": code, "output": output})
            return output

        async def tool(tool: str, arguments: Json) -> str:
            (server,) = work.body["agent"]["tools"]
            way = server["transport"]
            output = await self._call(way["server_url"], way["authorization"], tool, arguments)
            item = {"type": "mcp_call", "server_label": server["server_label"], "name": tool}
            self._say(work, turn, {**item, "arguments": arguments, "output": output, "error": None})
            return output

        try:
            if self.asks_for is not None:
                work.status = "requires_action"
                await work.news.wait()
                work.status = "in_progress"
            words = await script(Call(tool, shell))
        except asyncio.CancelledError:
            turn["status"], work.status = "cancelled", "idle"
            return
        if words.startswith("fail:"):
            code, _, why = words.removeprefix("fail:").partition(":")
            turn |= {"status": "failed", "error": {"code": code, "message": why}}
            work.status = "idle"
            return
        part = {"type": "output_text", "text": words, "annotations": []}
        self._say(work, turn, {"type": "message", "role": "assistant", "content": [part]})
        if work.sandbox is not None:
            work.sandbox.publish(work.id, turn["id"])
        turn |= {"status": "completed", "usage": _USAGE}
        work.status = "idle"
        if work.sandbox is not None:
            there = {"environment_id": work.sandbox.id, "environment_type": "openai_hosted"}
            await self._tell("agent.session.idle", {"id": work.id, **there})

    async def _tell(self, kind: str, data: Json) -> None:
        """Tell that something is over, so that the official package takes it for OpenAI's word."""
        if self.webhook is None:
            return
        (url, secret), now = self.webhook, int(time.time())
        event = {"id": "evt_1", "object": "event", "created_at": now, "type": kind}
        raw = json.dumps({**event, "data": data}).encode()
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = base64.b64encode(hmac.digest(key, f"wh_1.{now}.".encode() + raw, "sha256")).decode()
        headers = {"webhook-id": "wh_1", "webhook-timestamp": str(now), "webhook-signature": f"v1,{signed}"}
        with OpenAI(api_key="unused", webhook_secret=secret) as client:
            told = client.webhooks.unwrap(raw, headers)
        assert told.type == kind and getattr(told.data, "id", None) == data["id"]
        async with httpx2.AsyncClient() as http:
            answer = await http.post(url, content=raw, headers=headers)
        self.told.append(answer.json())

    def _say(self, work: Work, turn: Json, item: Json) -> None:
        whole = {"id": f"item_{len(work.items) + 1}", "turn_id": turn["id"], "status": "completed", **item}
        TypeAdapter(AgentSessionItem).validate_python(whole)
        work.items.append(whole)

    def _as_session(self, work: Work) -> Json:
        agent = work.body["agent"]
        waits = {
            "type": "mcp_approval_request",
            "request_id": self.asks_for,
            "turn_id": f"turn_{len(work.turns)}",
            "request": {
                "type": "mcp_tool_call",
                "server_label": "linkspan",
                "arguments": {},
                "message": "May I?",
            },
        }
        return {
            "id": work.id,
            "object": "agent.session",
            "created_at": 1_800_000_000,
            "last_active_at": 1_800_000_000,
            "status": work.status,
            "metadata": work.body.get("metadata") or {},
            "required_actions": [waits] if work.status == "requires_action" else [],
            "vault_ids": [],
            "error": None,
            "usage": None,
            "environment": work.sandbox.as_resource() if work.sandbox is not None else {"type": "none"},
            "agent": {
                "id": "agent_1",
                "model": agent["model"],
                "multi_agent": {"enabled": False},
                "reasoning": {},
                "service_tier": "auto",
                "text": {},
                "tools": [],
            },
        }

    async def _session(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        work = self.works.get(request.path_params["id"])
        if work is None:
            return _refused(404, "Session not found", "not_found")
        return JSONResponse(self._as_session(work))

    async def _items(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        items = self.works[request.path_params["id"]].items
        ids = [each["id"] for each in items]
        after = request.query_params.get("after")
        left = items[ids.index(after) + 1 :] if after else items
        page = left[:1]  # a small page, so that lists are followed
        return JSONResponse({"object": "list", "data": page, "has_more": len(left) > 1})

    async def _turns(self, request: Request) -> Any:
        entered = await self._enter(request, beta=True)
        if isinstance(entered, JSONResponse):
            return entered
        turns = self.works[request.path_params["id"]].turns
        for turn in turns:
            Turn.model_validate(turn) if "error" not in turn else None
        return JSONResponse({"object": "list", "data": turns, "has_more": False})

    async def _event(self, request: Request) -> Any:
        body = await self._enter(request, EventCreateParams, beta=True)
        if isinstance(body, JSONResponse):
            return body
        work = self.works[request.path_params["id"]]
        for event in body["events"]:
            kind = event["type"].removeprefix("agent.session.input.")
            if kind == "cancel":
                await self._end(work)
            elif kind == "mcp_approval_request_result":
                work.denied.append(event["response"]["decision"])
                self.asks_for = None
                work.news.set()
            elif work.status == "in_progress":
                work.body.setdefault("steered", []).append(event["input"])
            else:
                work.body.setdefault("said", []).append(event["input"])
                self._begin(work, event["input"])
        return JSONResponse({"object": "list", "data": []})

    # What both share -------------------------------------------------------------------------------------

    async def _call(self, url: str, authorization: str, tool: str, arguments: Json) -> str:
        """Call a tool of an MCP server, as a client of the protocol does."""
        assert url.startswith(self.public)
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        headers = {
            "Authorization": f"Bearer {authorization}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-06-18",
        }
        async with httpx2.AsyncClient() as http:
            answer = await http.post(
                url.replace(self.public, self.behind),
                json={**asked, "params": {"name": tool, "arguments": arguments}},
                headers=headers,
            )
        if answer.status_code != 200:
            return f"HTTP {answer.status_code}"
        return json.dumps(answer.json()["result"]["structuredContent"])


async def _no_shell(_command: str) -> str:
    raise AssertionError("a response has no sandbox")


def _refused(status: int, message: str, code: str) -> JSONResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)


def rate_limited(seconds: int) -> JSONResponse:
    """Answer that it is too much."""
    answer = _refused(429, "Rate limit reached", "rate_limit_exceeded")
    answer.headers["retry-after"] = str(seconds)
    return answer


def spent(seconds: int) -> JSONResponse:
    """Answer that the quota is spent, with the header that a limit has."""
    answer = _refused(429, "You exceeded your current quota", "insufficient_quota")
    answer.headers["retry-after"] = str(seconds)
    return answer
