"""A backup of PostgreSQL, as docs/operate.md says it: made while Linkspan serves, restored, and good."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.test_serve import FILE
from tests.fakes.tracker import Tracker
from tests.servers.linkspan import Endpoint, Linkspan
from tests.servers.postgres import Cluster
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e


def run(name: str, *words: str) -> None:
    """Run one of PostgreSQL's own tools, of the server's version."""
    programs = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(programs[-1]) if programs else shutil.which(name) or name
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dump_brings_everything_back_to_its_moment(postgres: Cluster, tmp_path: Path) -> None:
    """Tenants, sealed credentials and tokens of then work; what came afterwards is not there."""
    dump = tmp_path / "linkspan.dump"
    with postgres.database() as name, serving(Tracker().app()) as product:
        config = tmp_path / "tools.yaml"
        config.write_text(FILE.read_text())
        linkspan = Linkspan(tmp_path / "home", config)
        url = postgres.url(name)
        linkspan = replace(linkspan, extra={"LINKSPAN_DATABASE": url})
        linkspan.add_tenant("acme")
        words = ("account", "link", "tracker", "--setting", f"site={product}", "--secret-env", "TOKEN")
        linkspan.run(*words, env={"TOKEN": "canary-acme"})
        _, token = linkspan.create_token("acme")
        with linkspan.serve(log=tmp_path / "serve.log"):
            run("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={url}")
        linkspan.add_tenant("later")
        run("pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={url}", str(dump))
        assert "later" not in linkspan.run("tenant", "list")
        (key,) = json.loads(linkspan.run("keys", "list", "--json"))
        assert key["values"] > 0
        with linkspan.serve(log=tmp_path / "serve.log") as base:
            assert Endpoint(f"{base}/t/acme/mcp", token).call("get_ticket", id="3")["result"]["id"] == "3"
    dump.unlink()
