"""Who asks, in which era, over what kind of connection; and what a request says about where it came from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from linkspan.accounts.principal import Principal
from linkspan.spec.catalog import Json

Ask = Callable[[str, Json], Awaitable[Json]]
"""Sends a request (method, params) to the client and answers its result: legacy era, live connections."""
Tell = Callable[[str, Json], Awaitable[None]]
"""Sends a notification (method, params) that belongs to the request being answered."""

_ID_LENGTH = 200
_NOTHING: Mapping[str, Any] = {}


@dataclass(slots=True)
class Caller:
    """The other side of one request. `live`: notifications reach it in the legacy era, too."""

    principal: Principal
    version: str
    modern: bool
    live: bool = False
    client: str | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    ask: Ask | None = None
    tell: Tell | None = None
    request_id: str | None = None
    """The id of the request over HTTP: that of its calls, in the log and in their errors."""

    @property
    def shows_forms(self) -> bool:
        """Whether the client can show a form to its person (elicitation, form mode)."""
        declared = self.capabilities.get("elicitation")
        return isinstance(declared, dict) and (not declared or "form" in declared)


def meta_of(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answer `_meta`, or nothing when there is none."""
    meta = params.get("_meta")
    return meta if type(meta) is dict else _NOTHING


def codex_ids(meta: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Answer thread, turn and call as Codex names them in `_meta`. Claims of the client, recorded as such.

    Everything else there (workspace paths among it) is left alone.
    """
    thread, call = meta.get("threadId"), meta.get("callId")
    turn = meta.get("x-codex-turn-metadata")
    turn_id: Any = None
    if type(turn) is dict:
        turn_id = turn.get("turn_id")
        thread = thread or turn.get("thread_id")
    return _id(thread), _id(turn_id), _id(call)


def _id(value: Any) -> str | None:
    return value if type(value) is str and 0 < len(value) <= _ID_LENGTH and value.isprintable() else None


def client_name(info: object) -> str | None:
    """Answer `name/version` of MCP's clientInfo."""
    if not isinstance(info, dict):
        return None
    name, version = _id(info.get("name")), _id(info.get("version"))
    return f"{name}/{version}" if name and version else name
