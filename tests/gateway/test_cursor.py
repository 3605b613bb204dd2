"""Cursors: small however long the arguments are, and good for the list that they are of."""

from __future__ import annotations

import pytest

from linkspan import errors
from linkspan.gateway.cursor import LONGEST, Cursor, Cursors
from linkspan.vault.keys import Key, Keys
from linkspan.vault.seal import Vault
from linkspan.wire import Position


@pytest.fixture
def cursors() -> Cursors:
    return Cursors(Vault(Keys((Key(b"\x07" * 32),), "a test")), lambda: 1000.0)


def test_short_arguments_travel_in_the_cursor(cursors: Cursors) -> None:
    """The cursor alone goes on."""
    text = cursors.seal("acme", "ticket.list", Cursor("acc", Position("2", 10), 3, {"status": "open"}))
    found = cursors.open("acme", "ticket.list", text)
    assert found.resumed({}, "list_tickets") == {"status": "open"}
    with pytest.raises(errors.InvalidArgument):
        found.resumed({"status": "done"}, "list_tickets")


def test_long_arguments_have_to_come_again(cursors: Cursors) -> None:
    """The cursor stays small, and takes no other arguments than those it was made with."""
    given = {"query": "word " * 5000, "status": "open"}
    text = cursors.seal("acme", "ticket.search", Cursor("acc", Position("2", 10), 0, given))
    assert len(text) < 1000
    found = cursors.open("acme", "ticket.search", text)
    assert found.resumed(dict(reversed(given.items())), "search_tickets") == given
    for other in ({}, {"query": given["query"]}, {**given, "status": "done"}):
        with pytest.raises(errors.InvalidArgument) as refused:
            found.resumed(other, "search_tickets")
        assert "all the arguments of the first call" in refused.value.for_model()


def test_a_position_that_is_too_long_is_told(cursors: Cursors) -> None:
    """A model cannot be handed a page of nothing but its cursor."""
    with pytest.raises(errors.UpstreamError):
        cursors.seal("acme", "ticket.list", Cursor("acc", Position("x" * LONGEST, 10), 0, {}))
