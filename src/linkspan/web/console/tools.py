"""The tools of a tenant as Codex sees them, what they cost it, a try of each, and entities to browse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from linkspan.accounts.principal import Tenant
from linkspan.errors import LinkspanError, NotFound
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Page
from linkspan.spec.catalog import Tool
from linkspan.store.runs import Run
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.runs import RUN_COLUMNS, run_row
from linkspan.web.console.shape import Block, Cell, Field, Form, Table, Text, Value, onward

_SHOWN_COLUMNS = 5
_LONGEST = 80
_ANSWER = 60_000
_RUNS = 20


async def listed(visit: Visit) -> Response:
    """Answer all tools, with what each costs."""
    tenant = await visit.tenant()
    rows: list[list[Value]] = []
    whole = 0
    for tool in visit.parts.gateway.catalog.tools:
        size = _size(tool)
        whole += size
        here = f"{PATH}/tenants/{tenant}/tools/{tool.name}"
        rows.append([Cell(tool.name, here), tool.kind, _first(tool.description), f"about {-(-size // 4):,}"])
    note = (
        f"All at once would cost Codex about {whole // 4:,} tokens; it searches them by words and loads few."
    )
    table = Table("Tools", ("Tool", "Kind", "Says", "Tokens"), rows, "tools.yaml declares none.", note)
    return visit.show("What Codex sees", [table], up=_up(tenant))


async def show(visit: Visit) -> Response:
    """Answer one tool, and a form to try it with."""
    tenant, tool = await visit.tenant(), _tool(visit)
    return _page(visit, tenant, tool, _example(tool))


async def attempt(visit: Visit) -> Response:
    """Call a tool as the tenant, and show what came."""
    tenant, tool = await visit.tenant(), _tool(visit)
    given = visit.asked("arguments") or "{}"
    is_dry = visit.asked("send") != "yes" and tool.kind != "read"
    try:
        arguments = json.loads(given)
        if not isinstance(arguments, dict):
            raise ValueError("not an object")
    except ValueError:
        fault = Text("What came", "The arguments are not a JSON object.", code=False, tone="bad")
        return _page(visit, tenant, tool, given, fault)
    try:
        found = await _call(visit, tenant, tool, arguments, is_dry=is_dry)
    except LinkspanError as error:
        return _page(visit, tenant, tool, given, Text("What came", error.for_model(), tone="bad"))
    title = "What would be sent" if is_dry else "What came"
    return _page(visit, tenant, tool, given, Text(title, _json(found.to_dict())))


async def entities(visit: Visit) -> Response:
    """Answer the entities that can be listed."""
    tenant = await visit.tenant()
    here = f"{PATH}/tenants/{tenant}/entities"
    names = {tool.entity: tool for tool in visit.parts.gateway.catalog.tools if tool.operation == "list"}
    rows: list[list[Value]] = [
        [Cell(name, f"{here}/{name}"), ", ".join(tool.operations)] for name, tool in names.items()
    ]
    table = Table("Entities", ("Entity", "Comes from"), rows, "Nothing can be listed.")
    return visit.show("Its data", [table], up=_up(tenant))


async def items(visit: Visit) -> Response:
    """Answer a page of things of one kind, read through the tenant's own account."""
    tenant, name = await visit.tenant(), str(visit.request.path_params["entity"])
    tool = visit.parts.gateway.catalog.tool_for(f"{name}.list")
    if tool is None:
        raise NotFound(f"Nothing in tools.yaml lists {name!r}")
    cursor = visit.asked("cursor")
    up = [*_up(tenant), ("Its data", f"{PATH}/tenants/{tenant}/entities")]
    try:
        found = await _call(visit, tenant, tool, {"cursor": cursor} if cursor else {}, is_dry=False)
    except LinkspanError as error:
        return visit.show(name, [Text("What came", error.for_model(), code=False, tone="bad")], up=up)
    listed_ = found.result if isinstance(found, Page) else []
    things = [each for each in listed_ if isinstance(each, Mapping)]
    here = f"{PATH}/tenants/{tenant}/entities/{name}"
    columns = _columns(things)
    rows = [[_thing(each, column, here) for column in columns] for each in things]
    more = found.next_cursor if isinstance(found, Page) else None
    table = Table(
        "Found", columns, rows, "There are none.", more=onward(here, {"cursor": more}) if more else None
    )
    return visit.show(name, [table], up=up)


