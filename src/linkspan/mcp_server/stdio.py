"""`linkspan stdio`: one client, one tenant, JSON-RPC messages as lines on standard input and output.

A client that starts us waits for the answers to `initialize` and `tools/list` before its first turn, so those
are given from prepared bytes while nothing but the standard library is imported. Then the rest is loaded, and
`stdio_loop` takes over whatever was asked meanwhile.

Standard output carries the protocol and nothing else: what anything prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from linkspan.errors import ConfigurationError, LinkspanError
from linkspan.mcp_server import prepared, protocol
from linkspan.mcp_server.lines import Handshake, Lines, Output
from linkspan.settings import Settings, read_settings

if TYPE_CHECKING:
    from linkspan.mcp_server.stdio_loop import Composition
    from linkspan.spec.catalog import Catalog

_FLAGS = ("home", "config", "database", "tenant", "allow-egress", "trusted-proxies", "public-url")


def main(argv: Sequence[str], compose: Callable[[], Composition]) -> int:
    """Serve until the client closes standard input; answer the exit code.

    `compose` answers the composition root; it is called once, after the first answers.
    """
    try:
        settings = read_settings(**_flags(argv))
        if settings.config is None:
            raise ConfigurationError(
                f"there is no tools.yaml at {settings.home / 'tools.yaml'}",
                hint="Put one there, or name it with --config FILE or LINKSPAN_CONFIG.",
            )
    except LinkspanError as error:
        return told(error)
    output = Output.claim_stdout()
    lines = Lines(0)
    porch = Porch(_kept(settings), output, lines)
    threading.Thread(target=lines.run, args=(porch.take,), name="stdin", daemon=True).start()
    catalog = None
    if not porch.is_open:
        try:
            catalog, answers = _compiled(settings)
        except LinkspanError as error:
            return told(error)
        porch.open(answers)
    porch.wait()
    from linkspan.mcp_server import stdio_loop

    return stdio_loop.run(settings, compose, catalog, porch.handshake, lines, output)


class Porch:
    """Answers from prepared bytes until somebody asks for more than they hold."""

    def __init__(self, answers: prepared.Answers | None, output: Output, lines: Lines) -> None:
        self._answers = answers
        self._output = output
        self._lines = lines
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self.handshake = Handshake()

    @property
    def is_open(self) -> bool:
        """Whether there are prepared answers."""
        return self._answers is not None

    def open(self, answers: prepared.Answers) -> None:
        """Answer from these what has come already and what comes from now on."""
        with self._lock:
            self._answers = answers
            self._enough.clear()
            for line in self._lines.kept():
                self._take(line)

    def wait(self) -> None:
        """Wait until the rest has to be loaded: for a request, or because a client has its tools."""
        self._enough.wait()

    def take(self, line: bytes | None) -> None:
        """Answer a line, or leave it to the loop. None is the end of the input."""
        with self._lock:
            self._take(line)

    def _take(self, line: bytes | None) -> None:
        message = None if line is None else _parsed(line)
        if message is None:
            self._lines.keep(line)
            self._enough.set()
            return
        method = message.get("method")
        if method == "notifications/initialized" and "id" not in message:
            return
        answer = self._answer(method, message)
        if answer is None:
            self._lines.keep(line)
            self._enough.set()
            return
        self._output.write(answer)
        if method == "tools/list":
            self._enough.set()

    def _answer(self, method: Any, message: dict[str, Any]) -> bytes | None:
        request_id, params = message.get("id"), message.get("params", {})
        if type(request_id) not in (int, str) or not isinstance(params, dict) or not isinstance(method, str):
            return None
        given = params.get("_meta")
        meta = given if isinstance(given, dict) else {}
        if "cursor" in params:
            result = None
        elif protocol.META_VERSION in meta:
            known = meta[protocol.META_VERSION] in protocol.MODERN_VERSIONS
            stated = isinstance(meta.get(protocol.META_CAPABILITIES), dict)
            result = self._kept(f"{method} modern") if known and stated else None
        elif method == "ping":
            result = "{}"
        elif method == "initialize":
            version = protocol.negotiate(params.get("protocolVersion"))
            self.handshake = Handshake.of(params, version)
            result = self._kept(f"initialize {version}")
        else:
            result = self._kept(f"{method} legacy")
        if result is None:
            return None
        return protocol.response(json.dumps(request_id).encode(), result.encode())

    def _kept(self, key: str) -> str | None:
        return self._answers.get(key) if self._answers is not None else None


def told(error: LinkspanError) -> int:
    """Tell an error that keeps stdio from starting; answer the exit code."""
    sys.stderr.write(f"{error.for_model()}\n")
    return 2


def _kept(settings: Settings) -> prepared.Answers | None:
    assert settings.config is not None  # noqa: S101
    return prepared.read(prepared.cache_path(settings.home, settings.config), os.environ)


def _compiled(settings: Settings) -> tuple[Catalog, prepared.Answers]:
    from linkspan import spec
    from linkspan.mcp_server.listing import keep_prepared

    assert settings.config is not None  # noqa: S101
    catalog = spec.load([settings.config], os.environ)
    return catalog, keep_prepared(settings, catalog)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Answer a message; None for what the loop has to judge."""
    try:
        message = json.loads(line.decode(), parse_constant=_no_constant)
        json.dumps(message, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _flags(argv: Sequence[str]) -> dict[str, object]:
    """Read `--name value` and `--name=value`."""
    flags: dict[str, object] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name[2:] not in _FLAGS:
            raise ConfigurationError(
                f"linkspan stdio does not know {word!r}", hint="See: linkspan stdio --help"
            )
        if not equals:
            if not words:
                raise ConfigurationError(f"{name} needs a value", hint="See: linkspan stdio --help")
            value = words.pop(0)
        flags[name[2:].replace("-", "_")] = value
    return flags
