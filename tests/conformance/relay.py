"""A relay that adds the bearer: the conformance suite knows no way to send one.

It works on bytes, so that everything else the suite sends (odd hosts, white space in headers) arrives as it
was sent.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.servers.serving import LOOPBACK

_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:.*chunked", re.IGNORECASE | re.MULTILINE)


@contextlib.contextmanager
def relaying(target: str, token: str) -> Iterator[str]:
    """Relay to a base URL with the token in every request; yields the relay's own base URL."""
    with _Relay(target, token) as relay:
        thread = threading.Thread(target=relay.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{relay.server_address[1]}"
        finally:
            relay.shutdown()
            thread.join()


class _Relay(socketserver.ThreadingTCPServer):
    def __init__(self, target: str, token: str) -> None:
        super().__init__((LOOPBACK, 0), _Connection)
        parts = urlsplit(target)
        self.target = (parts.hostname, parts.port)
        self.line = f"Authorization: Bearer {token}\r\n".encode()


class _Connection(socketserver.StreamRequestHandler):
    server: _Relay

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            answers = threading.Thread(target=_copy, args=(upstream, self.connection))
            answers.start()
            with contextlib.suppress(OSError):
                while self._request(upstream):
                    pass
            with contextlib.suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _request(self, upstream: socket.socket) -> bool:
        """Pass one request on; answers whether there may be another."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return False
            head += line
        first, _, rest = head.partition(b"\r\n")
        upstream.sendall(first + b"\r\n" + self.server.line + rest)
        length = _LENGTH.search(head)
        if length:
            upstream.sendall(self.rfile.read(int(length.group(1))))
        elif _CHUNKED.search(head):
            while (size := self.rfile.readline()) and int(size, 16):
                upstream.sendall(size + self.rfile.read(int(size, 16) + 2))
            upstream.sendall(size + self.rfile.readline())
        return True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65_536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
