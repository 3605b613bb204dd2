"""Recipes at the command line."""

from __future__ import annotations

import getpass

import pytest

from tests.cli.conftest import FILE, Shell
from tests.servers.node import ROOT

RECIPE = """
recipes:
  mend:
    title: Mend with Codex
    description: Mends what a ticket complains of.
    entity: ticket
    settings:
      repository: {type: repository, required: true, title: Repository}
      approvers: {type: people, title: Who may approve}
    budget: {minutes: 10, tokens: 50000}
    prompt: Mend it.
    publish: pull_request
"""


@pytest.fixture
def acme(shell: Shell) -> Shell:
    """A home with a recipe and one tenant."""
    (shell.home / "tools.yaml").write_text(FILE.read_text() + RECIPE)
    shell.data("tenant", "add", "acme", "--json")
    return shell


def test_a_recipe_is_turned_on_and_off(acme: Shell) -> None:
    """With its settings, which stay when it is turned off; who did it is kept."""
    assert "mend  Mend with Codex  ticket     off    -" in acme.run("recipe", "list").output
    done = acme.run("recipe", "enable", "mend", "--setting", "repository=acme/cafe")
    assert done.output == "mend is on for tenant acme. Next: linkspan run start mend --tenant acme ID\n"
    acme.data("recipe", "enable", "mend", "--setting", "approvers=bo,al", "--person", "bo", "--json")
    (told,) = acme.data("recipe", "list", "--json")
    assert (told["enabled"], told["changed_by"]) == (True, f"{getpass.getuser()} for bo")
    assert {name: each["value"] for name, each in told["settings"].items()} == {
        "repository": "acme/cafe", "approvers": ["bo", "al"]
    }  # fmt: skip
    assert acme.run("recipe", "disable", "mend").output == "mend is off for tenant acme.\n"
    shown = acme.run("recipe", "show", "mend").output
    assert shown.startswith(f"mend: Mend with Codex (off, by {getpass.getuser()}, ")
    assert "budget 10 minutes, 50,000 tokens; tools ticket.get" in shown
    assert "repository  repository  yes       acme/cafe  Repository" in shown


def test_what_does_not_fit_is_told(acme: Shell) -> None:
    """What, where, and what to do next."""
    missing = acme.run("recipe", "enable", "mend")
    assert missing.exit_code == 2
    assert "repository: is required: Repository" in missing.stderr
    url = acme.run("recipe", "enable", "mend", "--setting", "repository=https://evil.example/x.git")
    assert "write OWNER/NAME, or the number of a project of GitLab" in url.stderr
    none = acme.run("recipe", "enable", "mand", "--setting", "repository=acme/cafe")
    assert none.exit_code == 1
    assert "tools.yaml has no recipe 'mand'. There is mend." in none.stderr
    assert "takes NAME=VALUE" in acme.run("recipe", "enable", "mend", "--setting", "x").stderr


def test_without_recipes(shell: Shell) -> None:
    """It says so."""
    shell.data("tenant", "add", "acme", "--json")
    assert shell.run("recipe", "list").output == "tools.yaml has no recipes.\n"


def test_who_may_call_codex_is_told(shell: Shell) -> None:
    """By which name, where, and whose word counts."""
    shell.data("tenant", "add", "acme", "--json")
    (shell.home / "tools.yaml").write_bytes((ROOT / "tools.yaml").read_bytes())
    shown = shell.run("recipe", "show", "fix_ticket").output
    assert "called by @codex on desk.ticket.commented, where contains(settings.askers, author.id)" in shown
    (told, *_) = [each for each in shell.data("recipe", "list", "--json") if each["name"] == "fix_ticket"]
    by = "contains(settings.askers, author.id)"
    assert told["mention"] == {"on": ["desk.ticket.commented"], "name": "@codex", "by": by}
