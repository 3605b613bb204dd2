"""What Codex will make of the tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from linkspan.spec.lint import MAX_SCHEMA_BYTES, missing_words, schema_bytes


@pytest.mark.parametrize(
    ("name", "description", "missing"),
    [
        ("list_tickets", "List tickets.", []),
        ("list_tickets", "Lists every ticket there is.", []),
        ("get_ticket", "Get one of the tickets.", []),
        ("comment_on_ticket", "Comments below tickets.", []),
        ("comment_on_ticket", "Say something.", ["comment", "ticket"]),
        ("list_policies", "List each policy.", []),
        ("list_branches", "List each branch.", []),
        ("list_status", "List the status.", []),
        ("get_process", "Get a process.", []),
        ("get_bus", "Get a bus.", []),
        ("list_tickets", "Listing ticketing.", ["list", "tickets"]),
        ("get_pull_request", "Get one pull-request.", []),
        ("get_ticket", "Get one TICKET by id.", []),
        ("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features.", []),
    ],
)
def test_words_of_a_name_in_a_description(name: str, description: str, missing: list[str]) -> None:
    """Whole words; singular or plural; case does not matter; small words need not be there."""
    assert missing_words(name, description) == missing


def test_bytes_are_counted_as_codex_counts_them(good: str, load: Any) -> None:
    """Compact JSON in UTF-8."""
    text = good.replace("description: Login of a person", "description: Anmeldename für Größe")
    tool = load(text).tool("list_tickets")
    assert schema_bytes(tool) == len(
        json.dumps(tool.input_schema, separators=(",", ":"), ensure_ascii=False).encode()
    )


def test_a_schema_of_just_the_allowed_size_is_fine(good: str, check: Any, load: Any) -> None:
    """5,000 bytes are, 5,001 are not."""
    start = "description: Login of a person"
    room = MAX_SCHEMA_BYTES - schema_bytes(load(good).tool("list_tickets"))
    fits = good.replace(start, start + "x" * room)
    assert check(fits) == []
    assert [line.split(": ")[1] for line in check(fits.replace(start, start + "x"))] == ["schema_too_large"]


@pytest.mark.parametrize(
    ("instructions", "is_good"),
    [
        ("Start with search_tickets.", True),
        ("Search the tickets of this customer.", True),
        ("Reads a ticket.", True),
        ("Tickets live here.", False),
        ("Search things.", False),
        ("You are a helpful assistant.", False),
        ("x" * 240 + " search_tickets", False),
        ("Be brief. " * 30 + "Start with search_tickets.", False),
        ("Start with search_tickets. " + "Be brief. " * 30, True),
        ('""', False),
    ],
)
def test_instructions_say_something_where_codex_looks(
    instructions: str, is_good: bool, good: str, check: Any
) -> None:
    """The first 250 characters name a tool, or say what to do with which entity."""
    text = good.replace("Search and read tickets of Acme Desk. Start with search_tickets.", instructions)
    told = [line.split(": ")[1] for line in check(text)]
    assert told == ([] if is_good else ["weak_instructions"])


def test_a_file_without_tools_needs_no_such_words(check: Any) -> None:
    """A connector alone, or prompts alone."""
    assert check("linkspan: 1\nname: a\ninstructions: Nothing yet.\n") == []
