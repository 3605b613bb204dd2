"""Git's places and Codex's sandbox together: what Codex sees of git, and what git sees of Codex's work."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.engine import Access, Limits, Task
from linkspan.settings import CodexSettings
from linkspan.vault.secret import Secret
from tests.codex.app_server.conftest import Watcher
from tests.codex.git.conftest import ACME, RUN, Bench
from tests.servers import codex as codex_cli
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, message, patch, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
MODEL = "gpt-5.5"
EDIT = """*** Begin Patch
*** Update File: README.md
@@
-# Shop
+# The Shop
*** End Patch"""


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder for runs that is not below the system's temporary directory."""
    folder = ROOT / ".work" / f"places-{uuid.uuid4().hex[:12]}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("binary", ["npm", "python"])
async def test_codex_reads_the_history_and_git_reads_the_work(bench: Bench, work: Path, binary: str) -> None:
    """Codex's git works in the sandbox and commits nothing; ours has every file, also those of commands."""
    bench = replace(bench, work=work)
    checkout = await bench.prepare(bench.repository())
    model = ScriptedModel(
        [
            [shell(MODEL, "git log --oneline | wc -l; git status --short; git rev-parse HEAD")],
            [patch(MODEL, EDIT)],
            [shell(MODEL, "mkdir docs && echo made > docs/made.txt && git diff --stat")],
            [shell(MODEL, "git add -A && git commit -qm mine || echo refused")],
            [message("Done.")],
        ]
    )
    engine = AppServer(CodexSettings(codex_cli.npm_command()[1] if binary == "npm" else None))
    with serving(model) as url:
        outcome = await engine.work(
            Task(
                run=RUN,
                tenant=ACME,
                folder=checkout.path.parent,
                prompt="Edit.",
                model=Access(f"{url}/v1", Secret("no-secret")),
                limits=Limits(60),
                workspace=checkout.path,
                model_name=MODEL,
            ),
            Watcher(),
        )
    assert outcome.status == "completed"
    seen = model.turns[-1].outputs
    assert checkout.base_commit in seen[0]
    assert "README.md" in seen[2]
    assert "refused" in seen[3]
    change = await bench.places().change(checkout)
    assert sorted((file.path, file.status) for file in change.files) == [
        ("README.md", "modified"),
        ("docs/made.txt", "added"),
    ]
    assert "+# The Shop" in change.diff
