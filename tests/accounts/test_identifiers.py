"""Ids that we give."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from linkspan.accounts.identifiers import identifier


@given(st.binary(min_size=16, max_size=16))
def test_an_id_can_be_read_aloud(random: bytes) -> None:
    """Whatever the randomness, 12 lower-case letters and digits."""
    assert re.fullmatch(r"[a-z0-9]{12}", identifier(lambda _count: random))


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=2, unique_by=lambda b: b[8:]))
def test_other_randomness_gives_another_id(two: list[bytes]) -> None:
    """No randomness is thrown away that would be needed to keep ids apart."""
    numbers = [int.from_bytes(each, "big") % 36**12 for each in two]
    sources = iter(two)
    ids = [identifier(lambda _count: next(sources)) for _ in two]
    assert (ids[0] == ids[1]) == (numbers[0] == numbers[1])
