"""`linkspan admin`, as it is typed."""

from __future__ import annotations

from tests.cli.conftest import Shell


def test_a_key_is_printed_once(shell: Shell) -> None:
    """Alone on standard output, so that a script can take it; the list shows everything but the key."""
    made = shell.run("admin", "create", "--subject", "anna")
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("lsk_admin_")
    assert "docs/api.md" in made.stderr
    (row,) = shell.data("admin", "list", "--json")
    assert row["subject"] == "anna"
    assert row["id"] == key.split("_")[2]
    assert key.split("_", 3)[3] not in str(row)


def test_a_key_ends(shell: Shell) -> None:
    """By its time, and by being revoked; both are told."""
    made = shell.data("admin", "create", "--expires", "7d", "--json")
    assert abs(made["expires"] - made["created"] - 7 * 86_400) < 1
    assert "active" in shell.run("admin", "list").stdout
    assert shell.run("admin", "revoke", made["id"]).exit_code == 0
    assert "revoked" in shell.run("admin", "list").stdout
    again = shell.run("admin", "revoke", made["id"])
    assert again.exit_code == 1
    assert "linkspan admin list" in again.output


def test_wrong_use_is_told(shell: Shell) -> None:
    """Exit code 2."""
    assert shell.run("admin", "create", "--expires", "soon").exit_code == 2
    assert shell.run("admin", "create", "--subject", "").exit_code == 2
