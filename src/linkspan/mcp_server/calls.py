"""Calls of tools: what a request says around its arguments, and what the model reads of the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from linkspan import errors
from linkspan.gateway.calls import CallInfo, Elicitor, ProgressTeller
from linkspan.gateway.results import DryRun
from linkspan.mcp_server.caller import Caller, codex_ids, meta_of
from linkspan.mcp_server.ports import Answer, Gateway
from linkspan.mcp_server.questions import AnswerNeeded
from linkspan.mcp_server.resources import entity_uri
from linkspan.mcp_server.results import error_result, tool_result
from linkspan.spec.catalog import Json, Tool

log = logging.getLogger("linkspan.mcp")
Written = Callable[[str, str], None]
"""Is told a tenant and the URI of one of its resources that a call has changed."""


class Calls:
    """Makes calls through the gateway. `limit` bounds what a model is shown of one result, in bytes."""

    def __init__(
        self, gateway: Gateway, *, new_id: Callable[[], str], limit: int, written: Written | None
    ) -> None:
        self._gateway = gateway
        self._new_id = new_id
        self._limit = limit
        self._written = written

    async def result(
        self,
        tool: Tool,
        arguments: Json,
        params: Mapping[str, Any],
        caller: Caller,
        elicit: Elicitor | None,
    ) -> bytes:
        """Answer the open result of a call, whether it went well or not; raises `AnswerNeeded`."""
        info = self._info(tool, params, caller, elicit)
        try:
            answer = await self._gateway.call(caller.principal, tool, arguments, info=info)
            if tool.kind != "read" and self._written is not None:
                self._tell_written(self._written, tool, arguments, answer, caller)
            account = "" if isinstance(answer, DryRun) else answer.account
            return tool_result(answer, self._limit, lambda item: self._whereabouts(tool, item, account))
        except AnswerNeeded:
            raise
        except errors.LinkspanError as error:
            return error_result(error, self._limit)
        except Exception as cause:
            return error_result(internal(cause, info.request_id, tool.name), self._limit)

    async def answer(
        self, tool: Tool, arguments: Mapping[str, Any], params: Mapping[str, Any], caller: Caller
    ) -> Answer:
        """Answer what the gateway answers; raises errors of the tree and nothing else."""
        info = self._info(tool, params, caller, None)
        try:
            return await self._gateway.call(caller.principal, tool, arguments, info=info)
        except errors.LinkspanError:
            raise
        except Exception as cause:
            raise internal(cause, info.request_id, tool.name) from cause

    def refused(self, error: errors.LinkspanError, caller: Caller) -> bytes:
        """Answer the open result of a call that is not made."""
        error.request_id = self.id_of(caller)
        return error_result(error, self._limit)

    def id_of(self, caller: Caller) -> str:
        """Answer the id of the request, where it came with one, or a new one."""
        return caller.request_id or self._new_id()

    def _info(
        self, tool: Tool, params: Mapping[str, Any], caller: Caller, elicit: Elicitor | None
    ) -> CallInfo:
        meta = meta_of(params)
        thread, turn, call = codex_ids(meta) if meta else (None, None, None)
        progress: ProgressTeller | None = None
        token = meta.get("progressToken")
        if caller.tell is not None and token is not None and tells_progress(tool):
            progress = _progress(token, caller)
        return CallInfo(self.id_of(caller), "mcp", caller.client, thread, turn, call, elicit, progress)

    def _tell_written(
        self, written: Written, tool: Tool, arguments: Json, answer: Answer, caller: Caller
    ) -> None:
        id_ = arguments.get("id")
        if isinstance(id_, str) and not isinstance(answer, DryRun):
            written(caller.principal.tenant, entity_uri(tool.entity, id_))

    def _whereabouts(self, tool: Tool, item: Any, account: str) -> str:
        """Answer how to get at all of an item that is too long for one result."""
        found = item if isinstance(item, dict) else {}
        id_, url = found.get("id"), found.get("url")
        reader = self._gateway.catalog.tool_for(f"{tool.entity}.get")
        if isinstance(id_, str | int) and reader is not None:
            if tool.name != reader.name:
                return f"{reader.name} with this id shows more"
            uri = entity_uri(tool.entity, str(id_), account)
            return f"the resource {uri} holds all of it"
        if isinstance(url, str) and len(url) < 300:
            return f"the rest is at {url}"
        return "ask for less at a time"


def tells_progress(tool: Tool) -> bool:
    """Tell whether calls of the tool report progress."""
    return any(operation.progress is not None for operation in tool.operations.values())


def internal(cause: BaseException, request_id: str, what: str) -> errors.Internal:
    """Log an exception that nobody expected, in one line; answer what its caller is told."""
    log.error("request %s: %s failed: %s", request_id, what, outline(cause))
    return errors.Internal(
        "something went wrong inside Linkspan",
        hint=f"Try again in a minute; if it stays, the operator finds {request_id} in the log.",
        request_id=request_id,
    )


def outline(cause: BaseException) -> str:
    """Answer an exception as one line without its words: they may hold what must not be logged."""
    places: list[str] = []
    trace = cause.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(cause).__name__} at {' > '.join(places[-6:])}"


def _progress(token: Any, caller: Caller) -> ProgressTeller | None:
    tell = caller.tell
    if tell is None or type(token) not in (str, int):
        return None

    async def progress(done: float, total: float | None) -> None:
        params: Json = {"progressToken": token, "progress": done}
        if total is not None:
            params["total"] = total
        await tell("notifications/progress", params)

    return progress
