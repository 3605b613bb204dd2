"""Background Responses of OpenAI's API as an engine, for jobs whose outcome is a structured answer.

`POST /responses` with `background` and `stream`; a stream that breaks is taken up again after the last event
that was seen (`GET /responses/ID?stream=true&starting_after=N`), and another worker asks for the answer until
it is there. See platform.openai.com/docs/guides/background.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.codex.engine import Event, Failure, Host, Interrupt, Look, Outcome, Task, Thread
from linkspan.codex.hosted import (
    SERVER,
    Hosted,
    Json,
    Rest,
    failure_of,
    first_input,
    output_of,
    warn_of_steering,
    who,
)
from linkspan.errors import InvalidArgument, LinkspanError, NotFound, UpstreamError, UpstreamTimeout

_ENDS: Final = ("completed", "failed", "cancelled", "incomplete")
_WAITS: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds between looks at an answer that is not there yet; the last one goes on."""
_MOST_BREAKS: Final = 20
Sleep = Callable[[float], Awaitable[object]]


@dataclass
class _Answer:
    """What is known of an answer so far."""

    rest: Rest
    id: str = ""
    """Empty until it was asked for."""
    previous: str | None = None
    """The answer that it goes on from."""
    streams: bool = True
    """Whether what happens is told as it happens: not of what another worker has told already."""
    seen: int = -1
    """The number of the last event."""
    whole: Json | None = None
    """The answer at its end."""
    interrupted: bool = False
    told: set[str] = field(default_factory=set)
    """Items that were told as completed."""


class Responses:
    """Lets a model of OpenAI work in the background."""

    name = "responses"

    def __init__(self, hosted: Hosted, *, sleep: Sleep = asyncio.sleep) -> None:
        self._hosted = hosted
        self._sleep = sleep

    async def work(self, task: Task, host: Host) -> Outcome:
        """Ask, or go on waiting for what was asked; see `Engine.work`."""
        versions = {"engine": self.name, "model": str(task.model_name)}
        answer: _Answer | None = None
        try:
            async with asyncio.timeout(task.limits.seconds):
                await self._hosted.admit(task)
                answer = await self._there(task)
                await self._follow(task, host, answer)
            return await self._end(task, host, answer, versions)
        except TimeoutError:
            await self._cancel(task, answer)
            failure = Failure("upstream_timeout", "The time is over.")
            return Outcome("failed", _thread(task, answer), failure=failure, versions=versions)
        except LinkspanError as error:
            return Outcome("failed", _thread(task, answer), failure=failure_of(error), versions=versions)
        except asyncio.CancelledError:
            await asyncio.shield(self._cancel(task, answer))
            raise

    async def _there(self, task: Task) -> _Answer:
        """Answer what this run has asked already, or what it is to ask."""
        if task.thread is None:
            return _Answer(Rest(self._sleep))
        there = await self._hosted.ask(task, "GET", f"/responses/{task.thread.id}")
        if (there.get("metadata") or {}).get("linkspan_run") == task.run:
            return _Answer(Rest(self._sleep), task.thread.id, streams=False)
        return _Answer(Rest(self._sleep), previous=task.thread.id)

    def _body(self, task: Task, previous: str | None) -> Json:
        body: Json = {
            "model": task.model_name,
            "input": first_input(task, detail="auto"),
            "background": True,
            "stream": True,
            "store": True,
            "metadata": {"linkspan_run": task.run},
            "safety_identifier": who(task),
        }
        if previous is not None:
            body["previous_response_id"] = previous
        if task.effort is not None:
            body["reasoning"] = {"effort": task.effort, "summary": "auto"}
        if task.limits.tokens is not None:
            body["max_output_tokens"] = max(task.limits.tokens, 16)
        if task.output_schema is not None:
            schema = dict(task.output_schema)
            body["text"] = {
                "format": {"type": "json_schema", "name": "outcome", "schema": schema, "strict": True}
            }
        url = self._hosted.tools_url(task)
        if url is not None and task.tools is not None:
            body["tools"] = [
                {
                    "type": "mcp",
                    "server_label": SERVER,
                    "server_url": url,
                    "authorization": task.tools.token.reveal(),
                    "require_approval": "never",
                }
            ]
        return body

    async def _follow(self, task: Task, host: Host, answer: _Answer) -> None:
        """Wait for the end, telling what happens; an interrupt cancels it there."""
        following = asyncio.create_task(self._watch(task, host, answer))
        listening = asyncio.create_task(self._listen(task, host, answer))
        try:
            await following
        finally:
            for each in (following, listening):
                each.cancel()
            await asyncio.gather(following, listening, return_exceptions=True)

    async def _listen(self, task: Task, host: Host, answer: _Answer) -> None:
        async for word in host.words():
            if isinstance(word, Look):
                answer.rest.end()
            elif isinstance(word, Interrupt):
                answer.interrupted = True
                await self._cancel(task, answer)
                return
            else:
                await warn_of_steering(host)

    async def _watch(self, task: Task, host: Host, answer: _Answer) -> None:
        if not answer.id:
            body = self._body(task, answer.previous)
            try:
                asked = self._hosted.stream(task, "POST", "/responses", body, idempotency_key=task.run)
                await self._read(host, answer, asked)
            except (UpstreamError, UpstreamTimeout):
                if not answer.id:
                    raise
        for number in itertools.count():
            found = await self._hosted.ask(task, "GET", f"/responses/{answer.id}")
            if found.get("status") in _ENDS:
                answer.whole = found
                return
            if answer.streams and number < _MOST_BREAKS:
                # A stream that cannot be had, or that breaks, is no failure: the answer goes on without it.
                query = f"stream=true&starting_after={answer.seen}"
                with contextlib.suppress(NotFound, UpstreamError, UpstreamTimeout, InvalidArgument):
                    again = self._hosted.stream(task, "GET", f"/responses/{answer.id}", query=query)
                    await self._read(host, answer, again)
            await answer.rest.last(_WAITS[min(number, len(_WAITS) - 1)])

    async def _read(
        self,
        host: Host,
        answer: _Answer,
        opening: contextlib.AbstractAsyncContextManager[AsyncIterator[Json]],
    ) -> None:
        """Tell what a stream tells, to its end."""
        async with opening as events:
            async for told in events:
                number = told.get("sequence_number")
                if isinstance(number, int):
                    if number <= answer.seen:
                        continue
                    answer.seen = number
                if not answer.id:
                    answer.id = str((told.get("response") or {}).get("id") or "")
                    if not answer.id:
                        raise UpstreamError("OpenAI did not say which answer it began")
                    await host.began(Thread(answer.id))
                    await host.tell(Event("thread_started", {"id": answer.id}))
                    await host.tell(Event("turn_started", {"id": answer.id}))
                event = _event(told)
                if event is not None:
                    if event.kind == "item_completed":
                        answer.told.add(str(event.data["item"].get("id")))
                    await host.tell(event)
                if str(told.get("type", "")).removeprefix("response.") in _ENDS:
                    return

    async def _end(self, task: Task, host: Host, answer: _Answer, versions: dict[str, str]) -> Outcome:
        whole = answer.whole or {}
        versions["model"] = str(whole.get("model") or task.model_name)
        for item in whole.get("output") or ():
            shown = _item(item)
            if shown is not None and str(shown.get("id")) not in answer.told:
                await host.tell(Event("item_completed", {"item": shown}))
        usage = await self._hosted.spend(task, whole.get("usage"), versions["model"])
        if usage is not None:
            await host.tell(usage)
        thread, words, status = Thread(answer.id), _words(whole), str(whole.get("status"))
        if status == "cancelled" or answer.interrupted:
            await host.tell(Event("turn_completed", {"id": answer.id, "status": "interrupted"}))
            return Outcome("interrupted", thread, words, versions=versions)
        failure = None if status == "completed" else _failure(whole)
        told = {"id": answer.id, "status": "failed" if failure else "completed"}
        await host.tell(Event("turn_completed", {**told, **({"error": failure.message} if failure else {})}))
        if failure is not None:
            return Outcome("failed", thread, words, failure=failure, versions=versions)
        output, failure = output_of(task, words)
        return Outcome("failed" if failure else "completed", thread, words, output, failure, versions)

    async def _cancel(self, task: Task, answer: _Answer | None) -> None:
        if answer is not None and answer.id and answer.whole is None:
            with contextlib.suppress(LinkspanError):
                await self._hosted.ask(task, "POST", f"/responses/{answer.id}/cancel", {})


