"""A small catalog and a gateway that answers from memory, so that the face is tested by itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import errors
from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.mcp_server.http import McpEndpoint
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.methods import Methods
from linkspan.settings import Settings
from linkspan.spec.catalog import (
    Block,
    Catalog,
    Elicit,
    Entity,
    FieldInfo,
    Operation,
    Progress,
    Prompt,
    PromptMessage,
    RequestPlan,
    Resource,
    Scope,
    Tool,
    Value,
    scopes_allow,
)

Answer = Page | Item | DryRun | Blocks
Json = dict[str, Any]


class _Path:
    """A template without placeholders."""

    def __init__(self, text: str) -> None:
        self.text = text

    def expand(self, scope: Scope) -> str:
        return self.text


def constant(value: Any) -> Value:
    return lambda scope: value


def make_tool(
    operation: str,
    name: str,
    kind: Any = "read",
    properties: Json | None = None,
    *,
    entity: str = "ticket",
    progress: Progress | None = None,
    elicit: Elicit | None = None,
    connectors: tuple[str, ...] = ("desk",),
) -> Tool:
    schema: Json = {"type": "object", "properties": properties or {}, "additionalProperties": False}
    operations = {
        connector: Operation(
            entity=entity,
            name=operation,
            connector=connector,
            kind=kind,
            title=name,
            description=f"{name}.",
            schema=schema,
            plan=RequestPlan("GET", _Path("/tickets")),
            progress=progress,
            elicit=elicit,
        )
        for connector in connectors
    }
    return Tool(
        name=name,
        title=name.replace("_", " "),
        description=f"{name.replace('_', ' ')} in the desk.",
        input_schema=schema,
        output_schema={"type": "object"},
        annotations={
            "title": name,
            "readOnlyHint": kind == "read",
            "destructiveHint": kind == "delete",
            "idempotentHint": kind == "read",
            "openWorldHint": False,
        },
        kind=kind,
        entity=entity,
        operation=operation,
        operations=operations,
    )


ID = {"id": {"type": "string", "description": "The id."}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def make_catalog(version: str = "v1", tools: tuple[Tool, ...] | None = None) -> Catalog:
    known = (
        make_tool("list", "list_tickets", properties={"status": {"type": "string"}}),
        make_tool("get", "get_ticket", properties={**ID, "account": {"type": "string"}}),
        make_tool("create", "create_ticket", "write", {"title": {"type": "string"}}),
        make_tool("delete", "delete_ticket", "delete", dict(ID)),
        make_tool("slow", "slow_ticket", progress=Progress((0, 50, 100), 100)),
        make_tool(
            "ask",
            "ask_ticket",
            elicit=Elicit(constant("Sure?"), {"type": "object", "properties": {"sure": {"type": "boolean"}}}),
        ),
        make_tool(
            "region",
            "region_ticket",
            properties={"region": {"type": "string", "x-mcp-header": "Region"}, "other": {"type": "string"}},
        ),
    )
    return Catalog(
        name="acme",
        title="Acme Desk",
        instructions="Acme Desk: list, read and write tickets.",
        version=version,
        connectors={},
        entities={
            "ticket": Entity(
                "ticket",
                "tickets",
                "Ticket",
                (
                    FieldInfo("id", "string"),
                    FieldInfo("title", "string"),
                    FieldInfo("description", "string", markdown=True),
                ),
                ("desk",),
            )
        },
        tools=known if tools is None else tools,
        resources=(
            Resource(
                "acme://rules", "rules", "Rules", "House rules.", "text/plain", text=constant("Be kind.")
            ),
            Resource("acme://logo", "logo", "Logo", "The logo.", "image/png", blob=constant(PIXEL)),
            Resource(
                "acme://greeting/{name}",
                "greeting",
                "Greeting",
                "A greeting.",
                "text/plain",
                text=lambda scope: f"Hello {scope.arguments['name']}",
                parameters=("name",),
            ),
            Resource(
                "acme://report/{day}",
                "report",
                "Report",
                "A report of a day.",
                "text/plain",
                connector="desk",
                plan=RequestPlan("GET", _Path("/report")),
                parameters=("day",),
            ),
        ),
        prompts=(
            Prompt(
                "triage",
                "Triage",
                "Sort the new tickets.",
                (("team", "Whose tickets.", True), ("since", "From when.", False)),
                (
                    PromptMessage(
                        "user", Block("text", text=lambda scope: f"Team {scope.arguments['team']}")
                    ),
                    PromptMessage(
                        "user", Block("image", data=constant(PIXEL), mime_type=constant("image/png"))
                    ),
                ),
            ),
        ),
    )


@dataclass
class FakeGateway:
    """Answers tools from memory, as a gateway would: scopes checked, errors of the tree raised."""

    catalog: Catalog = field(default_factory=make_catalog)
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[Principal, str, dict[str, Any], CallInfo]] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    hangs: set[str] = field(default_factory=set)

    async def call(
        self, principal: Principal, tool: Tool, arguments: Mapping[str, Any], *, info: CallInfo
    ) -> Answer:
        self.calls.append((principal, tool.name, dict(arguments), info))
        if not scopes_allow(principal.scopes, tool.key, tool.kind):
            raise errors.Forbidden(
                f"the token lacks the scope {tool.key}", hint="Ask for one.", request_id=info.request_id
            )
        return await self._answer(principal, tool, arguments, info)

    async def _answer(
        self, principal: Principal, tool: Tool, arguments: Mapping[str, Any], info: CallInfo
    ) -> Answer:
        prepared = self.answers.get(tool.name)
        if isinstance(prepared, BaseException):
            raise prepared
        if callable(prepared):
            return prepared(arguments)  # type: ignore[no-any-return]
        if prepared is not None:
            return prepared  # type: ignore[no-any-return]
        if tool.operation == "hang" or tool.name in self.hangs:
            self.running.set()
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return Item({"id": "late"}, "acc")
        if tool.operation == "slow" and info.progress:
            for step in (0, 50, 100):
                await info.progress(step, 100)
        if tool.operation == "ask":
            schema = next(iter(tool.operations.values())).elicit
            asked = await info.elicit("Sure?", schema.schema if schema else {}) if info.elicit else None
            return Item({"id": "1", "asked": asked}, "acc")
        if tool.entity == "resource":
            return Item(f"report of {arguments['day']}", "acc")
        if tool.operation == "list":
            return page([{"id": str(n), "title": f"Ticket {n} of {principal.tenant}"} for n in range(1, 4)])
        return Item(
            {"id": arguments.get("id", "1"), "title": "One", "description": "# Broken\n\nBadly."}, "acc"
        )


def page(items: list[Any], next_cursor: str | None = None) -> Page:
    return Page(items, next_cursor, "acc", lambda count: f"after-{count}", connector="desk")


def principal(tenant: str = "acme", *scopes: str) -> Principal:
    return Principal(Tenant(tenant), "service", "tests", scopes or ("read", "write"), "abc")


TOKENS = {
    "good": principal(),
    "reader": principal("acme", "read"),
    "nothing": principal("acme", "invoice.list"),
    "other": principal("beta"),
}


async def authenticate(token: str, tenant: str) -> Principal:
    found = TOKENS.get(token)
    if found is None or found.tenant != tenant:
        raise errors.Unauthenticated("no")
    return found


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def methods(gateway: FakeGateway) -> Methods:
    numbers = itertools.count(1)
    return Methods(gateway, new_id=lambda: f"req_{next(numbers)}", clock=time.monotonic)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, max_request_bytes=100_000)


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def endpoint(methods: Methods, settings: Settings, hub: Hub) -> McpEndpoint:
    return McpEndpoint(methods, authenticate, settings, hub=hub)


class Http:
    """An MCP client at the level of HTTP."""

    def __init__(
        self, client: httpx2.AsyncClient, path: str = "/t/acme/mcp", token: str | None = "good"
    ) -> None:
        self.client = client
        self.path = path
        self.headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    async def post(self, body: Any, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.post(self.path, content=content, headers=given)

    async def legacy(self, method: str, params: Any = None, id_: Any = 1, **headers: str) -> Any:
        message = {"jsonrpc": "2.0", "id": id_, "method": method}
        if params is not None:
            message["params"] = params
        answer = await self.post(message, mcp_protocol_version="2025-06-18", **headers)
        return answer.json()

    async def modern(
        self,
        method: str,
        params: Json | None = None,
        id_: Any = 1,
        capabilities: Json | None = None,
        **headers: str,
    ) -> httpx2.Response:
        message = modern_message(method, params, id_, capabilities)
        return await self.post(message, **{**modern_headers(message), **headers})


def modern_message(
    method: str, params: Json | None = None, id_: Any = 1, capabilities: Json | None = None
) -> Json:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    }
    given = params or {}
    return {
        "jsonrpc": "2.0",
        "id": id_,
        "method": method,
        "params": {**given, "_meta": {**meta, **given.get("_meta", {})}},
    }


def modern_headers(message: Json) -> dict[str, str]:
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": message["method"]}
    named = message["params"].get("name") or message["params"].get("uri")
    if isinstance(named, str) and message["method"] in ("tools/call", "prompts/get", "resources/read"):
        headers["mcp_name"] = named
    return headers


@asynccontextmanager
async def connect(app: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8640") as client:
        yield client


@pytest.fixture
async def http(endpoint: McpEndpoint) -> AsyncIterator[Http]:
    async with connect(endpoint) as client:
        yield Http(client)


def events(text: str) -> list[Any]:
    return [json.loads(data) for data in re.findall(r"^data: (.+?)\r?$", text, re.MULTILINE)]


def hanging_catalog() -> Catalog:
    catalog = make_catalog()
    return replace(catalog, tools=(*catalog.tools, make_tool("hang", "hang_ticket")))
