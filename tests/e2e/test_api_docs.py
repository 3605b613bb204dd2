"""docs/api.md: every example is run as it stands there, one after the other, against `linkspan serve`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from linkspan.web.api.routes import ENDPOINTS
from tests.fakes.receiver import Receiver
from tests.fakes.tracker import Tracker
from tests.servers.linkspan import PROGRAM, Linkspan
from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK, serving

pytestmark = pytest.mark.e2e
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
RECIPE = """
recipes:
  fix_ticket:
    title: Fix with Codex
    entity: ticket
    settings: {repository: {type: repository, required: true}}
    prompt: Fix it.
"""
SERVED = "LINKSPAN=http://127.0.0.1:8640"


def test_every_example_works(tmp_path: Path) -> None:
    """From the first key to a tenant that has left; a wrong status of any of them ends it."""
    config = tmp_path / "tools.yaml"
    tracker = (ROOT / "tests" / "fakes" / "tracker.yaml").read_text()
    config.write_text(re.sub(r"^( +)tracker:", r"\1desk:", tracker, flags=re.MULTILINE) + RECIPE)
    linkspan = Linkspan(tmp_path / "home", config)
    receiver = Receiver()
    with (
        serving(Tracker().app()) as site,
        serving(receiver) as hook,
        linkspan.serve(log=tmp_path / "linkspan.log") as url,
    ):
        script = "set -euo pipefail\n" + "\n".join(BLOCKS).replace(SERVED, f"LINKSPAN={url}")
        own = {"SITE": site, "DESK_TOKEN": "canary-acme", "RECEIVER": f"{hook}/x"}
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            env={**linkspan.environment, **own, "PATH": path, "no_proxy": LOOPBACK},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert SERVED in BLOCKS[0]
    assert receiver.events[0] == "test"
    proof = json.loads(done.stdout[done.stdout.rindex('{"id":"acme"') :])
    assert proof["deleted"]["tenants"] == 1
    assert "canary-acme" not in done.stdout


def test_every_door_is_written_down() -> None:
    """Its first word at least; the description has the rest."""
    assert {endpoint.path.split("/")[1] for endpoint in ENDPOINTS} <= set(re.findall(r"/([a-z-]+)", TEXT))
