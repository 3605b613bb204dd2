"""The official conformance suite against plain `linkspan serve`: what fails is written down, nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conformance.relay import relaying
from tests.conformance.stub import stub
from tests.servers import node
from tests.servers.linkspan import SECRET, Linkspan
from tests.servers.serving import serving

HERE = Path(__file__).parent


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("revision", "stateful"), [("2025-11-25", "yes"), ("2025-11-25", ""), ("2026-07-28", "")]
)
def test_nothing_fails_but_what_is_written_down(revision: str, stateful: str, tmp_path: Path) -> None:
    """Both requirement sets; without sessions also what asks and notifies in the old era, as it must."""
    config = tmp_path / "tools.yaml"
    config.write_text((HERE / "tools.yaml").read_text())
    linkspan = Linkspan(tmp_path / "home", config, {"LINKSPAN_STATEFUL": stateful, SECRET: "any"})
    with serving(stub(config)) as origin:
        linkspan.add_tenant("conf")
        link = ["account", "link", "stub", "--tenant", "conf", "--setting", f"origin={origin}"]
        linkspan.run(*link, "--secret-env", SECRET)
        _, token = linkspan.create_token("conf")
        baseline = HERE / ("expected-failures.yml" if stateful or revision > "2026" else "stateless.yml")
        with linkspan.serve(log=tmp_path / "linkspan.log") as url, relaying(url, token) as relay:
            suite = [*node.conformance(), "server", "--url", f"{relay}/t/conf/mcp"]
            results = ["--expected-failures", str(baseline), "-o", str(tmp_path / "results")]
            done = subprocess.run(
                [*suite, "--requirements", revision, *results],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-2000:]}"
    scored = re.search(r"Total: (\d+) passed", done.stdout)
    assert scored and int(scored.group(1)) > 50
