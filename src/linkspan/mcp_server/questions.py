"""Asking the person in the middle of a call (elicitation), in both eras.

The legacy era sends the client a request and waits. The modern era has no requests to clients: the call ends
with `input_required`, and the client makes it again with the answer. What the person agreed to must be what
is done then, so the question travels sealed (`requestState`): it counts for the same tenant, principal, tool
and arguments only, and not for long.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from linkspan.errors import Forbidden, LinkspanError
from linkspan.gateway.calls import Elicitor
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.protocol import INVALID_PARAMS, MISSING_CAPABILITY, Fault
from linkspan.mcp_server.shorten import encode
from linkspan.spec.catalog import Elicit, Json, Tool

LIFETIME: Final = 600.0
"""Seconds that a person has for an answer."""
_PURPOSE: Final = "question"
_ACTIONS: Final = ("accept", "decline", "cancel")


class Sealer(Protocol):
    """Seals data for one place; opens it there and nowhere else (`vault.seal.Vault`)."""

    def seal(self, purpose: str, tenant: str, record: str, data: bytes) -> bytes:
        """Answer the sealed data."""
        ...

    def open(self, purpose: str, tenant: str, record: str, sealed: bytes) -> bytes:
        """Answer what was sealed; raises a `LinkspanError`."""
        ...


class AnswerNeeded(Forbidden):
    """The person has to be asked first. Nothing was done; `result` tells the client what to ask."""

    def __init__(self, result: Json) -> None:
        super().__init__("the person has to be asked first")
        self.result = result


class Question:
    """What one call may ask in the modern era: the answer that came with the call, or `AnswerNeeded`."""

    def __init__(self, elicit: Elicit, state: Callable[[], str] | None, given: Json | None) -> None:
        self._elicit = elicit
        self._state = state
        self._given = given

    async def __call__(self, message: str, schema: Json) -> Json | None:
        """Answer what the person said; raises `AnswerNeeded` before anybody was asked."""
        if self._given is not None:
            return self._given
        request = {"mode": "form", "message": message, "requestedSchema": schema}
        result: Json = {
            "inputRequests": {self._elicit.name: {"method": "elicitation/create", "params": request}}
        }
        if self._state is not None:
            result["requestState"] = self._state()
        raise AnswerNeeded(result)


class Questions:
    """Makes questions for calls. `clock` answers epoch seconds; without a sealer they carry no state."""

    def __init__(self, sealer: Sealer | None, clock: Callable[[], float]) -> None:
        self._sealer = sealer
        self._clock = clock

    def of(
        self, tool: Tool, params: Mapping[str, Any], arguments: Mapping[str, Any], caller: Caller
    ) -> Elicitor | None:
        """Answer how the call may ask; None when it has nothing to ask, or nobody who could be asked.

        Raises `Fault` in the modern era when the client cannot show a form and the tool cannot do without.
        """
        elicit = next((one.elicit for one in tool.operations.values() if one.elicit is not None), None)
        if elicit is None:
            return None
        if not caller.modern:
            return _asking(caller) if caller.shows_forms else None
        if not caller.shows_forms:
            if elicit.missing is None:
                raise Fault(
                    MISSING_CAPABILITY,
                    f"{tool.name} asks the person a question: the client has to declare elicitation",
                    {"requiredCapabilities": {"elicitation": {"form": {}}}},
                )
            return None
        agreed = self._agreed(tool, params, arguments, caller)
        responses = params.get("inputResponses")
        given = responses.get(elicit.name) if agreed and isinstance(responses, dict) else None
        if not (isinstance(given, dict) and given.get("action") in _ACTIONS):
            given = None
        state = None if self._sealer is None else lambda: self._sealed(tool, arguments, caller)
        return Question(elicit, state, given)

    def _sealed(self, tool: Tool, arguments: Mapping[str, Any], caller: Caller) -> str:
        assert self._sealer is not None  # noqa: S101
        content = [self._clock() + LIFETIME, *_bound(arguments, caller)]
        sealed = self._sealer.seal(_PURPOSE, caller.principal.tenant, tool.name, json.dumps(content).encode())
        return base64.urlsafe_b64encode(sealed).decode()

    def _agreed(
        self, tool: Tool, params: Mapping[str, Any], arguments: Mapping[str, Any], caller: Caller
    ) -> bool:
        """Tell whether the answers belong to this very call, if they say to what they belong.

        An answer may come without state (the official suite's do): it is the client that shows the form, so
        what it answers is its word either way. A state that is shown must be ours, of this call and fresh.
        """
        state = params.get("requestState")
        if self._sealer is None or state is None:
            return True
        try:
            sealed = base64.b64decode(state, altchars=b"-_", validate=True)
            opened = self._sealer.open(_PURPOSE, caller.principal.tenant, tool.name, sealed)
            expires, *bound = json.loads(opened)
        except (LinkspanError, binascii.Error, ValueError, TypeError) as error:
            raise _other_request() from error
        if bound != _bound(arguments, caller):
            raise _other_request()
        return bool(expires > self._clock())


def _bound(arguments: Mapping[str, Any], caller: Caller) -> list[str]:
    principal = caller.principal
    digest = hashlib.sha256(encode(sorted(arguments.items()))).hexdigest()
    return [principal.kind, principal.subject, digest]


def _other_request() -> Fault:
    return Fault(INVALID_PARAMS, "requestState does not belong to this request: make it again without")


def _asking(caller: Caller) -> Elicitor | None:
    ask = caller.ask
    if ask is None:
        return None

    async def elicit(message: str, schema: Json) -> Json | None:
        try:
            return await ask("elicitation/create", {"message": message, "requestedSchema": schema})
        except Fault:
            return None

    return elicit
