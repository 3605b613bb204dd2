"""The management API is what its description says, whatever anybody sends: Schemathesis tries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT

pytestmark = pytest.mark.e2e
SCHEMATHESIS: Final = Path(sys.executable).with_name("schemathesis")
CASES: Final = "12"
"""For each operation and each phase that makes cases up; what is at the edges of a schema comes besides."""
EXCLUDED: Final = "positive_data_acceptance"
"""A `next_cursor` is a text, and of all texts only those are taken that a list has given out."""


def test_nothing_that_anybody_sends_is_a_fault_of_ours(tmp_path: Path) -> None:
    """No 5xx, no answer that is not described, nothing without the key, no method that is not there.

    What was made can be got, changed and removed along the description's links, and is gone then. The cases
    are the same in every run, some two thousand; they take half a minute on two busy cores.
    """
    tools = tmp_path / "tools.yaml"
    tools.write_text((ROOT / "tests" / "fakes" / "tracker.yaml").read_text())
    linkspan = Linkspan(tmp_path / "home", tools)
    linkspan.add_tenant("acme")
    key = json.loads(linkspan.run("admin", "create", "--json"))["token"]
    with linkspan.serve(log=tmp_path / "linkspan.log") as url:
        words = ["run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"]
        words += ["--seed", "1", "--max-examples", CASES, "--exclude-checks", EXCLUDED, "--checks", "all"]
        words += ["--no-color", "--warnings", "off", "--generation-database", "none"]
        done = subprocess.run(
            [SCHEMATHESIS, *words],
            cwd=tmp_path,
            env=linkspan.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    log = (tmp_path / "linkspan.log").read_text()
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert "No issues found" in done.stdout
    for phase in ("Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
    assert "Traceback" not in log
