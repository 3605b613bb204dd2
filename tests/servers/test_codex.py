"""The scripted model drives the real Codex CLI."""

import sys
from pathlib import Path

import pytest

from tests.servers.codex import Codex, ToolMode, call_tool
from tests.servers.scripted_model import ModelRequest, message

TINY = {"command": sys.executable, "args": [str(Path(__file__).with_name("tiny.py"))], "required": True}


@pytest.mark.e2e
def test_a_scripted_model_calls_a_tool_and_sees_its_answer(
    codex: Codex, mode: ToolMode, tmp_path: Path
) -> None:
    """Both binaries call an MCP tool in every mode, and the next call can be made of what was seen."""

    def next_query(seen: ModelRequest) -> dict[str, str]:
        return {"query": seen.answers[0]["result"][0]["title"] + " again"}

    steps = [
        *call_tool(mode, "tiny", "search_tickets", {"query": "printer"}),
        *call_tool(mode, "tiny", "search_tickets", next_query),
        [message("It burns.")],
    ]
    run = codex.exec(*steps, mode=mode, servers={"tiny": TINY}, cwd=tmp_path)
    assert run.exit_code == 0, run.stderr
    assert [call["arguments"]["query"] for call in run.tool_calls] == ["printer", "printer again"]
    assert [answer["result"][0]["title"] for answer in run.answers] == ["printer", "printer again"]
    assert run.said == "It burns."


@pytest.mark.e2e
def test_a_server_that_does_not_start_is_told(codex: Codex, tmp_path: Path) -> None:
    """A required server that is not there ends Codex with a failure, not with an empty success."""
    servers = {"gone": {"command": "/nonexistent", "required": True}}
    run = codex.exec(mode=ToolMode.CODE, servers=servers, cwd=tmp_path)
    assert run.exit_code != 0
    assert run.turns == ()
