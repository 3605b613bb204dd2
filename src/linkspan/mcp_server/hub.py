"""What changed, told to those who listen: list changes to everybody, a resource's change to its tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan.mcp_server.protocol import INTERNAL_ERROR, META_SUBSCRIPTION, Fault
from linkspan.spec.catalog import Json

TOOLS: Final = "notifications/tools/list_changed"
PROMPTS: Final = "notifications/prompts/list_changed"
RESOURCES: Final = "notifications/resources/list_changed"
UPDATED: Final = "notifications/resources/updated"
_FILTERS: Final = {
    "toolsListChanged": TOOLS,
    "promptsListChanged": PROMPTS,
    "resourcesListChanged": RESOURCES,
}
_MAX_URIS: Final = 200
_BACKLOG: Final = 256


@dataclass(frozen=True, slots=True)
class Event:
    """A notification's method, and the resource it is about."""

    method: str
    uri: str | None = None


Listener = Callable[[Event], None]


class Hub:
    """Listeners by tenant. `max_per_tenant` bounds how many one tenant may have open."""

    def __init__(self, *, max_per_tenant: int = 100) -> None:
        self._max = max_per_tenant
        self._listeners: dict[str, dict[object, Listener]] = {}

    def listen(self, tenant: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event of the tenant until the answered function is called."""
        own = self._listeners.setdefault(tenant, {})
        if len(own) >= self._max:
            raise Fault(INTERNAL_ERROR, "Too many subscriptions are open for this tenant: close one first")
        token = object()
        own[token] = listener

        def stop() -> None:
            own.pop(token, None)
            if not own:
                self._listeners.pop(tenant, None)

        return stop

    def lists_changed(self) -> None:
        """Tell everybody that another catalog is served now."""
        for tenant in list(self._listeners):
            for method in (TOOLS, PROMPTS, RESOURCES):
                self._tell(tenant, Event(method))

    def updated(self, tenant: str, uri: str) -> None:
        """Tell a tenant's listeners that a resource changed."""
        self._tell(tenant, Event(UPDATED, uri))

    def _tell(self, tenant: str, event: Event) -> None:
        for listener in list(self._listeners.get(tenant, {}).values()):
            listener(event)


class Subscription:
    """One `subscriptions/listen` stream: what it asked for, and what waits to be sent."""

    def __init__(self, request_id: Any, notifications: object) -> None:
        wanted: Mapping[str, Any] = notifications if isinstance(notifications, dict) else {}
        uris = wanted.get("resourceSubscriptions")
        self.request_id = request_id
        self._methods = {method for key, method in _FILTERS.items() if wanted.get(key) is True}
        given = uris if isinstance(uris, list) else []
        self._uris = tuple(uri for uri in given[:_MAX_URIS] if isinstance(uri, str) and uri)
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Take an event if it was asked for. A reader that has stopped reading is let go."""
        if event.method in self._methods or (event.uri is not None and event.uri in self._uris):
            self._waiting.put_nowait(event if self._waiting.qsize() < _BACKLOG else None)

    def close(self) -> None:
        """End the stream."""
        self._waiting.put_nowait(None)

    async def next(self) -> tuple[str, Json] | None:
        """Answer the next notification (method, params), or None at the end."""
        event = await self._waiting.get()
        if event is None:
            return None
        params: Json = {"_meta": {META_SUBSCRIPTION: self.request_id}}
        if event.uri is not None:
            params["uri"] = event.uri
        return event.method, params

    def acknowledgement(self) -> tuple[str, Json]:
        """Answer the first notification of the stream: what of the filter is honoured."""
        honoured: Json = {key: True for key, method in _FILTERS.items() if method in self._methods}
        if self._uris:
            honoured["resourceSubscriptions"] = list(self._uris)
        return (
            "notifications/subscriptions/acknowledged",
            {"notifications": honoured, "_meta": {META_SUBSCRIPTION: self.request_id}},
        )
