"""The words of MCP and JSON-RPC that both protocol eras share. Needs nothing but the standard library.

Two eras are served from one endpoint. The legacy era (2024-11-05 to 2025-11-25) opens with `initialize`; the
modern era (2026-07-28) has no handshake: every request carries its version and the client's capabilities in
`params._meta`, every result says `resultType`, and lists say how long they may be kept.
"""

from __future__ import annotations

from typing import Any, Final

LEGACY_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN_VERSIONS: Final = ("2026-07-28",)
LATEST_LEGACY: Final = LEGACY_VERSIONS[-1]
LATEST_MODERN: Final = MODERN_VERSIONS[-1]

META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT: Final = "io.modelcontextprotocol/clientInfo"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
"""Legacy era only; the modern era says INVALID_PARAMS (SEP-2164)."""
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

LIST_METHODS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""The list methods, and the key of their results."""

_STATUS: Final = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}


class Fault(Exception):
    """A protocol fault: what JSON-RPC calls an error. What a tool's reader can mend is never one."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def status(self) -> int:
        """The HTTP status of the modern era; the legacy era answers requests with 200."""
        return _STATUS.get(self.code, 200)

    def to_dict(self) -> dict[str, Any]:
        """JSON-RPC 2.0 §5.1."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


def negotiate(requested: object) -> str:
    """Answer the version that the handshake settles on: the client's, or the newest that has one."""
    return requested if isinstance(requested, str) and requested in LEGACY_VERSIONS else LATEST_LEGACY


def unsupported_version(requested: str) -> Fault:
    """Answer the fault of a modern request for a version that is not served."""
    return Fault(
        UNSUPPORTED_VERSION,
        "Unsupported protocol version",
        {"supported": list(MODERN_VERSIONS), "requested": requested},
    )


def response(request_id: bytes, result: bytes) -> bytes:
    """Answer the JSON-RPC response around a result; both are JSON already."""
    return b'{"jsonrpc":"2.0","id":' + request_id + b',"result":' + result + b"}"


def error_response(request_id: bytes, error: bytes) -> bytes:
    """Answer the JSON-RPC error response around an error object; both are JSON already."""
    return b'{"jsonrpc":"2.0","id":' + request_id + b',"error":' + error + b"}"
