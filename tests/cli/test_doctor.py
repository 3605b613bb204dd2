"""`linkspan doctor`: each line says what to do."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell


def findings(shell: Shell, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run it and answer the exit code and the findings by what they are about."""
    result = shell.run("doctor", "--json", **env)
    told: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    return result.exit_code, {one["what"]: one for one in told}


@pytest.fixture
def codex(tmp_path: Path) -> Path:
    """A program that says what Codex says of its version."""
    path = tmp_path / "codex"
    path.write_text("#!/bin/sh\necho codex-cli 0.169.0\n")
    path.chmod(0o755)
    return path


def test_a_whole_installation_is_well(shell: Shell, codex: Path) -> None:
    """Everything that is looked at has its line; exit code 0."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    code, told = findings(shell, LINKSPAN_CODEX=str(codex))
    assert code == 0
    assert {
        "home",
        "tools.yaml",
        "port",
        "egress",
        "codex",
        "sandbox",
        "git",
        "clock",
        "database",
        "keys",
    } <= set(told)
    assert told["accounts"]["found"] == "1 active, of 1 tenant"
    assert "codex-cli 0.169.0" in told["codex"]["found"]
    assert told["tools.yaml"]["found"].endswith("5 tools")


def test_an_empty_home_says_what_to_do_first(shell: Shell) -> None:
    """Nothing is made by looking."""
    (shell.home / "tools.yaml").unlink()
    code, told = findings(shell)
    assert code == 1
    assert "linkspan init" in told["tools.yaml"]["do"]
    assert "linkspan tenant add" in told["database"]["do"]
    assert not list(shell.home.iterdir())


def test_mistakes_in_the_file_are_bad(shell: Shell) -> None:
    """With the command that tells them."""
    (shell.home / "tools.yaml").write_text("linkspan: 1\nnmae: x\n")
    code, told = findings(shell)
    assert (code, told["tools.yaml"]["state"]) == (1, "bad")
    assert told["tools.yaml"]["do"].startswith("Run: linkspan check")


def test_an_account_that_lost_its_grant_is_told(shell: Shell) -> None:
    """With the command that looks again."""
    shell.run("tenant", "add", "acme")
    linked = shell.link("acme")
    shell.tracker.tokens.clear()
    assert shell.run("call", "ticket.list").exit_code == 3
    code, told = findings(shell)
    assert code == 0
    assert "needs_reauth" in told["account"]["found"]
    assert f"linkspan account verify {linked['id']}" in told["account"]["do"]


def test_what_others_can_read_is_told(shell: Shell) -> None:
    """The home is a warning, the key file is bad."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    os.chmod(shell.home, 0o755)  # noqa: PTH101
    os.chmod(shell.home / "keys", 0o644)  # noqa: PTH101
    code, told = findings(shell)
    assert (code, told["home"]["state"], told["keys"]["state"]) == (1, "warn", "bad")
    assert told["keys"]["do"] == f"Run: chmod 600 {shell.home / 'keys'}"


def test_a_port_that_is_taken_and_a_wide_allowance_are_warnings(shell: Shell) -> None:
    """Neither keeps anything from working."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _code, told = findings(shell, LINKSPAN_PORT=str(port), LINKSPAN_ALLOW_EGRESS="10.0.0.0/8")
    assert told["port"]["state"] == "warn"
    assert told["egress"]["state"] == "warn"


def test_a_setting_that_cannot_be_read_is_the_finding(shell: Shell) -> None:
    """The doctor does not fall ill of it."""
    code, told = findings(shell, LINKSPAN_PORT="many")
    assert code == 1
    assert "LINKSPAN_PORT" in told["settings"]["found"]


def test_a_codex_that_does_not_run_is_bad(shell: Shell, tmp_path: Path) -> None:
    """And it says how to name another."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    code, told = findings(shell, LINKSPAN_CODEX=str(broken))
    assert (code, told["codex"]["state"]) == (1, "bad")
    assert "LINKSPAN_CODEX" in told["codex"]["do"]


def test_what_the_operators_own_tools_need_is_looked_at(shell: Shell) -> None:
    """The port of metrics, and what sends traces; neither is mentioned where it is not asked for."""
    assert not {"metrics", "traces"} & set(findings(shell)[1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {"LINKSPAN_METRICS": str(taken.getsockname()[1]), "LINKSPAN_TRACES": "http://127.0.0.1:4318"}
        _, told = findings(shell, **env)
    assert (told["metrics"]["state"], told["traces"]["state"]) == ("warn", "ok")
    assert "--metrics" in told["metrics"]["do"]