def _thread(task: Task, answer: _Answer | None) -> Thread | None:
    return Thread(answer.id) if answer is not None and answer.id else task.thread


def _event(told: Json) -> Event | None:
    kind = told.get("type")
    if kind in ("response.output_item.added", "response.output_item.done"):
        item = _item(told.get("item") or {})
        if item is None:
            return None
        return Event("item_started" if kind.endswith("added") else "item_completed", {"item": item})
    if kind == "response.output_text.delta":
        return Event("message_delta", {"item_id": told.get("item_id"), "text": told.get("delta")})
    if kind == "response.reasoning_summary_text.delta":
        return Event("reasoning_delta", {"item_id": told.get("item_id"), "text": told.get("delta")})
    if kind == "error":
        return Event("error", {"message": told.get("message"), "code": told.get("code"), "will_retry": False})
    return None


def _item(item: Json) -> Json | None:
    """Answer an item as Codex names it; None for one of a kind that nobody is shown."""
    identified, kind = item.get("id"), item.get("type")
    if kind == "message":
        return {"id": identified, "type": "agentMessage", "text": _said(item)}
    if kind == "reasoning":
        summary = "\n\n".join(str(part.get("text") or "") for part in item.get("summary") or ())
        return {"id": identified, "type": "reasoning", "summary": summary}
    if kind == "mcp_call":
        return {
            "id": identified,
            "type": "mcpToolCall",
            "server": item.get("server_label"),
            "tool": item.get("name"),
            "arguments": item.get("arguments"),
            "result": item.get("output"),
            "error": item.get("error"),
            "status": "failed" if item.get("error") else "completed",
        }
    return None


def _said(item: Json) -> str:
    return "".join(
        str(part.get("text") or "") for part in item.get("content") or () if part.get("type") == "output_text"
    )


def _words(whole: Json) -> str:
    messages = [item for item in whole.get("output") or () if item.get("type") == "message"]
    return _said(messages[-1]) if messages else ""


def _failure(whole: Json) -> Failure:
    """Answer why an answer is none (https://platform.openai.com/docs/api-reference/responses/object)."""
    error: Any = whole.get("error") or {}
    if whole.get("status") == "incomplete":
        why = (whole.get("incomplete_details") or {}).get("reason")
        if why == "max_output_tokens":
            return Failure("quota_exceeded", "The run's budget of tokens is spent.")
        return Failure("upstream_error", f"OpenAI ended the answer: {why or 'it did not say why'}.")
    code = {"rate_limit_exceeded": "rate_limited", "insufficient_quota": "quota_exceeded"}.get(
        str(error.get("code")), "upstream_error"
    )
    said = str(error.get("message") or "it did not say why").rstrip(".")
    return Failure(code, f"OpenAI failed: {said}.", retryable=code != "quota_exceeded")
