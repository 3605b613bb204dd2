"""Bugsink's own description, imported: the tools work against a real Bugsink."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers.bugsink import bugsink
from tests.servers.node import ROOT

pytestmark = pytest.mark.e2e


def test_importing_bugsinks_own_description_gives_tools_that_work(tmp_path: Path) -> None:
    """From the address of the description: lists, items, a creation and a change, and what `--live` says."""
    with bugsink(tmp_path / "bugsink") as server:
        number, _dsn = server.project("harbour")
        server.make_issues(number, 3)
        home = tmp_path / "home"
        environment = {
            "PATH": os.environ["PATH"],
            "LINKSPAN_HOME": str(home),
            "LINKSPAN_CONFIG": str(home / "tools.yaml"),
            "LINKSPAN_ALLOW_EGRESS": server.url.removeprefix("http://"),
        }
        home.mkdir(mode=0o700)

        def run(*words: str, stdin: str = "") -> str:
            done = subprocess.run(
                [str(ROOT / ".venv" / "bin" / "linkspan"), *words],
                env=environment, input=stdin, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def call(*words: str) -> Any:
            return json.loads(run("call", *words))["result"]

        run("import", "openapi", f"{server.url}/api/canonical/0/schema/", "-o", str(home / "tools.yaml"))
        run("check")
        run("tenant", "add", "acme")
        run("account", "link", "bugsink", "--setting", f"origin={server.url}", stdin=f"{server.token}\n")
        looked = run("check", "--live", "--arg", f"project={number}")
        assert "ok         issue.list at bugsink: 3 items" in looked
        assert "ok         issue.get at bugsink: 1 item" in looked
        issue = call("issue.list", "--arg", f"project={number}")[0]
        assert call("issue.get", "--arg", f"id={issue['id']}")["is_resolved"] is False
        call("issue.resolve", "--arg", f"id={issue['id']}")
        assert call("issue.get", "--arg", f"id={issue['id']}")["is_resolved"] is True
        team = call("team.list")[0]
        assert call("project.create", "--arg", "name=Quay", "--arg", f"team={team['id']}")["name"] == "Quay"
        assert "Quay" in {project["name"] for project in call("project.list")}
