"""docs/client.md: every example is run as it stands there, one after the other, against `linkspan serve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.documented import blocks, desk, page, said_by
from tests.fakes.tracker import Tracker
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
BLOCKS = blocks(page("client.md"), "python")


def test_every_example_works(tmp_path: Path) -> None:
    """Entities, failures, the proxy, a batch, a run that is cancelled, the log, async."""
    linkspan = desk(tmp_path)
    with serving(Tracker().app()) as site:
        linkspan.add_tenant("acme")
        words = ["account", "link", "desk", "--tenant", "acme", "--setting", f"site={site}"]
        linkspan.run(*words, "--secret-env", "TOKEN", env={"TOKEN": "canary-acme"})
        linkspan.run(
            "recipe", "enable", "fix_ticket", "--tenant", "acme", "--setting", "repository=acme/cafe"
        )
        _id, token = linkspan.create_token("acme")
        admin = json.loads(linkspan.run("admin", "create", "--json"))["token"]
        with linkspan.serve(log=tmp_path / "linkspan.log") as url:
            script = "\n".join(BLOCKS).replace("http://127.0.0.1:8640", url)
            script = script.replace("lsk_tenant_…", token).replace("lsk_admin_…", admin)
            said = said_by([sys.executable, "-W", "error", "-c", script], linkspan)
    assert "not_found" in said
    assert "cancelled" in said
    assert "get_ticket" in said
    assert said.rstrip().endswith("]")
    assert len(BLOCKS) == 7
