"""`resources/read`: a thing of an entity as Markdown, or a resource that tools.yaml declares."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from linkspan import errors
from linkspan.gateway.blocks import render_block
from linkspan.gateway.results import Blocks, Item
from linkspan.mcp_server import protocol, resources
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.calls import Calls
from linkspan.mcp_server.protocol import INTERNAL_ERROR, INVALID_PARAMS, Fault
from linkspan.mcp_server.shorten import encode
from linkspan.mcp_server.surface import MARKDOWN, Surface, resource_key
from linkspan.spec import run_tools
from linkspan.spec.catalog import Block, Json, Operation, Resource, Scope, Tool, scopes_allow
from linkspan.text import markdown


async def read(params: Mapping[str, Any], caller: Caller, surface: Surface, calls: Calls) -> list[Json]:
    """Answer the contents of `params.uri`; raises `Fault` that says what to do instead."""
    uri = params.get("uri")
    if type(uri) is not str or not 0 < len(uri) <= resources.MAX_URI:
        raise Fault(INVALID_PARAMS, "params.uri must be the URI of a resource")
    try:
        found = resources.parse_entity_uri(uri)
        if found is not None:
            return await _entity(uri, found, params, caller, surface, calls)
        return await _declared(uri, params, caller, surface, calls)
    except errors.LinkspanError as error:
        raise _fault(error, uri, caller) from error


async def _entity(
    uri: str,
    found: resources.EntityUri,
    params: Mapping[str, Any],
    caller: Caller,
    surface: Surface,
    calls: Calls,
) -> list[Json]:
    tool = surface.catalog.tool_for(f"{found.entity}.get")
    part = found.id if found.account is not None and found.entity == run_tools.ENTITY else None
    if tool is None or not scopes_allow(surface.scopes, tool.key, tool.kind):
        raise _unknown(uri, caller)
    if part is not None:
        if part not in run_tools.PARTS:
            raise _unknown(uri, caller)
        made = await calls.answer(run_tools.RUN_PART, {"id": found.account, "part": part}, params, caller)
        shown = made.result if isinstance(made, Item) else {}
        return [{"uri": uri, "mimeType": shown["media_type"], "text": shown["text"]}]
    arguments = {"id": found.id} if found.account is None else {"id": found.id, "account": found.account}
    answer = await calls.answer(tool, arguments, params, caller)
    if isinstance(answer, Blocks):
        return [_content(block, uri) for block in answer.blocks]
    entity = surface.catalog.entities.get(found.entity)
    text = markdown.render(
        answer.result if isinstance(answer, Item) else answer.to_dict(),
        title=(entity and entity.title) or found.entity,
        sections=[field.name for field in entity.fields if field.markdown] if entity else (),
    )
    return [{"uri": uri, "mimeType": MARKDOWN, "text": text}]


async def _declared(
    uri: str, params: Mapping[str, Any], caller: Caller, surface: Surface, calls: Calls
) -> list[Json]:
    found = resources.match(surface.resources(), uri)
    if found is None:
        raise _unknown(uri, caller)
    resource, values = found
    if resource.plan is None:
        block = Block("resource", text=resource.text, data=resource.blob)
        shown: Json = {**render_block(block, Scope(values))["resource"], "uri": uri}
        return [{**shown, "mimeType": resource.mime_type} if resource.mime_type else shown]
    answer = await calls.answer(_reader(resource), values, params, caller)
    return [_answered(answer.result if isinstance(answer, Item) else None, uri, resource.mime_type)]


def _reader(resource: Resource) -> Tool:
    """Answer a declared resource that is read from a product as a tool that no list shows."""
    schema: Json = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in resource.parameters},
        "required": list(resource.parameters),
        "additionalProperties": False,
    }
    operation = Operation(
        entity="resource",
        name=resource.name,
        connector=resource.connector or "",
        kind="read",
        title=resource.title,
        description=resource.description,
        schema=schema,
        plan=resource.plan,
        item=lambda body: body,
    )
    return Tool(
        name=resource_key(resource),
        title=resource.title,
        description=resource.description,
        input_schema=schema,
        output_schema=None,
        annotations={},
        kind="read",
        entity="resource",
        operation=resource.name,
        operations={operation.connector: operation},
    )


def _answered(body: Any, uri: str, mime_type: str) -> Json:
    """Answer what a product answered as contents: bytes as they are, data as JSON."""
    if isinstance(body, bytes):
        return {"uri": uri, "mimeType": mime_type, "blob": base64.b64encode(body).decode()}
    text = body if isinstance(body, str) else encode(body).decode()
    return {"uri": uri, "mimeType": mime_type, "text": text}


def _content(block: Json, uri: str) -> Json:
    if block.get("type") == "resource":
        resource: Json = block["resource"]
        return resource
    if block.get("type") == "text":
        return {"uri": uri, "mimeType": "text/plain", "text": block["text"]}
    return {"uri": uri, "mimeType": block.get("mimeType"), "blob": block.get("data")}


def _fault(error: errors.LinkspanError, uri: str, caller: Caller) -> Fault:
    data = {"uri": uri, **error.to_dict()["error"]}
    if isinstance(error, errors.NotFound):
        return Fault(_not_found(caller), error.for_model(), data)
    code = INVALID_PARAMS if isinstance(error, errors.InvalidArgument) else INTERNAL_ERROR
    return Fault(code, error.for_model(), data)


def _unknown(uri: str, caller: Caller) -> Fault:
    told = f"Unknown resource: {uri[:200]}. See resources/templates/list for what can be read."
    return Fault(_not_found(caller), told, {"uri": uri})


def _not_found(caller: Caller) -> int:
    return INVALID_PARAMS if caller.modern else protocol.RESOURCE_NOT_FOUND
