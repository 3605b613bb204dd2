"""Backup, restore, keys and the move, as they are typed."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkspan.vault.keys import new_key
from tests.cli.conftest import Shell
from tests.servers.postgres import Cluster


def test_keys_are_listed_and_changed(shell: Shell) -> None:
    """What depends on each is said, accounts go on working, and the old key may go."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    (before,) = shell.data("keys", "list", "--json")
    assert (before["seals"], before["data_keys"], before["values"]) == (True, 2, 1)
    done = shell.data("keys", "rotate", "--json")
    assert (done["tenants"], done["values"], done["unreadable"]) == (1, 1, 0)
    listed = shell.run("keys", "list").stdout
    assert done["key"] in listed
    new, old = shell.data("keys", "list", "--json")
    assert (new["id"], old["id"]) == (done["key"], before["id"])
    assert (old["data_keys"], old["values"]) == (0, 0)
    assert shell.data("call", "ticket.list", "--tenant", "acme")["result"]
    assert f"Nothing here needs {new['id']}, {old['id']}" in shell.run("keys", "rotate").stdout


def test_keys_of_the_environment_say_what_to_set(shell: Shell) -> None:
    """Exit code 2, the words to type, and nothing of a key."""
    shell.run("tenant", "add", "acme")
    text = (shell.home / "keys").read_text().splitlines()[-1]
    result = shell.run("keys", "rotate", LINKSPAN_KEYS=text)
    assert result.exit_code == 2
    assert "LINKSPAN_KEYS=NEW,OLD" in result.output
    assert text not in result.output


def test_a_backup_comes_back_in_a_new_home(shell: Shell, tmp_path: Path) -> None:
    """Both say what they hold and which key they need; with the key everything works again."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    file = tmp_path / "backup.sqlite"
    made = shell.run("backup", str(file))
    (key,) = shell.data("keys", "list", "--json")
    assert made.exit_code == 0
    assert "1 tenants" in made.stdout
    assert f"It needs key {key['id']} for 1 sealed values: it is in {shell.home / 'keys'}" in made.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    home = tmp_path / "new"
    back = shell.run("--home", str(home), "restore", str(file))
    assert back.exit_code == 0, back.output
    assert f"key {key['id']} for 1 sealed values: IT IS NOT AMONG THE KEYS THERE ARE" in back.stdout
    assert shell.run("--home", str(home), "tenant", "list").exit_code == 2
    (home / "keys").write_text((shell.home / "keys").read_text())
    (home / "keys").chmod(0o600)
    (home / "tools.yaml").write_text((shell.home / "tools.yaml").read_text())
    answer = shell.data("--home", str(home), "call", "ticket.list", "--tenant", "acme")
    assert answer["result"]


def test_nothing_is_written_over(shell: Shell, tmp_path: Path) -> None:
    """Neither a backup nor a database: exit code 2, and what to do."""
    shell.run("tenant", "add", "acme")
    file = tmp_path / "backup.sqlite"
    assert shell.data("backup", str(file), "--json")["rows"]["tenants"] == 1
    assert shell.run("backup", str(file)).exit_code == 2
    refused = shell.run("restore", str(file))
    assert refused.exit_code == 2
    assert "move it away" in refused.output


@pytest.mark.parametrize("words", [("backup", "x"), ("restore", "x")], ids=str)
def test_postgresql_is_backed_up_with_its_own_tools(shell: Shell, words: tuple[str, ...]) -> None:
    """No file is made that somebody might take for a backup."""
    result = shell.run(*words, LINKSPAN_DATABASE="postgresql://nowhere/db")
    assert result.exit_code == 2
    assert "pg_dump" in result.output or "pg_restore" in result.output
    assert not Path("x").exists()


def test_only_a_url_of_postgresql_is_taken(shell: Shell) -> None:
    """Anything else is told by its variable, and not repeated: it may hold a password."""
    result = shell.run("tenant", "list", LINKSPAN_DATABASE="mysql://u:s3cret@host/db")
    assert result.exit_code == 2
    assert "LINKSPAN_DATABASE is not a URL of PostgreSQL" in result.output
    assert "s3cret" not in result.output


@pytest.fixture
def url(postgres: Cluster) -> Iterator[str]:
    """An empty place in PostgreSQL."""
    with postgres.schema() as made:
        yield made


@pytest.mark.e2e
def test_a_move_to_postgresql_goes_on_there(shell: Shell, url: str) -> None:
    """The same tenants, accounts and keys; the file says where everything went."""
    shell.run("tenant", "add", "acme")
    shell.link("acme")
    moved = shell.data("db", "move", "--to", url, "--json")
    assert moved["rows"]["accounts"] == 1
    left = shell.run("tenant", "list")
    assert left.exit_code == 2
    assert "was moved to postgresql://linkspan@" in left.output
    answer = shell.run("call", "ticket.list", "--tenant", "acme", LINKSPAN_DATABASE=url)
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["result"]
    told = shell.run("--database", url, "keys", "rotate")
    assert told.exit_code == 2
    assert "for every process" in told.output
    old = (shell.home / "keys").read_text().splitlines()[-1]
    again = shell.run("--database", url, "keys", "rotate", "--json", LINKSPAN_KEYS=f"{new_key()},{old}")
    assert json.loads(again.stdout)["values"] == 1
    assert shell.run("db", "move", "--to", url, LINKSPAN_DATABASE=url).exit_code == 2
