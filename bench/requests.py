"""The requests that Codex 0.169 sends over stateless streamable HTTP, as bytes."""

from __future__ import annotations

import http.client
import json
from typing import Any

from bench.load import NUMBER

_NUMBER = int(NUMBER)


def http_request(path: str, port: int, message: dict[str, Any], token: str | None) -> str:
    """Answer one POST, headers and body. A token is sent only where the server asks for one."""
    body = json.dumps(message, separators=(",", ":"))
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\n"
        f"host: 127.0.0.1:{port}\r\n"
        "user-agent: codex-mcp-client/0.169.0\r\n"
        "accept: text/event-stream, application/json\r\n"
        "content-type: application/json\r\n"
        f"{authorization}"
        "mcp-protocol-version: 2025-06-18\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )


def tools_list() -> dict[str, Any]:
    """Answer the tools/list message."""
    params = {"_meta": {"progressToken": _NUMBER}}
    return {"jsonrpc": "2.0", "id": _NUMBER, "method": "tools/list", "params": params}


def tools_call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer the tools/call message, with everything that Codex puts into `_meta`."""
    thread, turn = "019ab1c2-7d3e-7f00-9a55-5f0e6a1b2c3d", "019ab1c2-8e4f-7a11-8b66-6a1f7b2c3d4e"
    meta = {
        "progressToken": _NUMBER,
        "callId": f"call_{_NUMBER}",
        "itemId": f"item_{_NUMBER}",
        "threadId": thread,
        "sessionId": thread,
        "windowId": f"{thread}:0",
        "x-codex-turn-metadata": {
            "session_id": thread,
            "thread_id": thread,
            "turn_id": turn,
            "model": "gpt-5.5",
            "reasoning_effort": "medium",
            "turn_started_at_unix_ms": 1795430400000,
            "thread_source": "user",
            "turn_trigger": "exec",
            "sandbox": "seccomp",
            "sandbox_mode": "read-only",
            "auto_review_enabled": False,
            "workspaces": {"/home/dev/project": {"has_changes": False}},
            "codex_version": "0.169.0",
        },
    }
    params = {"_meta": meta, "name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": _NUMBER, "method": "tools/call", "params": params}


def ask(port: int, request: str) -> tuple[int, bytes]:
    """Send one prepared request on a connection of its own; answer status and body."""
    head, _, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    method, path, _ = first.split(" ")
    connection.request(method, path, body.encode() or None, dict(line.split(": ", 1) for line in lines))
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, answer
