"""Answers of the HTTP endpoint that are not results: refusals in the one error shape, faults of JSON-RPC."""

from __future__ import annotations

from typing import Final

from linkspan.mcp_server import protocol
from linkspan.mcp_server.headers import Headers
from linkspan.mcp_server.protocol import Fault
from linkspan.mcp_server.shorten import encode
from linkspan.mcp_server.sse import Send

_JSON: Final = (b"content-type", b"application/json")


def fault(id_bytes: bytes, cause: Fault) -> bytes:
    """Answer a JSON-RPC error response."""
    return protocol.error_response(id_bytes, encode(cause.to_dict()))


async def reply(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    """Send a whole response; an empty body has no type."""
    headers = [(b"content-length", b"%d" % len(body)), *more]
    if body:
        headers.append(_JSON)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(
    send: Send, request_id: str | None, status: int, code: str, message: str, *more: tuple[bytes, bytes]
) -> None:
    """Send a refusal in the error shape that all doors share."""
    error = {"code": code, "message": message, "status": status, "retry_after": None}
    error["request_id"] = request_id
    await reply(send, status, encode({"error": error}), *more)


async def refuse_name(send: Send, request_id: str | None, status: int) -> None:
    """Refuse a Host (421) or an Origin (403)."""
    what = (
        "this server is not known by that Host" if status == 421 else "that Origin may not call this server"
    )
    told = f"Error: {what}. The operator names it with LINKSPAN_PUBLIC_URL."
    await refuse(send, request_id, status, "forbidden", told)


async def refuse_token(send: Send, request_id: str | None, tenant: str, told: bytes) -> None:
    """Refuse a request without a token that is good; `told` is its `WWW-Authenticate`."""
    await refuse(
        send,
        request_id,
        401,
        "unauthenticated",
        "Error: a valid bearer token of this tenant is needed."
        f" Make one: linkspan token create --tenant {tenant}",
        (b"www-authenticate", told),
    )


async def refuse_scopes(send: Send, request_id: str | None, tenant: str, told: bytes) -> None:
    """Refuse a token that may use nothing at all; `told` is its `WWW-Authenticate`."""
    await refuse(
        send,
        request_id,
        403,
        "forbidden",
        "Error: the scopes of this token allow none of the tools."
        f" Make one that does: linkspan token create --tenant {tenant} --scope read",
        (b"www-authenticate", told),
    )


def bearer(headers: Headers) -> str | None:
    """Answer the token of `Authorization: Bearer` (RFC 6750 §2.1); a repeated header is nobody's."""
    value = headers.values.get(b"authorization")
    if value is None or b"authorization" in headers.repeated:
        return None
    scheme, _, token = value.strip(b" \t").partition(b" ")
    if scheme.lower() != b"bearer":
        return None
    return token.strip(b" \t").decode("latin-1") or None


def accepts_events(headers: Headers) -> bool:
    """Tell whether the client takes Server-Sent Events."""
    accept = headers.values.get(b"accept", b"")
    return b"text/event-stream" in accept or b"*/*" in accept or b"text/*" in accept
