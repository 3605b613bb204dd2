"""What differs between the Codex versions that are tested: docs/codex.md says it, and this holds it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.e2e.conftest import EXAMPLE, Office, Person
from tests.servers.codex import Codex, ToolMode, call_tool
from tests.servers.node import ROOT
from tests.servers.serving import serving

OLD = "0.163.0"
SEEN = 250


def version(codex: Codex) -> str:
    """What the binary says of itself."""
    told = subprocess.run([*codex.command, "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[-1]


def test_the_page_names_the_versions_that_are_installed() -> None:
    """A bump of a pin is a look at docs/codex.md."""
    page = (ROOT / "docs" / "codex.md").read_text()
    npm = re.search(r"^@openai/codex@(\S+)", (ROOT / "scripts/pins/npm.txt").read_text(), re.MULTILINE)
    python = re.search(
        r"^openai-codex-cli-bin==(\S+)", (ROOT / "scripts/pins/python.txt").read_text(), re.MULTILINE
    )
    assert npm
    assert python
    assert f"**{npm[1]}**" in page
    assert f"**{python[1]}**" in page


@pytest.mark.e2e
def test_what_a_model_is_told_before_it_looks_for_tools(
    codex: Codex, mode: ToolMode, office: Office, acme: Person, tmp_path: Path
) -> None:
    """The beginning of the instructions; nothing to a model in code mode of the older version."""
    instructions: str = yaml.safe_load(EXAMPLE.read_text())["instructions"]
    servers = office.linkspan.codex_config("--tenant", acme.tenant, "--url", office.url)
    run = codex.exec(mode=mode, servers=servers, env={"LINKSPAN_TOKEN": acme.token}, cwd=tmp_path)
    first = run.turns[0].text
    if mode is ToolMode.CODE and version(codex) == OLD:
        assert instructions[:60] not in first
    else:
        assert instructions[: min(SEEN, len(instructions)) - 3] in first


class Slow:
    """An MCP server whose one tool never answers; it keeps the methods that it was sent."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request, receive)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request, receive: Receive) -> Response:
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        method: str = message["method"]
        self.methods.append(method)
        tool = {
            "name": "wait",
            "description": "Wait.",
            "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": True},
        }
        results: Mapping[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "slow", "version": "1"},
            },
            "tools/list": {"tools": [tool]},
        }
        if method == "tools/call":
            await receive()  # until the client goes away
            return Response(status_code=400)
        if method not in results:
            return Response(status_code=202)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": results[method]})


@pytest.fixture
def slow() -> Iterator[tuple[Slow, str]]:
    """The server and its URL."""
    app = Slow()
    with serving(app) as origin:
        yield app, f"{origin}/mcp"


@pytest.mark.e2e
def test_whether_codex_says_that_it_gives_up(codex: Codex, slow: tuple[Slow, str], tmp_path: Path) -> None:
    """The older version does not, so only time can end such a call."""
    app, url = slow
    servers = {"slow": {"url": url, "required": True, "tool_timeout_sec": 1}}
    steps = call_tool(ToolMode.DIRECT, "slow", "wait", {})
    run = codex.exec(*steps, mode=ToolMode.DIRECT, servers=servers, cwd=tmp_path)
    assert "timed out" in run.outputs[-1]
    assert ("notifications/cancelled" in app.methods) is (version(codex) != OLD)
