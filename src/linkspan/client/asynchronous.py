"""The client for async programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from linkspan.client.answers import (
    TRIES,
    Ask,
    Base,
    Batch,
    Page,
    Thing,
    batch_of,
    good,
    page_of,
    thing_of,
    wait_of,
    write,
)


class AsyncLinkspan(Base):
    """The same for async programs: entities, the proxy, batches and runs' states; every call is awaited."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        account: str | None = None,
        tenant: str | None = None,
        timeout: float = 60.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """As for `Linkspan`."""
        super().__init__(token, account, tenant)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            base_url=base_url, headers=self._headers, timeout=timeout, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def send(self, ask: Ask) -> httpx2.Response:
        """Send one request; raises the error that a failure names."""
        for left in reversed(range(TRIES)):
            answer = await self._http.request(**self.request_of(ask))
            wait = wait_of(answer, ask, left)
            if wait is None:
                return good(answer)
            await self._sleep(wait)
        raise AssertionError

    async def data(self, ask: Ask) -> Any:
        """Send one request; answers the JSON of its answer."""
        return (await self.send(ask)).json()

    async def page(self, entities: str, **filters: Any) -> Page:
        """Answer one page of things: `ticketing/tickets`."""
        return page_of(await self.data(Ask("GET", f"/unified/{entities}", filters)))

    async def list(self, entities: str, **filters: Any) -> AsyncIterator[Thing]:
        """Answer all things that fit."""
        cursor = None
        while True:
            page = await self.page(entities, **{**filters, "next_cursor": cursor})
            for thing in page.result:
                yield thing
            cursor = page.next_cursor
            if cursor is None:
                return

    async def get(self, entities: str, thing: str, /, **more: Any) -> Thing:
        """Answer one thing."""
        return thing_of(await self.data(Ask("GET", f"/unified/{entities}/{quote(thing, safe='')}", more)))

    async def create(self, entities: str, *, idempotency_key: str | None = None, **fields: Any) -> Thing:
        """Make a thing."""
        return thing_of(await self.data(write("POST", f"/unified/{entities}", fields, idempotency_key)))

    async def update(
        self, entities: str, thing: str, /, *, idempotency_key: str | None = None, **fields: Any
    ) -> Thing:
        """Change a thing."""
        path = f"/unified/{entities}/{quote(thing, safe='')}"
        return thing_of(await self.data(write("PATCH", path, fields, idempotency_key)))

    async def delete(self, entities: str, thing: str, /) -> Thing:
        """Remove a thing."""
        return thing_of(await self.data(Ask("DELETE", f"/unified/{entities}/{quote(thing, safe='')}")))

    async def do(
        self,
        entities: str,
        operation: str,
        thing: str | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Any:
        """Do any other operation: `do("ticketing/tickets", "comment", "7", body="…")`."""
        path = f"/unified/{entities}" if thing is None else f"/unified/{entities}/{quote(thing, safe='')}"
        return (await self.data(write("POST", f"{path}/{operation}", fields, idempotency_key)))["result"]

    async def proxy(
        self, connector: str, method: str, path: str, *, body: Any = None, **params: Any
    ) -> httpx2.Response:
        """Send a request to a linked product as it is."""
        return await self.send(Ask(method, f"/proxy/{connector}/{path.lstrip('/')}", params, body))

    async def batch(self, *resources: Thing, **args: Any) -> Batch:
        """Make several calls at once, each with what others found."""
        body = {"resources": resources, "args": args}
        return batch_of(await self.data(Ask("POST", "/batch-request", body=body)))

    async def start_run(self, recipe: str, *, idempotency_key: str | None = None, **more: Any) -> Thing:
        """Start a run of Codex."""
        asked = write("POST", "/runs", {"recipe": recipe, **more}, idempotency_key)
        return thing_of(await self.data(asked))

    async def run(self, run: str, /) -> Thing:
        """Answer a run of Codex."""
        return thing_of(await self.data(Ask("GET", f"/runs/{run}")))
