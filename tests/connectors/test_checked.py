"""What is said of connectors is held against what a run of the tests has shown."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import pytest

from tests.connectors.checked import EVIDENCE, NOTHING, said_of, unshown


def results(tmp_path: Path, *, without: str = "", failed: str = "", end: str = "failure") -> Path:
    """The results of a run in which everything that is evidence ran, as pytest writes them."""
    suite = Element("testsuite")
    for name, evidence in EVIDENCE.items():
        if name == without:
            continue
        module = evidence.test.removesuffix(".py").replace("/", ".")
        for part in ("one", "other"):
            case = SubElement(suite, "testcase", classname=module, name=f"test_{part}[{evidence.only}]")
            if (name, part) == (failed, "other"):
                SubElement(case, end)
    ElementTree(suite).write(tmp_path / "tests.xml")
    return tmp_path / "tests.xml"


def test_what_connectors_say_is_shown_where_all_of_it_passed(tmp_path: Path) -> None:
    """Nothing is told then: files and pages say what ran."""
    assert unshown(results(tmp_path)) == []
    assert {name: said_of(name)[0] for name in EVIDENCE} == {
        name: found.note for name, found in EVIDENCE.items()
    }


@pytest.mark.parametrize("end", ["failure", "error", "skipped"])
@pytest.mark.parametrize("name", EVIDENCE)
def test_what_did_not_pass_shows_nothing(tmp_path: Path, name: str, end: str) -> None:
    """One test that failed is enough, and only its connector is told of."""
    (told,) = unshown(results(tmp_path, failed=name, end=end))
    assert told.startswith(f"{name} says ") and "of 2 tests of it that ran not all passed" in told


@pytest.mark.parametrize("name", EVIDENCE)
def test_what_did_not_run_shows_nothing(tmp_path: Path, name: str) -> None:
    """So does a test that was renamed or left out."""
    (told,) = unshown(results(tmp_path, without=name))
    assert told.startswith(f"{name} says ") and told.endswith("but no test of it ran")


def test_what_is_said_without_evidence_is_told(tmp_path: Path) -> None:
    """And so is too little."""
    boast = "Checked against a real server: Zendesk 11 (tests/e2e/test_zendesk.py)."
    said = {"zendesk": [NOTHING, boast], "bugsink": [NOTHING, NOTHING]}
    told = unshown(results(tmp_path), lambda name: said.get(name) or said_of(name))
    assert [one.partition(" ")[0] for one in told] == ["bugsink", "zendesk"]
    assert boast in told[1] and told[1].endswith(f"but it is: {NOTHING}")
