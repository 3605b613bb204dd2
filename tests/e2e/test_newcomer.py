"""The first minute: a clone, one command, one line for Codex, and the tool answers."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.codex import Codex, ToolMode, call_tool
from tests.servers.node import ROOT
from tests.servers.serving import alone, running

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `scripts/demo` prints in a new clone, while it runs. It does all its own set-up."""
    folder = tmp_path_factory.mktemp("newcomer")
    clone = folder / "linkspan"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    log = folder / "demo.log"
    with (
        alone("demo"),
        running(
            [clone / "scripts" / "demo"],
            log=log,
            cwd=clone,
            ready=lambda: "Ctrl+C ends it" in log.read_text(),
            seconds=600,
        ),
    ):
        yield log.read_text()


@pytest.mark.parametrize("way", ["paste the lines", "run the command", "run the command for HTTP"])
def test_what_the_demo_prints_is_all_that_codex_needs(
    way: str, printed: str, codex: Codex, tmp_path: Path
) -> None:
    """Every way that the demo offers ends with an answer from the sample desk."""
    env = {}
    if way == "paste the lines":
        part = re.search(r"^  \[mcp_servers\.(?:.*\n)+?$", printed, re.MULTILINE)
        assert part
        servers = tomllib.loads(part[0])["mcp_servers"]
    else:
        lines = re.findall(r"^  (codex mcp add .*)$", printed, re.MULTILINE)
        line = next(line for line in lines if ("--url" in line) == way.endswith("HTTP"))
        servers = codex.add_server(line)
        env = dict(re.findall(r"^  export (\w+)=(\S+)$", printed, re.MULTILINE))
    (server,) = servers
    table = {**servers[server], "required": True}  # what it prints says to add this by hand
    run = codex.exec(
        *call_tool(ToolMode.SEARCH, server, "list_tickets", {"limit": 2}),
        mode=ToolMode.SEARCH,
        servers={server: table},
        env=env,
        cwd=tmp_path,
    )
    assert run.exit_code == 0, run.stderr
    assert len(run.answers[-1]["result"]) == 2, run.outputs
