"""The main job: the real Codex finds the tools, reads and changes tickets, and the tracker has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Office, Person
from tests.servers.codex import Codex, ToolMode, call_tool
from tests.servers.scripted_model import ModelRequest

pytestmark = pytest.mark.e2e


Door = tuple[Mapping[str, Any], Mapping[str, str]]


@pytest.fixture(params=["stdio", "http"])
def door(request: pytest.FixtureRequest, office: Office, acme: Person) -> Door:
    """What `linkspan codex-config` says to paste, for each way in, and Codex's environment with the token."""
    if request.param == "stdio":
        return office.linkspan.codex_config("--tenant", acme.tenant), {}
    return office.linkspan.codex_config("--tenant", acme.tenant, "--url", office.url), {
        "LINKSPAN_TOKEN": acme.token
    }


def test_codex_searches_reads_comments_and_updates_a_ticket(
    codex: Codex, mode: ToolMode, door: Door, office: Office, acme: Person, tmp_path: Path
) -> None:
    """Both binaries, every tool mode, both doors: what Codex did is in the tracker, in the tenant's name."""
    word = f"W{tmp_path.stat().st_ino}"
    number = office.tracker.create_bug(f"Printer {word} on fire", "It smokes.", status="new")
    servers, env = door

    def found(seen: ModelRequest) -> dict[str, str]:
        return {"id": seen.answers[0]["result"][0]["id"]}

    steps = [
        *call_tool(mode, "linkspan", "search_tickets", {"query": word}),
        *call_tool(mode, "linkspan", "get_ticket", found),
        *call_tool(
            mode, "linkspan", "comment_on_ticket", lambda seen: {**found(seen), "body": "On my **way**."}
        ),
        *call_tool(mode, "linkspan", "update_ticket", lambda seen: {**found(seen), "status": "in_progress"}),
    ]
    run = codex.exec(*steps, mode=mode, servers=servers, env=env, cwd=tmp_path)

    assert run.exit_code == 0, run.stderr
    assert [call["status"] for call in run.tool_calls] == ["completed"] * 4, run.outputs
    search, ticket, _comment, _update = run.answers
    assert [entry["title"] for entry in search["result"]] == [f"Printer {word} on fire"]
    assert ticket["result"]["id"] == number
    assert ticket["result"]["status"] == "todo"
    bug = office.tracker.bug(number)
    assert (bug["status"], bug["actor"]) == ("open", acme.username)
    assert office.tracker.messages(number)[-1] == (acme.username, "On my **way**.")
