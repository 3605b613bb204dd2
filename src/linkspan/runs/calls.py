"""Runs as the gateway's calls: what the tools for runs do, behind the same checks as every other tool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from linkspan.accounts.principal import Principal
from linkspan.errors import InvalidArgument
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.cursor import Cursor, Cursors
from linkspan.gateway.results import DryRun, Item, Page
from linkspan.runs.about import still
from linkspan.runs.runs import Runs
from linkspan.runs.shown import shown_approval, shown_run
from linkspan.spec.catalog import Tool
from linkspan.spec.run_tools import RUN_PART
from linkspan.store.runs import Run
from linkspan.wire import Position

_PAGE: Final = 20
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at a run that another process works."""
_KEY: Final = "run.list"


class RunCalls:
    """Answers calls of the tools for runs."""

    def __init__(self, runs: Runs, cursors: Cursors) -> None:
        self._runs = runs
        self._cursors = cursors

    async def __call__(
        self, principal: Principal, tool: Tool, given: Mapping[str, Any], info: CallInfo
    ) -> Page | Item | DryRun:
        """Do what the tool says; the arguments fit its schema. Raises errors of the tree."""
        if tool is RUN_PART:
            return await self._part(principal, given)
        match tool.operation:
            case "start":
                return await self._start(principal, given, info)
            case "get":
                return await self._get(principal, given)
            case "list":
                return await self._list(principal, given)
            case _:
                return await self._cancel(principal, given)

    async def _start(self, principal: Principal, given: Mapping[str, Any], info: CallInfo) -> Item | DryRun:
        asked = {"entity_id": given.get("id"), "account": given.get("account")}
        if given.get("dry_run"):
            await self._runs.check(principal, given["recipe"], entity_id=asked["entity_id"])
            return DryRun({"recipe": given["recipe"], **asked}, "")
        # A client that repeats a call (after 401 or a lost answer) gives the same call id.
        key = f"{info.thread_id or ''}/{info.call_id}" if info.call_id else None
        run = await self._runs.start(principal, given["recipe"], source=info.via, key=key, **asked)
        return Item(_told(run), "")

    async def _get(self, principal: Principal, given: Mapping[str, Any]) -> Item:
        run = await self._runs.get(principal, given["id"])
        end = asyncio.get_running_loop().time() + (given.get("wait") or 0)
        state = run.state
        while run.state == state and not run.is_finished:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await self._runs.bell.wait(min(left, _LOOK_EVERY))
            run = await self._runs.get(principal, run.id)
        shown = _told(run)
        if run.state == "waiting_approval":
            waiting = [one for one in await self._runs.approvals(principal, run.id) if one.decision is None]
            shown["waits_for"] = [shown_approval(one) for one in waiting]
        return Item(shown, "")

    async def _part(self, principal: Principal, given: Mapping[str, Any]) -> Item:
        artifact, data = await self._runs.artifact(principal, given["id"], given["part"])
        text = data.decode(errors="replace")
        return Item({"media_type": artifact.media_type.partition(";")[0], "text": text}, "")

    async def _list(self, principal: Principal, given: Mapping[str, Any]) -> Page:
        asked = {name: given[name] for name in ("state", "recipe", "entity_id") if name in given}
        size = int(given.get("limit") or _PAGE)
        before = None
        if "cursor" in given:
            cursor = self._cursors.open(principal.tenant, _KEY, given["cursor"])
            asked = cursor.resumed(asked, "list_codex_runs")
            before = _place(str(cursor.position.at))
        found = await self._runs.list(
            principal,
            states=[asked["state"]] if "state" in asked else (),
            recipe=asked.get("recipe"),
            entity_id=asked.get("entity_id"),
            before=before,
            limit=size + 1,
        )
        page = found[:size]

        def resume_after(count: int) -> str:
            last = page[count - 1]
            position = Position(f"{last.updated!r} {last.id}")
            return self._cursors.seal(principal.tenant, _KEY, Cursor("", position, 0, asked))

        more = resume_after(len(page)) if len(found) > size else None
        return Page([_told(run) for run in page], more, "", resume_after)

    async def _cancel(self, principal: Principal, given: Mapping[str, Any]) -> Item | DryRun:
        if given.get("dry_run"):
            run = await self._runs.get(principal, given["id"])
            return DryRun({"cancel": run.id, "state": run.state, "note": f"it {still(run)}"}, "")
        return Item(_told(await self._runs.cancel(principal, given["id"])), "")


def _told(run: Run) -> dict[str, Any]:
    """Answer a run for a model: what is empty is left out."""
    return {name: value for name, value in shown_run(run).items() if value not in (None, {}, [])}


def _place(at: str) -> tuple[float, str]:
    updated, _, run = at.partition(" ")
    try:
        return float(updated), run
    except ValueError as error:
        raise InvalidArgument("the cursor is not one of this list") from error
