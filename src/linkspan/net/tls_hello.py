"""The first message of a TLS connection, read for the name of the server that it asks for.

A shared front (a CDN) serves by that name whatever address was dialled, so a tunnel to one host could lead to
another one behind the same front. RFC 8446 §4.1.2 has the message, RFC 6066 §3 the name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST: Final = 65_536
"""Bytes; what browsers and libraries send has two thousand at most."""
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_ENCRYPTED: Final = 0xFE0D
"""Encrypted Client Hello (RFC 9849): the name that counts is inside, where nobody else sees it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What it says of the server."""

    name: str | None
    """None where it names none, as for an address (RFC 6066 §3)."""
    hides_name: bool = False
    """Whether it may ask for another server than it says."""


def read_hello(data: bytes) -> Hello | None:
    """Read the beginning of a connection; None when there must be more of it. Raises `ValueError`."""
    body = _message(data)
    if body is None:
        return None
    rest = _Bytes(body)
    rest.take(2 + 32)  # version and random
    for length_bytes in (1, 2, 1):  # session id, cipher suites, compression methods
        rest.vector(length_bytes)
    names: list[str] = []
    hides = False
    extensions = _Bytes(rest.vector(2) if rest.left else b"")
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.vector(2)
        hides |= kind == _ENCRYPTED
        if kind == _SERVER_NAME:
            names += _names(content)
    if len(names) > 1:
        raise ValueError("it names several servers")
    return Hello(names[0] if names else None, hides)


def _message(data: bytes) -> bytes | None:
    """Answer the first handshake message, out of however many records it stands in; None: not all is here."""
    records, message = _Bytes(data), b""
    while True:
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise ValueError("it does not begin with a ClientHello")
            end = 4 + int.from_bytes(message[1:4], "big")
            if end > LONGEST:
                raise ValueError("its ClientHello is too long")
            if len(message) >= end:
                return message[4:end]
        if records.left < 5:
            return None
        if records.number(1) != _HANDSHAKE:
            raise ValueError("it is no TLS handshake")
        records.take(2)  # version
        length = records.number(2)
        if not 0 < length <= 2**14:
            raise ValueError("it has a record that TLS does not have")
        if records.left < length:
            return None
        message += records.take(length)


def _names(content: bytes) -> list[str]:
    listed = _Bytes(_Bytes(content).vector(2))
    found = []
    while listed.left:
        kind, name = listed.number(1), listed.vector(2)
        if kind == _HOST_NAME:
            found.append(name.decode("ascii"))
    return found


class _Bytes:
    """Bytes that are read from the front. Raises `ValueError` beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if self.left < count:
            raise ValueError("it is cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def vector(self, length_bytes: int) -> bytes:
        return self.take(self.number(length_bytes))
