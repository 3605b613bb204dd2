"""docs/client.md: every example is run as it stands there, one after the other, against `linkspan serve`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.tracker import Tracker
from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK, serving

pytestmark = pytest.mark.e2e
TEXT = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
RECIPE = """
recipes:
  fix_ticket:
    title: Fix with Codex
    entity: ticket
    settings: {repository: {type: repository, required: true}}
    prompt: Fix it.
"""


def test_every_example_works(tmp_path: Path) -> None:
    """Entities, failures, the proxy, a batch, a run that is cancelled, the log, async."""
    config = tmp_path / "tools.yaml"
    tracker = (ROOT / "tests" / "fakes" / "tracker.yaml").read_text()
    with serving(Tracker().app()) as site:
        text = re.sub(r"^( +)tracker:", r"\1desk:", tracker, flags=re.MULTILINE)
        config.write_text(text.replace("http://tracker.example", site) + RECIPE)
        linkspan = Linkspan(tmp_path / "home", config)
        linkspan.add_tenant("acme")
        words = ["account", "link", "desk", "--tenant", "acme", "--secret-env", "TOKEN"]
        linkspan.run(*words, env={"TOKEN": "canary-acme"})
        linkspan.run(
            "recipe", "enable", "fix_ticket", "--tenant", "acme", "--setting", "repository=acme/cafe"
        )
        _id, token = linkspan.create_token("acme")
        admin = json.loads(linkspan.run("admin", "create", "--json"))["token"]
        with linkspan.serve(log=tmp_path / "linkspan.log") as url:
            script = "\n".join(BLOCKS).replace("http://127.0.0.1:8640", url)
            script = script.replace("lsk_tenant_…", token).replace("lsk_admin_…", admin)
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", script],
                env={**linkspan.environment, "no_proxy": LOOPBACK},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "not_found" in said
    assert "cancelled" in said
    assert "get_ticket" in said
    assert said.rstrip().endswith("]")
    assert len(BLOCKS) == 7
