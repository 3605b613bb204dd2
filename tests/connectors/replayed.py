"""The answers of products that the package ships, and an application that gives them again.

A case is one call: what it is to send, what the product answers to that, and what is to come out. A request
that is not the one that was kept, or that is missing, is a failure.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.gateway.watch import Watch
from linkspan.settings import Settings
from linkspan.spec.answers import findings
from linkspan.spec.catalog import Catalog
from linkspan.spec.language import connector_names
from linkspan.spec.recordings import shipped
from tests.fakes.asgi import AsgiTransport

WITHOUT_ENTITIES: Final = ("openai",)
"""Connectors that only hold a credential."""
CONNECTORS: Final = [name for name in connector_names() if name not in WITHOUT_ENTITIES]
ACME: Final = Principal(Tenant("acme"), "service", "tests")
CLIENT: Final = {"id": "canary-client", "secret": "canary-client-secret"}


kept: Final = functools.cache(shipped)
"""What is kept of a product; read once, since every case asks."""


def cases() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield connector, name and content of every case."""
    for name in CONNECTORS:
        for title, case in kept(name)["cases"].items():
            yield name, title, case


@dataclass
class Replayer:
    """The product, as an ASGI application: it knows exactly the exchanges it was given, in their order."""

    waiting: list[Mapping[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Compare a request with the one that is next, and give its answer."""
        request = Request(scope, receive)
        response = self._answer(request, await request.body())
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        got = {
            "request": f"{request.method} {unquote(request.url.path)}",
            "query": _pairs(request.url.query),
            "body": _read(request.headers.get("content-type", ""), body),
        }
        if not self.waiting:
            self.wrong.append(f"one request too many: {got}")
            return Response(status_code=500)
        exchange = self.waiting.pop(0)
        method_and_path, _, query = exchange["request"].partition("?")
        wanted = {"request": method_and_path, "query": _pairs(query), "body": exchange.get("body")}
        if isinstance(got["body"], dict) and "query" in got["body"] and "graphql" in exchange:
            words = " ".join(got["body"]["query"].split())
            if exchange["graphql"] not in words:
                self.wrong.append(f"{exchange['graphql']!r} is not in {words!r}")
            got["body"] = got["body"].get("variables") or None
        if got != wanted:
            self.wrong.append(f"sent   {got}\nwanted {wanted}")
        for header, value in exchange.get("headers", {}).items():
            if request.headers.get(header) != value:
                self.wrong.append(f"{header}: {request.headers.get(header)!r}, wanted {value!r}")
        answer = exchange.get("answer")
        headers = {"content-type": "application/json", **exchange.get("answer_headers", {})}
        content = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
        return Response(content, exchange.get("status", 200), headers)


def _pairs(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, keep_blank_values=True))


def _read(content_type: str, body: bytes) -> Any:
    if not body:
        return None
    if content_type.startswith("application/json"):
        return json.loads(body)
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode()))
    return body.decode(errors="replace")


@dataclass
class Bench:
    """An installation that uses one built-in connector, linked, and the product behind it."""

    app: App
    product: Replayer
    transport: AsgiTransport

    async def call(self, case: Mapping[str, Any]) -> Any:
        """Make the call of a case: an item, or a list read to its last page.

        What a read answers is held against what is mapped, as `linkspan check --live` does.
        """
        watch = Watch()
        result = await self._call(case, watch)
        tool = self.app.catalog.tool_for(case["call"])
        assert tool is not None
        (operation,) = tool.operations.values()
        things = [thing for thing in watch.things if thing is not None]
        if operation.kind == "read" and operation.fields:
            found = findings(watch.as_called(operation), things)
            unknown = {name: list(words) for name, words in found.unmapped_words.items()}
            assert unknown == case.get("unknown", {}), f"{case['call']}: not in values"
            assert not found.flattened, f"{case['call']}: things became texts: {found.flattened}"
        return result

    async def _call(self, case: Mapping[str, Any], watch: Watch) -> Any:
        tool = self.app.catalog.tool_for(case["call"])
        assert tool is not None, f"there is no {case['call']}"
        arguments = dict(case.get("arguments", {}))
        found: list[Any] = []
        while True:
            answer = await self.app.gateway.call(ACME, tool, arguments, info=CallInfo("req-1", watch=watch))
            if isinstance(answer, Item):
                return answer.result
            if isinstance(answer, Blocks):
                return answer.blocks
            if not isinstance(answer, Page):
                return answer
            found += answer.result
            if answer.next_cursor is None:
                return found
            arguments["cursor"] = answer.next_cursor


def catalog_of(home: Path, name: str, **words: Any) -> Catalog:
    """Compile a tools.yaml that has one built-in connector."""
    head = {
        "linkspan": 1,
        "name": "tests",
        "instructions": "List tickets, pull requests, alerts, silences, messages, designs, channels.",
    }
    file = home / "tools.yaml"
    content = json.dumps({**head, "connectors": {name: {"use": name, **words}}})
    file.write_text(content)
    return _loaded(file, content)


_LOADED: Final[dict[str, Catalog]] = {}


def _loaded(file: Path, content: str) -> Catalog:
    """Compile each file once in a process: a catalog is never changed."""
    if content not in _LOADED:
        _LOADED[content] = spec.load([file], {})
    return _LOADED[content]


@contextlib.asynccontextmanager
async def bench(name: str, home: Path) -> AsyncIterator[Bench]:
    """Build it with the connector as it is, and link it as its file says."""
    how = kept(name)["link"]
    catalog = catalog_of(home, name, **({"client": CLIENT} if how.get("client") else {}))
    product = Replayer()
    transport = AsgiTransport(product)
    app = await build(Settings(home=home / "home"), catalog=catalog, transport=transport)
    try:
        tenant = await app.tenants.add("acme")
        product.waiting = list(how["exchanges"])
        account = await app.accounts.link(
            tenant,
            catalog.connectors[name],
            method=how.get("auth"),
            secrets=how["secrets"],
            settings=how.get("settings", {}),
            verify=app.verifier,
        )
        assert not product.wrong, "\n".join(product.wrong)
        assert {"id": account.identity_id, "label": account.identity_label} == how["account"]
        yield Bench(app, product, transport)
    finally:
        await app.aclose()


def differences(got: Any, wanted: Any, at: str = "result") -> Iterator[str]:
    """Yield where what came lacks something that was wanted; more than that may be there."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for key, value in wanted.items():
            yield from differences(got.get(key), value, f"{at}.{key}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, value in enumerate(wanted):
            yield from differences(got[index], value, f"{at}[{index}]")
    elif got != wanted:
        yield f"{at}: {got!r}, wanted {wanted!r}"
