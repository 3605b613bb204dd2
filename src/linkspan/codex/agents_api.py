"""OpenAI's Agents API as an engine: the Codex harness that OpenAI hosts, in a sandbox of its own.

A session with our MCP endpoint as a tool and, for work on a repository, its checkout. Its events have no
position to go on from, so a session is looked at again and again: its items in their order, then its status.
See developers.openai.com/api/docs/guides/agents-api (a beta: `OpenAI-Beta: agents=v1`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from linkspan.codex.engine import Event, Failure, Host, Interrupt, Look, Outcome, Steer, Task, Thread
from linkspan.codex.hosted import SERVER, Hosted, Json, Rest, failure_of, first_input, output_of
from linkspan.codex.hosted_checkout import BETA, HAND_IN, HostedCheckout
from linkspan.errors import LinkspanError, NotFound, UpstreamError, UpstreamTimeout

_REMINDER: Final = f"Nothing was handed in. Run `{HAND_IN}` now, do as it says, and change nothing else."
_WAITS: Final = (1.0, 2.0, 2.0, 5.0)
"""Seconds between two looks; the last one goes on."""
_MOST_FAILURES: Final = 5
"""Looks in a row that may fail."""
_PAGE: Final = 100
_TURN_ENDS: Final = ("completed", "failed", "cancelled")
_CODES: Final = {
    "rate_limit_exceeded": "rate_limited",
    "server_overloaded": "rate_limited",
    "authentication_error": "needs_reauth",
    "usage_limit_exceeded": "quota_exceeded",
    "project_spend_limit_exceeded": "quota_exceeded",
    "organization_spend_limit_exceeded": "quota_exceeded",
    "organization_usage_limit_exceeded": "quota_exceeded",
    "billing_not_active": "quota_exceeded",
    "credit_balance_exhausted": "quota_exceeded",
}
_NOTHING: Final = Failure("upstream_error", "Codex at OpenAI handed in nothing that it did.", retryable=True)
Sleep = Callable[[float], Awaitable[object]]


@dataclass
class _Session:
    """What is known of a session so far."""

    id: str
    rest: Rest
    turns_before: int = 0
    """Turns that it had when this run came to it."""
    turns_to_come: int = 1
    """Turns that it will have had when this run's last one is over."""
    after: str | None = None
    """The last item that was told."""
    words: str = ""
    reminded: set[str] = field(default_factory=set)
    """Turns in which nothing but a forgotten command is asked for: their words are not the run's."""
    interrupted: bool = False
    refused: Failure | None = None
    """Why what was handed in is not taken."""
    over: bool = False
    told: set[str] = field(default_factory=set)


