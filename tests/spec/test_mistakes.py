"""Every mistake in a tools.yaml is told at its line and column, in exact words, with the nearest word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan.spec.problems import CODES

MISTAKES: dict[str, dict[str, Any]] = {
    name: mistake
    for file in sorted(Path(__file__).parent.glob("mistakes*.yaml"))
    for name, mistake in yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader).items()
}
ELSEWHERE = {"unreadable", "too_large"}
"""Codes that test_files.py and test_yaml.py bring about."""


def test_the_good_file_is_good(good: str, recipe: str, check: Any) -> None:
    """What is spoilt below has no mistake by itself."""
    assert check(good) == []
    assert check(good + recipe) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told(name: str, good: str, recipe: str, check: Any) -> None:
    """The one mistake, and nothing that merely follows from it."""
    mistake = MISTAKES[name]
    if mistake.get("in") == "recipe":
        good += recipe
    if mistake["replace"] == "all":
        spoilt = mistake["by"]
    else:
        assert mistake["replace"] in good
        spoilt = good.replace(mistake["replace"], mistake["by"], 1)
        for old, new in mistake.get("and", {}).items():
            assert old in spoilt
            spoilt = spoilt.replace(old, new, 1)
    assert check(spoilt, environ={"DESK_TITLE": "Desk"}) == mistake["told"]


def test_every_code_has_its_mistake() -> None:
    """The closed list of codes is the list of what is tried here."""
    told = {line.split(": ")[1] for mistake in MISTAKES.values() for line in mistake["told"]}
    assert told | ELSEWHERE == set(CODES)


def test_all_mistakes_are_told_at_once(good: str, check: Any) -> None:
    """Mistakes of form and of meaning in different places do not hide one another."""
    spoilt = (
        good.replace("title: Acme Desk", "titel: Acme Desk")
        .replace("items: tickets", "items: tickets[")
        .replace("wip: in_progress", "wip: in_progres")
        .replace("GET /tickets/{id}", "GET /tickets/{number_}")
        .replace("max: 50", "max: fifty")
    )
    assert [line.split(": ")[1] for line in check(spoilt)] == [
        "unknown_key",
        "wrong_type",
        "bad_enum",
        "bad_expression",
        "undeclared_placeholder",
    ]


def test_a_secret_in_the_environment_is_never_told(good: str, check: Any) -> None:
    """Mistakes show the variable's name, not its value."""
    spoilt = good.replace("https://{settings.site}.desk.example", "${DESK_URL}").replace(
        "who: $login", "who: $login, key: '${KEY}'"
    )
    told = check(spoilt, environ={"DESK_URL": "secret-word", "KEY": "$secret-word"})
    assert told == [
        "8:15: bad_base_url: connectors.desk.base_url: must begin with https:// or http:// and a host"
    ]
