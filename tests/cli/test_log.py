"""`linkspan log`, as it is typed."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.cli.conftest import Shell


@pytest.fixture
def used(shell: Shell) -> Shell:
    """Two tenants that have done something each, by the command line."""
    for name in ("acme", "globex"):
        shell.run("tenant", "add", name)
        shell.link(name)
        assert shell.run("call", "ticket.get", "--tenant", name, "--arg", "id=1").exit_code == 0
    assert shell.run("call", "ticket.get", "--tenant", "acme", "--arg", "id=99").exit_code == 1
    return shell


def test_what_was_done_is_listed(used: Shell) -> None:
    """Newest first, of one tenant, with who, what, which thing and how it ended."""
    rows = used.data("log", "--tenant", "acme", "--json")
    assert [(row["tool"], row["entity_id"], row["outcome"]) for row in rows] == [
        ("get_ticket", "99", "not_found"),
        ("get_ticket", "1", "ok"),
    ]
    assert {row["tenant"] for row in rows} == {"acme"}
    shown = used.run("log", "--tenant", "acme").stdout
    assert "ticket 99" in shown
    assert "not_found" in shown
    assert rows[0]["request_id"] in shown


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--outcome", "ok"), 1),
        (("--id", "99"), 1),
        (("--tool", "create_ticket"), 0),
        (("--entity", "ticket", "--since", "1h"), 2),
        (("--subject", "nobody"), 0),
        (("--connector", "tracker", "--limit", "1"), 1),
    ],
)
def test_rows_are_chosen(words: tuple[str, ...], count: int, used: Shell) -> None:
    """By every field that the management API chooses by."""
    assert len(used.data("log", "--tenant", "acme", *words, "--json")) == count


def test_what_is_not_there_is_told(used: Shell) -> None:
    """An empty list in words; wrong use with exit code 2; an unknown tenant as what it is."""
    assert "Nothing like it" in used.run("log", "--tenant", "acme", "--tool", "x").output
    assert used.run("log", "--tenant", "acme", "--since", "soon").exit_code == 2
    assert used.run("log").exit_code == 2
    assert used.run("log", "--tenant", "nobody").exit_code != 0


def test_all_of_it_is_printed_for_programs(used: Shell) -> None:
    """As JSON Lines or as a table, with the same filters."""
    lines = used.run("log", "--tenant", "acme", "--export", "ndjson").stdout.splitlines()
    assert [json.loads(line)["entity_id"] for line in lines] == ["99", "1"]
    table = used.run("log", "--tenant", "acme", "--export", "csv", "--status", "404").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["entity_id"], row["upstream_status"], row["via"]) for row in rows] == [("99", "404", "cli")]
    assert used.run("log", "--tenant", "acme", "--export", "csv", "--via", "mcp").stdout == ""
    assert used.run("log", "--tenant", "acme", "--export", "xml").exit_code == 2


def test_bodies_are_kept_where_an_operator_wants_it(used: Shell) -> None:
    """For an account and at most an hour, without secrets; who wanted it is in the log."""
    (account,) = used.data("account", "list", "--tenant", "acme", "--json")
    of_acme = ("--tenant", "acme")
    assert "an hour" in used.run("log-bodies", account["id"], *of_acme, "--for", "2h").output
    assert used.run("log-bodies", "acc_none", *of_acme).exit_code == 1
    assert used.run("log-bodies", account["id"], *of_acme, "--for", "soon").exit_code == 2
    told = used.run("log-bodies", account["id"], *of_acme, "--for", "10m").stdout
    assert f"Bodies of account {account['id']} are kept until 20" in told
    assert used.run("call", "ticket.get", *of_acme, "--arg", "id=1").exit_code == 0
    shown = used.run("log", *of_acme, "--account", account["id"], "--bodies").stdout
    assert "GET /tickets/{id}  200" in shown
    assert "< application/json, " in shown
    assert "acme ticket 1" in shown
    newest, switched, *_ = used.data("log", *of_acme, "--bodies", "--json")
    assert "acme ticket 1" in newest["exchanges"][0]["response"]["text"]
    assert (switched["tool"], switched["via"], switched["exchanges"]) == ("keep_log_bodies", "cli", [])
    assert used.run("log", *of_acme, "--bodies", "--export", "csv").exit_code == 2
    assert "No more" in used.run("log-bodies", account["id"], *of_acme, "--off").stdout
    assert used.run("call", "ticket.get", *of_acme, "--arg", "id=1").exit_code == 0
    newest, switched, *_ = used.data("log", *of_acme, "--bodies", "--json")
    assert (newest["exchanges"], switched["tool"]) == ([], "keep_no_log_bodies")
