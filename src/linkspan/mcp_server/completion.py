"""Completion of ids: what the first page of an entity's list holds, kept for half a minute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from linkspan import errors
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Page
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.ports import Gateway
from linkspan.mcp_server.resources import SCHEME
from linkspan.spec.catalog import scopes_allow

KEPT_SECONDS: Final = 30.0
_KEPT_LISTS: Final = 256
_Key = tuple[str, str, str, str, str | None]


class Completions:
    """Ids of things by tenant, principal, entity and account. `clock` answers epoch seconds."""

    def __init__(self, gateway: Gateway, clock: Callable[[], float]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._kept: OrderedDict[_Key, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def ids(
        self, template: object, prefix: str, caller: Caller, account: str | None, request_id: str
    ) -> list[str]:
        """Answer the ids that begin with `prefix`, in the list's order; nothing where there is no list."""
        if not isinstance(template, str) or not template.startswith(SCHEME):
            return []
        entity = template[len(SCHEME) :].split("/")[0]
        tool = self._gateway.catalog.tool_for(f"{entity}.list")
        principal = caller.principal
        if tool is None or not scopes_allow(principal.scopes, tool.key, tool.kind):
            return []
        key = (principal.tenant, principal.kind, principal.subject, entity, account)
        kept = self._kept.get(key)
        now = self._clock()
        if kept is None or kept[0] < now:
            arguments = {"account": account} if account else {}
            info = CallInfo(request_id, "mcp", caller.client)
            try:
                answer = await self._gateway.call(principal, tool, arguments, info=info)
            except errors.LinkspanError:
                return []
            items = answer.result if isinstance(answer, Page) else []
            found = tuple(
                str(item["id"])
                for item in items
                if isinstance(item, dict) and isinstance(item.get("id"), str | int)
            )
            kept = self._kept[key] = (now + KEPT_SECONDS, found)
            self._kept.move_to_end(key)
            if len(self._kept) > _KEPT_LISTS:
                self._kept.popitem(last=False)
        return [id_ for id_ in kept[1] if id_.startswith(prefix)]
