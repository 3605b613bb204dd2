"""The MCP Inspector, as another client that is not Codex."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.conftest import Office, Person
from tests.servers.node import inspector

pytestmark = pytest.mark.e2e


TOOL_IS_ERROR = 5
"""The Inspector's exit code for a result with isError."""


def inspect(*target: str, method: str, options: tuple[str, ...] = (), exit_code: int = 0) -> Any:
    command = [*inspector(), *target, "--method", method, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture
def http(office: Office, acme: Person) -> tuple[str, ...]:
    """The endpoint of a tenant, with its token."""
    url = f"{office.url}/t/{acme.tenant}/mcp"
    return (url, "--transport", "http", "--header", f"Authorization: Bearer {acme.token}")


def test_the_inspector_lists_and_calls_over_http(http: tuple[str, ...], office: Office) -> None:
    """It finds every tool with its annotations, and reads a ticket."""
    tools = {tool["name"]: tool for tool in inspect(*http, method="tools/list")["tools"]}
    assert {"search_tickets", "get_ticket", "update_ticket", "comment_on_ticket"} <= set(tools)
    assert tools["get_ticket"]["annotations"]["readOnlyHint"] is True
    assert tools["update_ticket"]["annotations"]["readOnlyHint"] is False
    number = office.tracker.create_bug("Inspected")
    call = ("--tool-name", "get_ticket", "--tool-arg", f"id={number}")
    answer = inspect(*http, method="tools/call", options=call)
    assert answer["structuredContent"]["result"]["title"] == "Inspected"


def test_the_inspector_shows_an_error_as_it_is(http: tuple[str, ...]) -> None:
    """Clients that check results against the output schema find that an error fits it too."""
    call = ("--tool-name", "get_ticket", "--tool-arg", 'id="99999"')
    answer = inspect(*http, method="tools/call", options=call, exit_code=TOOL_IS_ERROR)
    assert answer["isError"] is True
    assert answer["content"][0]["text"].startswith("Error: ")


def test_the_inspector_reads_a_ticket_as_a_resource(http: tuple[str, ...], office: Office) -> None:
    """The template is listed, and a resource made from it is the ticket in Markdown."""
    templates = inspect(*http, method="resources/templates/list")["resourceTemplates"]
    assert "linkspan://ticket/{id}" in [template["uriTemplate"] for template in templates]
    number = office.tracker.create_bug("Resourceful")
    answer = inspect(*http, method="resources/read", options=("--uri", f"linkspan://ticket/{number}"))
    assert "Resourceful" in answer["contents"][0]["text"]
