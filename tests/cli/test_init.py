"""`linkspan init`: a first file that works, without a terminal too."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from linkspan.cli.main import cli
from tests.cli.conftest import Shell

GIVEN = (
    "--title", "The Tracker", "--base-url", "https://tracker.example/api", "--entity", "ticket",
    "--items", "tickets", "--title-field", "subject", "--item", "ticket", "--verify", "/me",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_first_file_reads_real_tickets(shell: Shell, here: Path) -> None:
    """From options alone to a list and an item of a real product, with the commands that it names."""
    given = [shell.url + "/api" if word.startswith("https://") else word for word in GIVEN]
    result = shell.run("init", *given, "--yes")
    assert result.exit_code == 0, result.output
    assert "linkspan --config tools.yaml account link the_tracker --tenant acme" in result.stdout
    assert (
        (here / "tools.yaml").read_text().startswith("# yaml-language-server: $schema=./tools.schema.json\n")
    )
    assert (here / "tools.schema.json").exists()
    assert shell.run("check").exit_code == 0
    shell.run("tenant", "add", "acme")
    config = ("--config", "tools.yaml")
    linked = shell.run(*config, "account", "link", "the_tracker", "--tenant", "acme", stdin="canary-acme\n")
    assert linked.exit_code == 0, linked.output
    live = shell.run(*config, "check", "--live", "--tenant", "acme")
    assert "ticket.list at the_tracker: 3 items" in live.stdout
    assert "ticket.get at the_tracker: 1 item" in live.stdout


def test_what_is_not_given_is_asked(here: Path) -> None:
    """Offered answers are taken with the return key; a wrong one is asked again."""
    answers = ["Acme Desk", "", "not an address", "https://desk.example", "header", "X-Key", *[""] * 7]
    result = CliRunner().invoke(cli, ["init"], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert "is not an address such as" in result.output
    text = (here / "tools.yaml").read_text()
    assert "  acme_desk:" in text
    assert "{type: header, name: X-Key, title: API key}" in text


@pytest.mark.parametrize(
    ("auth", "entity"),
    list(itertools.product(["bearer", "header", "query", "basic", "none"], ["ticket", "category"])),
)
def test_every_kind_makes_a_good_file(auth: str, entity: str, here: Path) -> None:
    """Every way to prove who we are, a model and a kind of thing of one's own."""
    words = ["init", "--title", "X: {y} #1", "--base-url", "https://x.example", "--auth", auth, "--yes"]
    result = CliRunner().invoke(cli, [*words, "--entity", entity, "--get", "-", "f.yaml"])
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(cli, ["check", "f.yaml"]).exit_code == 0


def test_nothing_is_overwritten(here: Path) -> None:
    """Exit code 2, and the file as it was."""
    (here / "tools.yaml").write_text("mine")
    result = CliRunner().invoke(cli, ["init", *GIVEN, "--yes"])
    assert result.exit_code == 2
    assert "left as it is" in result.output
    assert (here / "tools.yaml").read_text() == "mine"


def test_answers_that_make_no_good_file_write_none(here: Path) -> None:
    """What is wrong is said."""
    result = CliRunner().invoke(cli, ["init", *GIVEN, "--items", "a[", "--yes"])
    assert result.exit_code == 2
    assert "nothing was written" in result.output
    assert not list(here.iterdir())


def test_what_is_needed_is_named() -> None:
    """Without a terminal nothing is asked."""
    result = CliRunner().invoke(cli, ["init", "--yes"])
    assert result.exit_code == 2
    assert "--title" in result.output