async def item(visit: Visit) -> Response:
    """Answer one thing."""
    tenant, name = await visit.tenant(), str(visit.request.path_params["entity"])
    tool = visit.parts.gateway.catalog.tool_for(f"{name}.get")
    if tool is None:
        raise NotFound(f"Nothing in tools.yaml gets a single {name!r}")
    identified = str(visit.request.path_params["item"])
    here = f"{PATH}/tenants/{tenant}/entities"
    up = [*_up(tenant), ("Its data", here), (name, f"{here}/{name}")]
    known: Mapping[str, Any] = {}
    try:
        found = await _call(visit, tenant, tool, {"id": identified}, is_dry=False)
    except LinkspanError as error:
        came = Text("What came", error.for_model(), code=False, tone="bad")
    else:
        result = found.to_dict().get("result")
        came = Text(name, _json(result))
        known = result if isinstance(result, Mapping) else {}
    rows = [run_row(run) for run in await _runs_about(visit, tenant, name, identified, known)]
    return visit.show(identified, [came, Table("Runs about it", RUN_COLUMNS, rows, "There are none.")], up=up)


async def _runs_about(
    visit: Visit, tenant: Tenant, entity: str, identified: str, thing: Mapping[str, Any]
) -> list[Run]:
    """Answer the newest runs on a thing, by whichever of its names they were asked for."""
    names = dict.fromkeys([identified, *(str(thing[name]) for name in ("id", "key") if thing.get(name))])
    who = visit.principal(tenant)
    runs = [
        run
        for name in names
        for run in await visit.parts.runs.list(who, entity=entity, entity_id=name, limit=_RUNS)
    ]
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)[:_RUNS]


async def _call(
    visit: Visit, tenant: Tenant, tool: Tool, arguments: Mapping[str, Any], *, is_dry: bool
) -> Any:
    info = CallInfo(request_id=uuid.uuid4().hex, via="console", only_show=is_dry)
    return await visit.parts.gateway.call(visit.principal(tenant), tool, arguments, info=info)


def _page(visit: Visit, tenant: Tenant, tool: Tool, given: str, came: Text | None = None) -> Response:
    here = f"{PATH}/tenants/{tenant}/tools"
    size = _size(tool)
    blocks: list[Block] = [came] if came is not None else []
    fields = [Field("arguments", "Arguments, as JSON", given, "area")]
    note = "It is called as the operator, with the tenant's own account."
    if tool.kind != "read":
        note += " Without the tick the request is shown and not sent."
        fields.append(Field("send", "Really do it", "yes", "check"))
    if visit.admin.may("operator") or tool.kind == "read":
        blocks.append(Form("Try it", f"{here}/{tool.name}", fields, "Call", note))
    blocks += [
        Text(
            "What Codex is told",
            tool.description,
            f"About {-(-size // 4):,} tokens with its schema.",
            code=False,
        ),
        Text("Its arguments", _json(tool.input_schema)),
    ]
    return visit.show(tool.name, blocks, up=[*_up(tenant), ("What Codex sees", here)])


def _tool(visit: Visit) -> Tool:
    found = visit.parts.gateway.catalog.tool(str(visit.request.path_params["tool"]))
    if found is None:
        raise NotFound("There is no such tool in tools.yaml")
    return found


def _up(tenant: Tenant) -> list[tuple[str, str]]:
    return [("Tenants", f"{PATH}/tenants"), (tenant, f"{PATH}/tenants/{tenant}")]


def _size(tool: Tool) -> int:
    return len(json.dumps(tool.definition(), ensure_ascii=False, separators=(",", ":")).encode())


def _first(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _example(tool: Tool) -> str:
    schema = tool.input_schema
    properties = schema.get("properties", {})
    needed = {name: "" for name in schema.get("required", ()) if name in properties}
    return json.dumps(needed, indent=2)


def _columns(things: list[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for each in things for name, value in each.items() if _is_plain(value))
    first = [name for name in ("id", "title", "name", "status", "state") if name in names]
    return [*first, *(name for name in names if name not in first)][:_SHOWN_COLUMNS] or ["id"]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _thing(thing: Mapping[str, Any], column: str, here: str) -> Value:
    value = thing.get(column)
    if value is None:
        return None
    text = _first(str(value))
    return Cell(text, f"{here}/{quote(str(value), safe='')}") if column == "id" else text


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= _ANSWER else f"{text[:_ANSWER]}\n… (cut)"