class AgentsApi:
    """Lets the Codex that OpenAI hosts work."""

    name = "agents_api"

    def __init__(self, hosted: Hosted, *, sleep: Sleep = asyncio.sleep) -> None:
        self._hosted = hosted
        self._checkout = HostedCheckout(hosted, sleep=sleep)
        self._sleep = sleep

    async def work(self, task: Task, host: Host) -> Outcome:
        """Open a session, or go on with it where it was left; see `Engine.work`."""
        versions = {"engine": self.name, "model": str(task.model_name)}
        session: _Session | None = None
        try:
            async with asyncio.timeout(task.limits.seconds):
                await self._hosted.admit(task)
                session = await self._open(task, host)
                turns = await self._follow(task, host, session)
                there = await self._is_handed_in(task, host, session, turns)
                if not there:
                    turns = await self._remind(task, host, session)
                    there = await self._is_handed_in(task, host, session, turns)
                outcome = await self._end(task, host, session, turns, versions)
                refused = session.refused if there else _NOTHING
                if refused is not None and outcome.status == "completed":
                    outcome = replace(outcome, status="failed", failure=refused)
        except TimeoutError:
            await self._cancel(task, session)
            failure = Failure("upstream_timeout", "The time is over.")
            outcome = Outcome("failed", _thread(task, session), failure=failure, versions=versions)
        except LinkspanError as error:
            await self._cancel(task, session)
            outcome = Outcome("failed", _thread(task, session), failure=failure_of(error), versions=versions)
        except asyncio.CancelledError:
            await asyncio.shield(self._leave(task, session))
            raise
        await self._tidy(task, session)
        return outcome

    async def _open(self, task: Task, host: Host) -> _Session:
        """Answer the session to work in: this run's own, an older one that it goes on with, or a new one.

        A sandbox has the checkout of the run that it was made for, so work on a repository goes on with no
        other run's session.
        """
        there = await self._there(task)
        if task.thread is not None and there is not None:
            if (there.get("metadata") or {}).get("linkspan_run") == task.run:
                return _Session(task.thread.id, Rest(self._sleep))
            if task.workspace is None:
                known = len(await self._turns(task, task.thread.id))
                session = _Session(task.thread.id, Rest(self._sleep), known)
                await self._say(task, session, first_input(task), key=f"{task.run}:first")
                return session
        found = await self._begun(task)
        if found is None:
            body: Json = {
                "agent": self._agent(task),
                "environment": await self._checkout.environment(task),
                "input": first_input(task),
                "metadata": {"linkspan_run": task.run},
            }
            # Asked again for a repository, the file that it names is another one.
            words = {"idempotency_key": task.run} if task.workspace is None else {}
            found = str((await self._ask(task, "POST", "/agents/sessions", body, **words))["id"])
        session = _Session(found, Rest(self._sleep))
        await host.began(Thread(session.id))
        await host.tell(Event("thread_started", {"id": session.id}))
        return session

    async def _there(self, task: Task) -> Json | None:
        """Answer the session of the task's thread; None where it was removed with its sandbox."""
        if task.thread is None:
            return None
        try:
            return await self._ask(task, "GET", f"/agents/sessions/{task.thread.id}")
        except NotFound:
            if task.workspace is None:
                raise
            return None

    async def _begun(self, task: Task) -> str | None:
        """Answer the session that a worker began for this run, and died before it wrote that down."""
        if task.workspace is None:
            return None
        query = f"limit=1&metadata[linkspan_run]={quote(task.run)}"
        page = await self._ask(task, "GET", "/agents/sessions", query=query)
        return next((str(each["id"]) for each in page.get("data") or ()), None)

    async def _is_handed_in(self, task: Task, host: Host, session: _Session, turns: list[Json]) -> bool:
        """Take over what was changed; tells whether nothing more is to be asked for."""
        if task.workspace is None or not task.hands_in or turns[-1].get("status") == "failed":
            return True
        ours = [str(turn["id"]) for turn in turns]
        try:
            return await self._checkout.take_back(task, task.workspace, host, session.id, ours)
        except LinkspanError as error:
            session.refused = failure_of(error)
            return True

    async def _remind(self, task: Task, host: Host, session: _Session) -> list[Json]:
        """Have the command run that Codex forgot, once; a worker that died meanwhile has asked already."""
        if not session.reminded:
            known = len(await self._turns(task, session.id))
            await self._say(task, session, [_message(_REMINDER)], key=f"{task.run}:hand_in")
            session.over, session.turns_to_come = False, known + 1
        return await self._follow(task, host, session)

    async def _leave(self, task: Task, session: _Session | None) -> None:
        await self._cancel(task, session)
        await self._tidy(task, session)

    async def _tidy(self, task: Task, session: _Session | None) -> None:
        """Leave no sandbox behind; what was said and done in it is kept here."""
        if session is not None and task.workspace is not None:
            await self._checkout.remove(task, session.id)

    def _agent(self, task: Task) -> Json:
        agent: Json = {"model": task.model_name}
        if (said := self._checkout.instructions(task)) is not None:
            agent["instructions"] = said
        if task.effort is not None:
            agent["reasoning"] = {"effort": task.effort}
        if task.output_schema is not None:
            agent["text"] = {"format": {"type": "json_schema", "schema": dict(task.output_schema)}}
        url = self._hosted.tools_url(task)
        if url is not None and task.tools is not None:
            transport = {
                "type": "http",
                "server_url": url,
                "authorization": task.tools.token.reveal(),
            }
            agent["tools"] = [
                {"type": "mcp", "server_label": SERVER, "transport": transport, "required": True}
            ]
        return agent

    async def _follow(self, task: Task, host: Host, session: _Session) -> list[Json]:
        following = asyncio.create_task(self._watch(task, host, session))
        listening = asyncio.create_task(self._listen(task, host, session))
        try:
            return await following
        finally:
            for each in (following, listening):
                each.cancel()
            await asyncio.gather(following, listening, return_exceptions=True)

    async def _listen(self, task: Task, host: Host, session: _Session) -> None:
        async for word in host.words():
            if isinstance(word, Look):
                session.rest.end()
            elif isinstance(word, Interrupt):
                session.interrupted = True
                await self._cancel(task, session)
            elif isinstance(word, Steer):
                try:
                    await self._say(task, session, [_message(word.text)])
                except LinkspanError as error:
                    await host.tell(Event("warning", {"message": f"It was not heard: {error.message}"}))

    async def _watch(self, task: Task, host: Host, session: _Session) -> list[Json]:
        """Look until the newest turn of ours has ended, and answer all of ours."""
        number = failures = 0
        while True:
            try:
                there = await self._ask(task, "GET", f"/agents/sessions/{session.id}")
                turns = (await self._turns(task, session.id))[session.turns_before :]
                await self._tell_items(task, host, session, {str(turn["id"]) for turn in turns})
                failures = 0
            except (UpstreamError, UpstreamTimeout):
                failures += 1
                if failures >= _MOST_FAILURES:
                    raise
                there, turns = {}, []
            for turn in turns:
                await self._once(
                    host, session, f"began:{turn['id']}", Event("turn_started", {"id": turn["id"]})
                )
            is_last = session.turns_before + len(turns) >= session.turns_to_come
            ended = is_last and bool(turns) and turns[-1].get("status") in _TURN_ENDS
            if ended and there.get("status") != "in_progress":
                session.over = True
                return turns
            if there.get("status") == "failed":
                session.over = True
                return [*turns, {"status": "failed", "error": {"message": there.get("error")}}]
            if not turns:
                await self._checkout.look(task, there)
            for action in there.get("required_actions") or ():
                await self._decline(task, host, session, action)
            await session.rest.last(_WAITS[min(number, len(_WAITS) - 1)])
            number += 1

    async def _decline(self, task: Task, host: Host, session: _Session, action: Json) -> None:
        """Say no to what it asks: people approve what is published, and nothing out there."""
        if action.get("type") != "mcp_approval_request":
            raise UpstreamError(f"the session waits for {action.get('type')}, which no run can give it")
        identified = str(action.get("request_id"))
        answer = {
            "type": "agent.session.input.mcp_approval_request_result",
            "request_id": identified,
            "response": {"type": "mcp_tool_call", "decision": "deny"},
        }
        await self._events(task, session, answer, key=f"{task.run}:{identified}")
        words = "It asked for what nobody approves there, and was told no."
        await self._once(host, session, f"denied:{identified}", Event("warning", {"message": words}))

    async def _tell_items(self, task: Task, host: Host, session: _Session, turns: set[str]) -> None:
        while True:
            query = f"order=asc&limit={_PAGE}" + (f"&after={quote(session.after)}" if session.after else "")
            page = await self._ask(task, "GET", f"/agents/sessions/{session.id}/items", query=query)
            items = page.get("data") or []
            for item in items:
                if item.get("status") == "in_progress":
                    return  # what comes after it is told after it
                shown, turn = _item(item), str(item.get("turn_id"))
                if item.get("role") == "user" and _said(item, "input_text") == _REMINDER:
                    session.reminded.add(turn)
                if shown is not None and turn in turns:
                    await host.tell(Event("item_completed", {"item": shown}))
                    if shown["type"] == "agentMessage" and turn not in session.reminded:
                        session.words = str(shown["text"])
                session.after = str(item.get("id") or session.after)
            if not page.get("has_more"):
                return

    async def _end(
        self, task: Task, host: Host, session: _Session, turns: list[Json], versions: dict[str, str]
    ) -> Outcome:
        for each in turns:
            usage = await self._hosted.spend(task, each.get("usage"), str(task.model_name))
            if usage is not None:
                await host.tell(usage)
        turn = turns[-1]
        thread, words = Thread(session.id), session.words
        status = "interrupted" if session.interrupted or turn.get("status") == "cancelled" else None
        failure = None if status or turn.get("status") == "completed" else _failure(turn)
        told = {"id": turn.get("id"), "status": status or ("failed" if failure else "completed")}
        await host.tell(Event("turn_completed", {**told, **({"error": failure.message} if failure else {})}))
        if status:
            return Outcome("interrupted", thread, words, versions=versions)
        if failure is not None:
            return Outcome("failed", thread, words, failure=failure, versions=versions)
        output, failure = output_of(task, words)
        return Outcome("failed" if failure else "completed", thread, words, output, failure, versions)

    async def _turns(self, task: Task, session: str) -> list[Json]:
        page = await self._ask(
            task, "GET", f"/agents/sessions/{session}/turns", query=f"order=asc&limit={_PAGE}"
        )
        return [turn for turn in page.get("data") or () if not turn.get("subagent_id")]

    async def _say(self, task: Task, session: _Session, said: list[Json], *, key: str | None = None) -> None:
        await self._events(task, session, {"type": "agent.session.input.message", "input": said}, key=key)

    async def _events(self, task: Task, session: _Session, event: Json, *, key: str | None = None) -> None:
        words = {"idempotency_key": key} if key else {}
        await self._ask(task, "POST", f"/agents/sessions/{session.id}/events", {"events": [event]}, **words)

    async def _cancel(self, task: Task, session: _Session | None) -> None:
        if session is not None and not session.over:
            with contextlib.suppress(LinkspanError):
                await self._events(task, session, {"type": "agent.session.input.cancel"})

    async def _ask(self, task: Task, method: str, path: str, body: Json | None = None, **words: str) -> Json:
        return await self._hosted.ask(task, method, path, body, openai_beta=BETA, **words)

    async def _once(self, host: Host, session: _Session, key: str, event: Event) -> None:
        if key not in session.told:
            session.told.add(key)
            await host.tell(event)


