"""The hard boundary: a system user for each tenant, and words before the command."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from linkspan.codex.app_server.binary import find_binary
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.app_server.home import make_home, thread_config
from linkspan.codex.engine import Access
from linkspan.settings import CodexSettings
from linkspan.vault.secret import Secret
from tests.codex.app_server.conftest import TOKEN, Place
from tests.servers.scripted_model import function_call, message, shell

pytestmark = pytest.mark.e2e


async def test_words_before_the_command(place: Place, settings: CodexSettings, tmp_path: Path) -> None:
    """A container's command, for instance: it is told whose run it is, and speaks for Codex."""
    script, told = tmp_path / "wrap", tmp_path / "told"
    script.write_text(f'#!/bin/sh\necho "$1 $2 $3" > {told}\nshift 3\nexec "$@"\n')
    script.chmod(0o755)
    wrapped = CodexSettings(settings.binary, wrap=(str(script), "{tenant}", "{run}", "{folder}"))
    place.engine = AppServer(wrapped)
    outcome = await place.work([message("done")])
    assert outcome.status == "completed"
    assert told.read_text() == f"acme run_1 {place.folder}\n"


async def test_a_system_user_that_is_not_there_is_told(place: Place, settings: CodexSettings) -> None:
    """Before anything is begun."""
    place.engine = AppServer(CodexSettings(settings.binary, run_as="nobody-for-{tenant}"))
    outcome = await place.work([message("never")])
    assert outcome.failure is not None
    assert "nobody-for-acme" in outcome.failure.message
    assert "LINKSPAN_CODEX_RUN_AS" in outcome.failure.message
    assert place.model.requests == ()


async def test_codex_is_started_as_a_system_user(place: Place, settings: CodexSettings) -> None:
    """Which only root may do: not even what a person approves reads our keys, or another tenant's folder."""
    root = os.geteuid() == 0
    user = "daemon" if root else pwd.getpwuid(os.geteuid()).pw_name
    place.engine = AppServer(CodexSettings(settings.binary, run_as=user))
    runs = place.folder.parent
    for folder in (runs, runs.parent, runs.parent.parent):
        folder.chmod(0o711)
    keys, globex = runs.parent.parent / "keys", runs.parent.parent / "globex"
    keys.write_text("canary-of-the-keys")
    keys.chmod(0o600)
    globex.mkdir(mode=0o700)
    (globex / "notes").write_text("canary-of-globex")
    reading = f"id -un; cat {keys} {globex}/notes; ls {globex}; echo read"
    command = {"cmd": reading, "sandbox_permissions": "require_escalated", "justification": "May I?"}
    place.host.answers = lambda question: "approve"
    steps = [[shell("", "id -un > who")], [function_call("exec_command", command)], [message("done")]]
    outcome = await place.work(*steps, approve_commands=True)
    if not root:
        assert outcome.status == "failed"
        return
    assert outcome.status == "completed"
    assert (place.checkout / "who").read_text() == f"{user}\n"
    assert len(place.host.questions) == 1
    answer = place.model.turns[-1].outputs[-1]
    assert user in answer
    assert "read" in answer
    assert answer.count("Permission denied") == 3
    assert "canary-of" not in answer
    assert "notes" not in answer.replace("globex/notes", "")
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_a_home_holds_no_token_and_names_what_it_may_read(place: Place, settings: CodexSettings) -> None:
    """What is on the disk, and what is given with the thread."""
    tools = Access("http://127.0.0.1:1/t/acme/mcp", Secret(TOKEN))
    task = place.task(tools=tools, effort="low")
    home = make_home(task, find_binary(settings.binary), CodexSettings(readable=(Path("/opt/node"),)), "7.1")
    config = (home.path / "config.toml").read_text()
    assert TOKEN not in config
    assert '"/opt/node" = "read"' in config
    assert f'["projects"."{place.checkout}"]\n"trust_level" = "untrusted"' in config
    assert home.env["PATH"].startswith("/opt/node/bin:")
    assert set(home.env) == {"PATH", "HOME", "CODEX_HOME", "LANG", "TMPDIR", "RUN_STAY"}
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    given = thread_config(task)
    assert given["mcp_servers"]["linkspan"]["http_headers"] == {"Authorization": f"Bearer {TOKEN}"}
    assert given["mcp_servers"]["linkspan"]["required"] is True
    assert given["model_reasoning_effort"] == "low"
