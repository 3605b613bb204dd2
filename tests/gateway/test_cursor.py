"""Cursors: small however long the arguments are, and good for the list that they are of."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkspan import errors
from linkspan.gateway.cursor import LIFETIME, LONGEST, Cursor, Cursors
from linkspan.vault.keys import Key, Keys
from linkspan.vault.seal import Vault
from linkspan.wire import Position

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)
CURSORS = st.builds(
    Cursor,
    account=st.text(max_size=20),
    position=st.builds(
        Position,
        at=st.none() | st.integers(0, 2**53) | st.text(max_size=60),
        size=st.none() | st.integers(1, 1000),
    ),
    skip=st.integers(0, 1000),
    arguments=st.dictionaries(st.text(max_size=8), JSON, max_size=3),
)
any_cursor = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


@any_cursor
@given(st.text(max_size=10), st.text(max_size=10), CURSORS)
def test_what_goes_in_comes_out(cursors: Cursors, tenant: str, key: str, cursor: Cursor) -> None:
    """Whatever a vendor's position and the arguments are; the text is fit for any JSON and any URL."""
    text = cursors.seal(tenant, key, cursor)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    found = cursors.open(tenant, key, text)
    assert (found.account, found.position, found.skip) == (cursor.account, cursor.position, cursor.skip)
    assert found.resumed({}, "t") == cursor.arguments


@any_cursor
@given(CURSORS, st.data())
def test_a_changed_cursor_is_none(cursors: Cursors, cursor: Cursor, data: st.DataObject) -> None:
    """Not one bit of it may differ, and nothing may be cut off or put on."""
    text = cursors.seal("acme", "ticket.list", cursor)
    sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = bytearray(sealed)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    for changed in (bytes(flipped), sealed[:at], sealed + sealed[at:]):
        with pytest.raises(errors.InvalidArgument):
            cursors.open("acme", "ticket.list", base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


@any_cursor
@given(CURSORS, st.text(max_size=10), st.text(max_size=12))
def test_a_cursor_is_of_one_list_of_one_tenant(
    cursors: Cursors, cursor: Cursor, tenant: str, key: str
) -> None:
    """However names run together."""
    text = cursors.seal("acme", "ticket.list", cursor)
    if (tenant, key) != ("acme", "ticket.list"):
        with pytest.raises(errors.InvalidArgument):
            cursors.open(tenant, key, text)


@any_cursor
@given(st.text(max_size=200) | st.text(st.sampled_from("AQab-_=+/ \n\ud800"), max_size=80))
def test_any_other_text_is_no_cursor(cursors: Cursors, text: str) -> None:
    """What a model makes up is refused with the way back to the first page."""
    with pytest.raises(errors.InvalidArgument) as refused:
        cursors.open("acme", "ticket.list", text)
    assert "without cursor" in refused.value.for_model()


def test_a_cursor_is_good_for_a_day() -> None:
    """To the second."""
    now = 1000.0
    clock: Callable[[], float] = lambda: now  # noqa: E731
    cursors = Cursors(Vault(Keys((Key(b"\x07" * 32),), "a test")), clock)
    text = cursors.seal("acme", "ticket.list", Cursor("acc", Position("2", 10), 0, {}))
    now += LIFETIME
    assert cursors.open("acme", "ticket.list", text).account == "acc"
    now += 1
    with pytest.raises(errors.InvalidArgument, match="older than a day"):
        cursors.open("acme", "ticket.list", text)