def _thread(task: Task, session: _Session | None) -> Thread | None:
    return Thread(session.id) if session is not None else task.thread


def _message(text: str) -> Json:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _said(item: Json, kind: str) -> str:
    parts = item.get("content") or ()
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") == kind)


def _item(item: Json) -> Json | None:
    """Answer an item as Codex names it; None for one of a kind that nobody is shown."""
    identified, kind = item.get("id"), item.get("type")
    if kind == "message" and item.get("role") == "assistant":
        return {"id": identified, "type": "agentMessage", "text": _said(item, "output_text")}
    if kind == "mcp_call":
        return {
            "id": identified,
            "type": "mcpToolCall",
            "server": item.get("server_label"),
            "tool": item.get("name"),
            "arguments": item.get("arguments"),
            "result": item.get("output"),
            "error": item.get("error"),
            "status": item.get("status"),
        }
    if kind == "command_execution":
        return {
            "id": identified,
            "type": "commandExecution",
            "command": item.get("command"),
            "cwd": item.get("cwd"),
            "exitCode": item.get("exit_code"),
            "aggregatedOutput": item.get("output"),
            "status": item.get("status"),
        }
    return None


def _failure(turn: Json) -> Failure:
    error: Json = turn.get("error") or {}
    said = str(error.get("message") or error.get("code") or "it did not say why").rstrip(".")
    code = _CODES.get(str(error.get("code")), "upstream_error")
    return Failure(
        code, f"OpenAI's session failed: {said}.", retryable=code in ("rate_limited", "upstream_error")
    )
