"""The MCP methods, apart from how they travel: params and a caller in, the bytes of a result out.

stdio, HTTP and the SDK's sessions all answer through `Methods`. What a model can mend comes back as a result
with `isError`; only what the protocol itself calls a fault is raised as `Fault`.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkspan import errors
from linkspan.gateway.blocks import render_block
from linkspan.mcp_server import protocol, reading
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.calls import Calls, Written, tells_progress
from linkspan.mcp_server.completion import Completions
from linkspan.mcp_server.ports import Gateway
from linkspan.mcp_server.protocol import INVALID_PARAMS, METHOD_NOT_FOUND, Fault
from linkspan.mcp_server.questions import AnswerNeeded, Questions, Sealer
from linkspan.mcp_server.shorten import encode
from linkspan.mcp_server.surface import Surface, Surfaces
from linkspan.spec.catalog import Scope

Handler = Callable[[Mapping[str, Any], Caller], Awaitable[bytes]]
_MAX_COMPLETIONS = 100


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
        max_result_bytes: int = 36_000,
        written: Written | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self.gateway = gateway
        self._calls = Calls(gateway, new_id=new_id, limit=max_result_bytes, written=written)
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
        tool = self.gateway.catalog.tool(name)
        if tool is None:
            return self._closed(self._calls.refused(self._unknown_tool(name, caller), caller), caller)
        elicit = self._questions.of(tool, params, arguments, caller)
        try:
            opened = await self._calls.result(tool, arguments, params, caller, elicit)
        except AnswerNeeded as needed:
            return self._closed(encode(needed.result)[:-1], caller, b'"input_required"')
        return self._closed(opened, caller)

    def streams(self, tool_name: object) -> bool:
        """Tell whether a call of the tool may say something before its answer."""
        tool = self.gateway.catalog.tool(tool_name) if type(tool_name) is str else None
        return tool is not None and tells_progress(tool)

    def _unknown_tool(self, name: str, caller: Caller) -> errors.LinkspanError:
        near = difflib.get_close_matches(name, [tool.name for tool in self.surface(caller).tools], n=3)
        return errors.NotFound(
            f"there is no tool {name[:100]!r}",
            hint=f"Use {' or '.join(near)}." if near else "List the tools again: they may have changed.",
        )

    def _closed(self, opened: bytes, caller: Caller, kind: bytes = b'"complete"') -> bytes:
        if not caller.modern:
            return opened + b"}"
        return opened + b',"resultType":' + kind + self.surface(caller).modern_tail + b"}"

    async def read_resource(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`resources/read`: never kept by clients, since a product's data may change at any time."""
        contents = await reading.read(params, caller, self.surface(caller), self._calls)
        opened = b'{"contents":' + encode(contents)
        if caller.modern:
            opened += b',"ttlMs":0,"cacheScope":"private"'
        return self._closed(opened, caller)

    async def get_prompt(self, params: Mapping[str, Any], caller: Caller) -> bytes:
        """`prompts/get`: the declared messages with the arguments put in."""
        name, given = params.get("name"), params.get("arguments")
        arguments = {} if given is None else given
        if type(name) is not str or not isinstance(arguments, dict):
            raise Fault(INVALID_PARAMS, "params.name must name a prompt, params.arguments be an object")
        prompt = next((one for one in self.gateway.catalog.prompts if one.name == name), None)
        if prompt is None:
            raise Fault(INVALID_PARAMS, f"Unknown prompt: {name[:100]}")
        known = [argument for argument, _, _ in prompt.arguments]
        missing = [one for one, _, required in prompt.arguments if required and one not in arguments]
        if missing:
            raise Fault(INVALID_PARAMS, f"The prompt {name} needs: {', '.join(missing)}")
        if any(one not in known or type(text) is not str for one, text in arguments.items()):
            raise Fault(INVALID_PARAMS, f"The prompt {name} takes texts for: {', '.join(known) or 'nothing'}")
        scope = Scope(arguments)
        messages = [{"role": one.role, "content": render_block(one.block, scope)} for one in prompt.messages]
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
        if ref.get("type") not in ("ref/prompt", "ref/resource"):
            raise Fault(INVALID_PARAMS, "params.ref.type must be ref/prompt or ref/resource")
        values: list[str] = []
        if ref["type"] == "ref/resource" and name == "id":
            account = _chosen_account(params.get("context"))
            number = self._calls.id_of(caller)
            values = await self._completions.ids(ref.get("uri"), prefix, caller, account, number)
        shown = values[:_MAX_COMPLETIONS]
        completion = {"values": shown, "total": len(values), "hasMore": len(values) > len(shown)}
        return self._closed(b'{"completion":' + encode(completion), caller)


def _chosen_account(context: object) -> str | None:
    """Answer the account that a person has filled in already."""
    arguments = context.get("arguments") if isinstance(context, dict) else None
    account = arguments.get("account") if isinstance(arguments, dict) else None
    return account if isinstance(account, str) else None
