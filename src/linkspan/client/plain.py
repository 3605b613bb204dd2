"""The client for programs that wait for each answer."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from linkspan.client.answers import (
    ENDED,
    TRIES,
    Ask,
    Base,
    Batch,
    Event,
    Page,
    Thing,
    batch_of,
    events_of,
    good,
    page_of,
    thing_of,
    wait_of,
    write,
)

_MOST_LOST = 5
"""Connections that may be lost one after the other until somebody is told."""


class Linkspan(Base):
    """The API of one Linkspan. `token` is a tenant's, one of an account, or an admin key."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        account: str | None = None,
        tenant: str | None = None,
        timeout: float = 60.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`account` is the linked account to use where there are several; `tenant` is for admin keys."""
        super().__init__(token, account, tenant)
        self.sleep = sleep
        self._http = httpx2.Client(
            base_url=base_url, headers=self._headers, timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def send(self, ask: Ask) -> httpx2.Response:
        """Send one request; raises the error that a failure names."""
        for left in reversed(range(TRIES)):
            answer = self._http.request(**self.request_of(ask))
            wait = wait_of(answer, ask, left)
            if wait is None:
                return good(answer)
            self.sleep(wait)
        raise AssertionError

    @contextlib.contextmanager
    def open(self, ask: Ask, **how: Any) -> Iterator[httpx2.Response]:
        """Open an answer that is read as it comes; raises the error that a failure names."""
        with self._http.stream(**self.request_of(ask), **how) as answer:
            if answer.is_error:
                answer.read()
            yield good(answer)

    def data(self, ask: Ask) -> Any:
        """Send one request; answers the JSON of its answer."""
        return self.send(ask).json()

    def entities(self, name: str) -> Entities:
        """Answer things of one kind: `ticketing/tickets`."""
        return Entities(self, name)

    def proxy(self, connector: str) -> Proxy:
        """Answer a linked product as it is."""
        return Proxy(self, connector)

    @property
    def runs(self) -> Runs:
        """Answer runs of Codex."""
        return Runs(self)

    def batch(self, *resources: Thing, **args: Any) -> Batch:
        """Make several calls at once, each with what others found."""
        return batch_of(self.data(Ask("POST", "/batch-request", body={"resources": resources, "args": args})))

    def log(self, **filters: Any) -> Iterator[Thing]:
        """Answer rows of the audit log, newest first, as they are read. Needs an admin key."""
        with self.open(Ask("GET", "/log/export", filters)) as answer:
            for line in answer.iter_lines():
                yield json.loads(line)


class Entities:
    """Things of one kind, whatever product they come from."""

    def __init__(self, client: Linkspan, name: str) -> None:
        self._client = client
        self._path = f"/unified/{name.strip('/')}"

    def page(self, **filters: Any) -> Page:
        """Answer one page."""
        return page_of(self._client.data(Ask("GET", self._path, filters)))

    def list(self, **filters: Any) -> Iterator[Thing]:
        """Answer all things that fit, a page after the other."""
        page = self.page(**filters)
        yield from page.result
        while page.next_cursor is not None:
            page = self.page(**{**filters, "next_cursor": page.next_cursor})
            yield from page.result

    def get(self, thing: str, /, **more: Any) -> Thing:
        """Answer one thing."""
        return thing_of(self._client.data(Ask("GET", self._at(thing), more)))

    def create(self, *, idempotency_key: str | None = None, **fields: Any) -> Thing:
        """Make a thing."""
        return thing_of(self._client.data(write("POST", self._path, fields, idempotency_key)))

    def update(self, thing: str, /, *, idempotency_key: str | None = None, **fields: Any) -> Thing:
        """Change a thing."""
        return thing_of(self._client.data(write("PATCH", self._at(thing), fields, idempotency_key)))

    def delete(self, thing: str, /) -> Thing:
        """Remove a thing."""
        return thing_of(self._client.data(Ask("DELETE", self._at(thing))))

    def do(
        self,
        operation: str,
        thing: str | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Any:
        """Do any other operation: `do("comment", "7", body="…")`, `do("search", query="…")`."""
        path = f"{self._path if thing is None else self._at(thing)}/{operation}"
        return self._client.data(write("POST", path, fields, idempotency_key))["result"]

    def _at(self, thing: str, /) -> str:
        return f"{self._path}/{quote(thing, safe='')}"


class Proxy:
    """A linked product, one to one."""

    def __init__(self, client: Linkspan, connector: str) -> None:
        self._client = client
        self._path = f"/proxy/{connector}/"

    def request(self, method: str, path: str, *, body: Any = None, **params: Any) -> httpx2.Response:
        """Send a request; answers what the product answered. Raises where that is a failure."""
        return self._client.send(Ask(method, self._path + path.lstrip("/"), params, body))

    def get(self, path: str, **params: Any) -> httpx2.Response:
        """Read something."""
        return self.request("GET", path, **params)

    @contextlib.contextmanager
    def stream(self, method: str, path: str, *, body: Any = None, **params: Any) -> Iterator[httpx2.Response]:
        """Open an answer that is read as it comes."""
        ask = Ask(method, self._path + path.lstrip("/"), params, body)
        with self._client.open(ask) as answer:
            yield answer


class Runs:
    """Runs of Codex."""

    def __init__(self, client: Linkspan) -> None:
        self._client = client

    def start(self, recipe: str, *, idempotency_key: str | None = None, **more: Any) -> Thing:
        """Start one: `entity_id`, `person`, `integrated_account_id`."""
        asked = write("POST", "/runs", {"recipe": recipe, **more}, idempotency_key)
        return thing_of(self._client.data(asked))

    def get(self, run: str, /) -> Thing:
        """Answer one."""
        return thing_of(self._client.data(Ask("GET", f"/runs/{run}")))

    def list(self, **filters: Any) -> Iterator[Thing]:
        """Answer all that fit, the one that changed last first."""
        cursor = None
        while True:
            page = self._client.data(Ask("GET", "/runs", {**filters, "next_cursor": cursor}))
            yield from page["result"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def do(self, verb: str, run: str, /, **more: Any) -> Thing:
        """`cancel`, `interrupt`, `steer`, `retry`, `fork`, `approve` or `decline` a run."""
        return thing_of(self._client.data(Ask("POST", f"/runs/{run}/{verb}", body=more)))

    def events(self, run: str, /, *, after: int = 0) -> Iterator[Event]:
        """Answer what happened and what happens, to the run's end. Goes on where a connection was lost."""
        lost = 0
        while True:
            ask = Ask("GET", f"/runs/{run}/events", {"after": after}, headers={"Accept": "text/event-stream"})
            try:
                with self._client.open(ask, timeout=None) as answer:
                    for event in events_of(answer.iter_lines()):
                        lost, after = 0, event.seq or after
                        yield event
                        if event.kind == "end":
                            return
            except httpx2.TransportError:
                lost += 1
                if lost == _MOST_LOST:
                    raise
            self._client.sleep(1)

    def wait(self, run: str, /) -> Thing:
        """Answer a run when it has ended."""
        found = self.get(run)
        if found["state"] not in ENDED:
            for _event in self.events(run):
                pass
            found = self.get(run)
        return found

    def artifact(self, run: str, /, name: str) -> bytes:
        """Answer what it made: `diff`, `patch`, `transcript`, `output`."""
        return self._client.send(Ask("GET", f"/runs/{run}/artifacts/{quote(name, safe='')}")).content
