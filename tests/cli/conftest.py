"""The command line against a tracker on a loopback port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from linkspan.cli.main import cli
from tests.canary import nothing_in
from tests.fakes.tracker import Tracker
from tests.servers.serving import serving

FILE = Path(__file__).parents[1] / "fakes/tracker.yaml"


@dataclass(frozen=True)
class Shell:
    """Runs `linkspan` with a home of its own."""

    home: Path
    tracker: Tracker
    url: str

    def run(self, *words: str, stdin: str | None = None, **env: str) -> Result:
        """Run a command; nothing of the surrounding environment is seen by it."""
        environment = {
            "LINKSPAN_HOME": str(self.home),
            "LINKSPAN_ALLOW_EGRESS": self.url.removeprefix("http://"),
            "LINKSPAN_CONFIG": "",
            "LINKSPAN_TENANT": "",
            "LINKSPAN_KEYS": "",
            **env,
        }
        result = CliRunner().invoke(cli, list(words), input=stdin, env=environment)
        nothing_in(result.output, f"what linkspan {' '.join(words)} printed")
        return result

    def data(self, *words: str, stdin: str | None = None) -> Any:
        """Run a command that succeeds, and answer the JSON that it prints."""
        result = self.run(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def link(self, tenant: str) -> Any:
        """Link the tenant's account with its own token."""
        return self.data(
            "account", "link", "tracker", "--tenant", tenant, "--setting", f"site={self.url}", "--json",
            stdin=f"canary-{tenant}\n",
        )  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A home with the tracker's tools.yaml, and the tracker."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "tools.yaml").write_text(FILE.read_text())
    tracker = Tracker()
    with serving(tracker.app()) as url:
        yield Shell(home, tracker, url)
