"""The MCP methods, apart from how they travel: params and a caller in, the bytes of a result out.

stdio, HTTP and the SDK's sessions all answer through `Methods`. What a model can mend comes back as a result
with `isError`; only what the protocol itself calls a fault is raised as `Fault`.
"""

from __future__ import annotations

import base64
import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkspan import errors
from linkspan.gateway.blocks import render_block
from linkspan.gateway.calls import CallInfo, Elicitor, ProgressTeller
from linkspan.gateway.results import Blocks, DryRun, Item
from linkspan.mcp_server import protocol, resources
from linkspan.mcp_server.caller import Caller, codex_ids, meta_of
from linkspan.mcp_server.completion import Completions
from linkspan.mcp_server.ports import Answer, Gateway
from linkspan.mcp_server.protocol import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, Fault
from linkspan.mcp_server.questions import AnswerNeeded, Questions, Sealer
from linkspan.mcp_server.results import error_result, tool_result
from linkspan.mcp_server.shorten import encode
from linkspan.mcp_server.surface import MARKDOWN, Surface, Surfaces, resource_key
from linkspan.spec.catalog import (
    ABSENT,
    Block,
    Json,
    Operation,
    Resource,
    Scope,
    Tool,
    Value,
    scopes_allow,
)
from linkspan.text import markdown

log = logging.getLogger("linkspan.mcp")

Handler = Callable[[Mapping[str, Any], Caller], Awaitable[bytes]]


