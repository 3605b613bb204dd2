"""The header rules of the modern era: what a request says in its headers must be what its body says.

Proxies route on the headers, we act on the body; where the two differ somebody is being misled, so the
request is refused (MCP 2026-07-28, basic/transports, "Standard request headers" and "Custom headers").
Values may have optional white space around them (RFC 9110 §5.6.3), which some HTTP parsers leave on.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.mcp_server.protocol import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    META_CAPABILITIES,
    META_VERSION,
    MODERN_VERSIONS,
    Fault,
    unsupported_version,
)
from linkspan.spec.catalog import Json

VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=\Z")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.0+)?\Z")
_TYPES: Final = ("string", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Mirror:
    """An argument that the client repeats in a header: schema key `x-mcp-header`."""

    path: tuple[str, ...]
    header: bytes
    type: str


@dataclass(slots=True)
class Headers:
    """One request's headers by lower-case name, which of them came more than once, and the request's id."""

    values: dict[bytes, bytes]
    repeated: set[bytes]
    request_id: str | None = None

    def text(self, name: bytes) -> str | None:
        """Answer a header's value without the white space around it."""
        value = self.values.get(name)
        return None if value is None else value.strip(b" \t").decode("latin-1")


def collect(raw: Sequence[tuple[bytes, bytes]], request_id: str | None = None) -> Headers:
    """Answer the headers of an ASGI scope."""
    values: dict[bytes, bytes] = {}
    repeated: set[bytes] = set()
    for name, value in raw:
        if name in values:
            repeated.add(name)
        values[name] = value
    return Headers(values, repeated, request_id)


def check(headers: Headers, method: str, params: Mapping[str, Any]) -> str:
    """Answer the protocol version of a modern request; raises `Fault` for the first rule that is broken."""
    if headers.repeated:
        for name in (VERSION, METHOD, NAME):
            if name in headers.repeated:
                raise Fault(HEADER_MISMATCH, f"{name.decode()} header appears more than once")
    meta = params.get("_meta")
    if not isinstance(meta, dict):
        raise Fault(
            INVALID_PARAMS, f"params._meta must be an object with {META_VERSION} and {META_CAPABILITIES}"
        )
    missing = [key for key in (META_VERSION, META_CAPABILITIES) if key not in meta]
    if missing:
        raise Fault(INVALID_PARAMS, f"params._meta is missing: {', '.join(missing)}")
    version = meta[META_VERSION]
    stated = headers.text(VERSION)
    if stated is None or stated != version:
        raise Fault(
            HEADER_MISMATCH, "mcp-protocol-version header does not match params._meta's protocol version"
        )
    if headers.text(METHOD) != method:
        raise Fault(HEADER_MISMATCH, "mcp-method header does not match the request's method")
    key = _NAMED.get(method)
    if key is not None:
        named = params.get(key)
        if named is not None and decoded(headers.text(NAME)) != named:
            raise Fault(HEADER_MISMATCH, f"mcp-name header does not match params.{key}")
    if version not in MODERN_VERSIONS:
        raise unsupported_version(version)
    return stated


def decoded(value: str | None) -> str | None:
    """Answer a header's value, `=?base64?…?=` undone; None for a value that is not well encoded."""
    found = _ENCODED.match(value) if value is not None else None
    if found is None:
        return value
    try:
        content = base64.b64decode(found.group(1), validate=True)
        if base64.b64encode(content).decode() != found.group(1):
            return None
        return content.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def mirrors(schema: Json) -> tuple[Mirror, ...]:
    """Answer the arguments that must be mirrored: those below nothing but `properties`.

    A schema that breaks the rules of `x-mcp-header` mirrors nothing: clients send no headers for it.
    """
    found: list[Mirror] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        path, node = waiting.pop()
        properties = node.get("properties") if isinstance(node, dict) else None
        if not isinstance(properties, dict):
            continue
        for name, part in properties.items():
            if not isinstance(part, dict):
                continue
            waiting.append(((*path, name), part))
            token = part.get("x-mcp-header")
            if token is None:
                continue
            if not (isinstance(token, str) and _TOKEN.match(token) and part.get("type") in _TYPES):
                return ()
            found.append(Mirror((*path, name), b"mcp-param-" + token.lower().encode(), part["type"]))
    if len({mirror.header for mirror in found}) < len(found):
        return ()
    return tuple(found)


def check_mirrors(headers: Headers, declared: Sequence[Mirror], arguments: Mapping[str, Any]) -> None:
    """Raise `Fault` unless every mirrored argument and its header are both absent, or equal."""
    for mirror in declared:
        name = mirror.header.decode()
        if mirror.header in headers.repeated:
            raise Fault(HEADER_MISMATCH, f"{name} header appears more than once")
        raw = headers.text(mirror.header)
        written = _written(_value_at(arguments, mirror.path))
        if raw is None and written is None:
            continue
        stated = decoded(raw)
        if stated is None or written is None or not _same(mirror.type, written, stated):
            argument = ".".join(mirror.path)
            raise Fault(HEADER_MISMATCH, f"{name} header does not match the argument {argument}")


def _value_at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(arguments, Mapping):
            return None
        arguments = arguments.get(name)
    return arguments


def _written(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else None


def _same(type_: str, written: str, stated: str) -> bool:
    if type_ == "integer" and _DECIMAL.match(stated):
        return stated.partition(".")[0] == written
    return stated == written
