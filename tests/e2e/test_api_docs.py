"""docs/api.md: every example is run as it stands there, one after the other, against `linkspan serve`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from linkspan.web.api.routes import ENDPOINTS
from tests.e2e.documented import blocks, desk, page, said_by
from tests.fakes.receiver import Receiver
from tests.fakes.tracker import Tracker
from tests.servers.linkspan import PROGRAM
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
TEXT = page("api.md")
BLOCKS = blocks(TEXT, "bash")
SERVED = "LINKSPAN=http://127.0.0.1:8640"


def test_every_example_works(tmp_path: Path) -> None:
    """From the first key to a tenant that has left; a wrong status of any of them ends it."""
    linkspan = desk(tmp_path)
    receiver = Receiver()
    with (
        serving(Tracker().app()) as site,
        serving(receiver) as hook,
        linkspan.serve(log=tmp_path / "linkspan.log") as url,
    ):
        script = "set -euo pipefail\n" + "\n".join(BLOCKS).replace(SERVED, f"LINKSPAN={url}")
        own = {"SITE": site, "DESK_TOKEN": "canary-acme", "RECEIVER": f"{hook}/x"}
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        said = said_by(["bash", "-c", script], linkspan, **own, PATH=path)
    assert SERVED in BLOCKS[0]
    assert receiver.events[0] == "test"
    proof = json.loads(said[said.rindex('{"result":{"id":"acme"') :])["result"]
    assert proof["deleted"]["tenants"] == 1
    assert "canary-acme" not in said
    assert '"integration":"desk"' in said, "a page of the unified API"
    assert '"subject":"acme ticket 1"' in said.replace(": ", ":"), "what the product itself answers"


def test_every_door_is_written_down() -> None:
    """Its first word at least; the description has the rest."""
    assert {endpoint.path.split("/")[1] for endpoint in ENDPOINTS} <= set(re.findall(r"/([a-z-]+)", TEXT))