class Methods:
    """Answers the methods of MCP for one gateway and all its tenants.

    `new_id` makes request ids, `clock` answers epoch seconds, `max_result_bytes` bounds what a model is shown
    of one tool result, `written` is told the tenant and the resource of what a call has changed, and `sealer`
    protects what a client has to bring back.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        new_id: Callable[[], str],
        clock: Callable[[], float],
        max_result_bytes: int = 30_000,
        written: Callable[[str, str], None] | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self.gateway = gateway
        self._new_id = new_id
        self._limit = max_result_bytes
        self._written = written
        self._surfaces = Surfaces()
        self._completions = Completions(gateway, clock)
        self._questions = Questions(sealer, clock)
        self._handlers: dict[str, Handler] = {
            "tools/call": self.call_tool,
            "resources/read": self.read_resource,
            "prompts/get": self.get_prompt,
            "completion/complete": self.complete,
        }

    def surface(self, caller: Caller) -> Surface:
        """Answer what the caller may see now."""
        return self._surfaces.of(self.gateway.catalog, caller.principal.scopes, live=caller.live)

    async def answer(self, method: str, params: Mapping[str, Any], caller: Caller) -> bytes:
        """Answer the result of a method; raises `Fault`."""
        handler = self._handlers.get(method)
        if handler is not None:
            return await handler(params, caller)
        return self.ready(method, params, caller)

    def ready(self, method: str, params: Mapping[str, Any], caller: Caller) -> bytes:
        """Answer what needs no waiting; raises `Fault` for a method that does not exist in the era."""
        if method in protocol.LIST_METHODS:
            return self.surface(caller).listing(method, params.get("cursor"), modern=caller.modern)
        if caller.modern:
            if method == "server/discover":
                return self.surface(caller).discover()
        elif method == "initialize":
            return self.surface(caller).initialize(protocol.negotiate(params.get("protocolVersion")))
        elif method == "ping":
            return b"{}"
        raise Fault(METHOD_NOT_FOUND, "Method not found", method)

    async def call_tool(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`tools/call`: whatever goes wrong in the call is a result that the model can read."""
        name, arguments = params.get("name"), params.get("arguments")
        if type(name) is not str:
            raise Fault(INVALID_PARAMS, "params.name must be the name of a tool")
        if arguments is None:
            arguments = {}
        elif type(arguments) is not dict:
            raise Fault(INVALID_PARAMS, "params.arguments must be an object")
        catalog = self.gateway.catalog
        tool = catalog.tool(name)
        if tool is None:
            opened = error_result(self._unknown_tool(name, caller), self._limit)
            return self._closed(opened, caller)
        elicit = self._questions.of(tool, params, arguments, caller)
        info = self._info(tool, params, caller, elicit)
        try:
            answer = await self.gateway.call(caller.principal, tool, arguments, info=info)
        except AnswerNeeded as needed:
            return self._closed(encode(needed.result)[:-1], caller, b'"input_required"')
        except errors.LinkspanError as error:
            opened = error_result(error, self._limit)
        except Exception as cause:
            opened = error_result(self._internal(cause, info.request_id, name), self._limit)
        else:
            try:
                opened = tool_result(answer, self._limit, lambda item: self._whereabouts(tool, item))
            except Exception as cause:
                opened = error_result(self._internal(cause, info.request_id, name), self._limit)
            if tool.kind != "read" and self._written is not None:
                self._tell_written(tool, arguments, answer, caller)
        return self._closed(opened, caller)

    def _tell_written(self, tool: Tool, arguments: Mapping[str, Any], answer: Answer, caller: Caller) -> None:
        id_ = arguments.get("id")
        if self._written is not None and isinstance(id_, str) and not isinstance(answer, DryRun):
            self._written(caller.principal.tenant, resources.entity_uri(tool.entity, id_))

    def streams(self, tool_name: object, caller: Caller) -> bool:
        """Tell whether a call of the tool may say something before its answer (progress, a question)."""
        tool = self.gateway.catalog.tool(tool_name) if type(tool_name) is str else None
        return tool is not None and any(
            operation.progress is not None or (operation.elicit is not None and not caller.modern)
            for operation in tool.operations.values()
        )

    def _info(
        self, tool: Tool, params: Mapping[str, Any], caller: Caller, elicit: Elicitor | None = None
    ) -> CallInfo:
        meta = meta_of(params)
        thread, turn, call = codex_ids(meta) if meta else (None, None, None)
        operations = tool.operations.values()
        progress: ProgressTeller | None = None
        token = meta.get("progressToken")
        if (
            caller.tell is not None
            and token is not None
            and any(operation.progress for operation in operations)
        ):
            progress = _progress(token, caller)
        return CallInfo(self._new_id(), "mcp", caller.client, thread, turn, call, elicit, progress)

    def _unknown_tool(self, name: str, caller: Caller) -> errors.LinkspanError:
        near = difflib.get_close_matches(name, [tool.name for tool in self.surface(caller).tools], n=3)
        return errors.NotFound(
            f"there is no tool {name[:100]!r}",
            hint=f"Use {' or '.join(near)}." if near else "List the tools again: they may have changed.",
            request_id=self._new_id(),
        )

    def _internal(self, cause: BaseException, request_id: str, what: str) -> errors.LinkspanError:
        log.error("request %s: %s failed: %s", request_id, what, outline(cause))
        return errors.Internal(
            "something went wrong inside Linkspan",
            hint=f"Try again in a minute; if it stays, the operator finds {request_id} in the log.",
            request_id=request_id,
        )

    def _whereabouts(self, tool: Tool, item: Any) -> str:
        """Answer how to get at all of an item that is too long for one result."""
        id_ = item.get("id") if isinstance(item, dict) else None
        reader = self.gateway.catalog.tool_for(f"{tool.entity}.get")
        if isinstance(id_, str | int) and reader is not None:
            if tool.name != reader.name:
                return f"{reader.name} with this id shows more"
            return f"the resource {resources.entity_uri(tool.entity, str(id_))} holds all of it"
        url = item.get("url") if isinstance(item, dict) else None
        return (
            f"the rest is at {url}" if isinstance(url, str) and len(url) < 300 else "ask for less at a time"
        )

    def _closed(self, opened: bytes, caller: Caller, kind: bytes = b'"complete"') -> bytes:
        if not caller.modern:
            return opened + b"}"
        return opened + b',"resultType":' + kind + self.surface(caller).modern_tail + b"}"

    async def read_resource(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`resources/read`: an entity's thing as Markdown, or a declared resource."""
        uri = params.get("uri")
        if type(uri) is not str or not 0 < len(uri) <= resources.MAX_URI:
            raise Fault(INVALID_PARAMS, "params.uri must be the URI of a resource")
        try:
            found = resources.parse_entity_uri(uri)
            if found is not None:
                contents = await self._read_entity(uri, found, params, caller)
            else:
                contents = await self._read_declared(uri, params, caller)
        except errors.LinkspanError as error:
            raise self._read_fault(error, uri, caller) from error
        opened = b'{"contents":' + encode(contents)
        if caller.modern:
            opened += b',"ttlMs":0,"cacheScope":"private"'
        return self._closed(opened, caller)

    async def _read_entity(
        self, uri: str, found: resources.EntityUri, params: Mapping[str, Any], caller: Caller
    ) -> list[Json]:
        catalog = self.gateway.catalog
        tool = catalog.tool_for(f"{found.entity}.get")
        if tool is None or not scopes_allow(caller.principal.scopes, tool.key, tool.kind):
            raise _unknown_resource(uri, caller)
        arguments = {"id": found.id}
        if found.account is not None:
            arguments["account"] = found.account
        answer = await self._call(tool, arguments, params, caller)
        if isinstance(answer, Blocks):
            return _contents_of_blocks(answer, uri)
        entity = catalog.entities.get(found.entity)
        item = answer.result if isinstance(answer, Item) else answer.to_dict()
        text = markdown.render(
            item,
            title=(entity and entity.title) or found.entity,
            sections=[field.name for field in entity.fields if field.markdown] if entity else (),
        )
        return [{"uri": uri, "mimeType": MARKDOWN, "text": text}]

    async def _read_declared(self, uri: str, params: Mapping[str, Any], caller: Caller) -> list[Json]:
        found = resources.match(self.surface(caller).resources(), uri)
        if found is None:
            raise _unknown_resource(uri, caller)
        resource, values = found
        if resource.plan is not None and resource.connector is not None:
            answer = await self._call(_reader_of(resource), values, params, caller)
            return [_contents(answer.result if isinstance(answer, Item) else None, uri, resource.mime_type)]
        block = render_block(_block_of(resource), Scope(values))
        return [{**block["resource"], "uri": uri}]

    async def _call(
        self, tool: Tool, arguments: Mapping[str, Any], params: Mapping[str, Any], caller: Caller
    ) -> Answer:
        info = self._info(tool, params, caller)
        try:
            return await self.gateway.call(caller.principal, tool, arguments, info=info)
        except errors.LinkspanError:
            raise
        except Exception as cause:
            raise self._internal(cause, info.request_id, tool.name) from cause

    def _read_fault(self, error: errors.LinkspanError, uri: str, caller: Caller) -> Fault:
        data = {"uri": uri, **error.to_dict()["error"]}
        if isinstance(error, errors.NotFound):
            code = INVALID_PARAMS if caller.modern else protocol.RESOURCE_NOT_FOUND
        else:
            code = INVALID_PARAMS if isinstance(error, errors.InvalidArgument) else INTERNAL_ERROR
        return Fault(code, error.for_model(), data)

    async def get_prompt(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`prompts/get`: the declared messages with the arguments put in."""
        name, given = params.get("name"), params.get("arguments")
        arguments = {} if given is None else given
        if type(name) is not str or not isinstance(arguments, dict):
            raise Fault(
                INVALID_PARAMS, "params.name must be the name of a prompt, params.arguments an object"
            )
        prompt = next((one for one in self.gateway.catalog.prompts if one.name == name), None)
        if prompt is None:
            raise Fault(INVALID_PARAMS, f"Unknown prompt: {name[:100]}")
        known = {argument for argument, _, _ in prompt.arguments}
        missing = [
            argument for argument, _, required in prompt.arguments if required and argument not in arguments
        ]
        if missing:
            raise Fault(INVALID_PARAMS, f"The prompt {name} needs: {', '.join(missing)}")
        if any(argument not in known or type(text) is not str for argument, text in arguments.items()):
            raise Fault(
                INVALID_PARAMS, f"The prompt {name} takes texts for: {', '.join(sorted(known)) or 'nothing'}"
            )
        scope = Scope(arguments)
        messages = [
            {"role": message.role, "content": render_block(message.block, scope)}
            for message in prompt.messages
        ]
        opened = encode({"description": prompt.description, "messages": messages})[:-1]
        return self._closed(opened, caller)

    async def complete(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`completion/complete`: ids of things, as the first page of their list has them."""
        ref, argument = params.get("ref"), params.get("argument")
        if not (isinstance(ref, dict) and isinstance(argument, dict)):
            raise Fault(INVALID_PARAMS, "params.ref and params.argument must be objects")
        name, prefix = argument.get("name"), argument.get("value")
        if type(name) is not str or type(prefix) is not str:
            raise Fault(INVALID_PARAMS, "params.argument needs a name and a value, both texts")
        values: list[str] = []
        if ref.get("type") == "ref/resource" and name == "id":
            context = params.get("context")
            others = context.get("arguments") if isinstance(context, dict) else None
            account = others.get("account") if isinstance(others, dict) else None
            values = await self._completions.ids(
                ref.get("uri"), prefix, caller, account if isinstance(account, str) else None, self._new_id
            )
        elif ref.get("type") not in ("ref/prompt", "ref/resource"):
            raise Fault(INVALID_PARAMS, "params.ref.type must be ref/prompt or ref/resource")
        completion = {"values": values[:100], "total": len(values), "hasMore": len(values) > 100}
        return self._closed(b'{"completion":' + encode(completion), caller)


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


def _unknown_resource(uri: str, caller: Caller) -> Fault:
    code = INVALID_PARAMS if caller.modern else protocol.RESOURCE_NOT_FOUND
    return Fault(
        code,
        f"Unknown resource: {uri[:200]}. See resources/templates/list for what can be read.",
        {"uri": uri},
    )


def _block_of(resource: Resource) -> Block:
    return Block(
        "resource",
        text=resource.text,
        data=resource.blob,
        mime_type=_constant(resource.mime_type),
        uri=_constant(resource.uri),
    )


def _constant(text: str) -> Value:
    return lambda _scope: text or ABSENT


def _reader_of(resource: Resource) -> Tool:
    """Answer a declared resource that is read from a product as a tool that no list shows."""
    schema: Json = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in resource.parameters},
        "required": list(resource.parameters),
        "additionalProperties": False,
    }
    connector = resource.connector or ""
    operation = Operation(
        entity="resource",
        name=resource.name,
        connector=connector,
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
        operations={connector: operation},
    )


def _contents(body: Any, uri: str, mime_type: str) -> Json:
    """Answer what a product answered as the contents of a resource: bytes as they are, data as JSON."""
    if isinstance(body, bytes):
        return {"uri": uri, "mimeType": mime_type, "blob": base64.b64encode(body).decode()}
    return {
        "uri": uri,
        "mimeType": mime_type,
        "text": body if isinstance(body, str) else encode(body).decode(),
    }


def _contents_of_blocks(blocks: Blocks, uri: str) -> list[Json]:
    contents: list[Json] = []
    for block in blocks.blocks:
        if block.get("type") == "resource":
            contents.append(block["resource"])
        elif block.get("type") == "text":
            contents.append({"uri": uri, "mimeType": "text/plain", "text": block["text"]})
        else:
            contents.append({"uri": uri, "mimeType": block.get("mimeType"), "blob": block.get("data")})
    return contents
