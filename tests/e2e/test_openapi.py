"""The management API is what its description says, whatever anybody sends: Schemathesis tries."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.tracker import Tracker, patient
from tests.servers.linkspan import Linkspan
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
SCHEMATHESIS: Final = Path(sys.executable).with_name("schemathesis")
CASES: Final = "12"
"""For each operation and each phase that makes cases up; what is at the edges of a schema comes besides."""
EXCLUDED: Final = "positive_data_acceptance"
"""A `next_cursor` is a text, and of all texts only those are taken that a list has given out."""


DATA: Final = "^/(unified|proxy|custom|batch-request)"
UNHELPFUL: Final = (
    *("positive_data_acceptance", "negative_data_rejection"),
    *("unsupported_method", "missing_required_header", "use_after_free", "ensure_resource_availability"),
)
"""What cannot be asked of a door to somebody else's product, which takes and refuses what it likes."""


@contextlib.contextmanager
def served(tmp_path: Path) -> Iterator[tuple[Linkspan, str, dict[str, str]]]:
    """Linkspan before a tracker, with an admin key and a token of its tenant."""
    with serving(Tracker().app()) as site:
        linkspan = Linkspan(tmp_path / "home", patient(tmp_path, site))
        linkspan.add_tenant("acme")
        words = ["account", "link", "tracker", "--tenant", "acme", "--secret-env", "TOKEN"]
        linkspan.run(*words, env={"TOKEN": "canary-acme"})
        keys = {
            "admin": json.loads(linkspan.run("admin", "create", "--json"))["token"],
            "tenant": linkspan.create_token("acme")[1],
        }
        with linkspan.serve(log=tmp_path / "linkspan.log") as url:
            yield linkspan, url, keys


def tried(linkspan: Linkspan, url: str, key: str, place: Path, *more: str) -> str:
    """Let Schemathesis try; answers what it says, and fails where it found something."""
    words = ["run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}", "--seed", "1"]
    words += ["--checks", "all", "--no-color", "--warnings", "off"]
    done = subprocess.run(
        [SCHEMATHESIS, *words, "--generation-database", "none", *more],
        cwd=place,
        env=linkspan.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    log = (place / "linkspan.log").read_text()
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert "No issues found" in done.stdout
    assert "Traceback" not in log
    return done.stdout


def test_nothing_that_anybody_sends_is_a_fault_of_ours(tmp_path: Path) -> None:
    """No 5xx, no answer that is not described, nothing without the key, no method that is not there.

    What was made can be got, changed and removed along the description's links, and is gone then. The cases
    are the same in every run, some two thousand; they take half a minute on two busy cores. The doors to the
    products are tried with a tenant's token: entities, the raw proxy, Truto's forms and batches.
    """
    with served(tmp_path) as (linkspan, url, keys):
        said = tried(
            linkspan, url, keys["tenant"], tmp_path, "--include-path-regex", DATA,
            "--exclude-checks", ",".join(UNHELPFUL), "--max-examples", "5", "--phases", "coverage,fuzzing",
        )  # fmt: skip
        for phase in ("Coverage", "Fuzzing"):
            assert f"✅ {phase}" in said, said
        said = tried(
            linkspan, url, keys["admin"], tmp_path, "--exclude-path-regex", DATA,
            "--exclude-checks", EXCLUDED, "--max-examples", CASES,
        )  # fmt: skip
    for phase in ("Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in said, said
