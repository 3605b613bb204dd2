"""A secret is shown by nothing but `reveal`."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.vault.credential import Credential
from linkspan.vault.secret import Secret

CANARY = st.text("abcdefgh", min_size=12)


@given(CANARY)
def test_no_way_of_formatting_shows_it(value: str) -> None:
    """str, repr, f-strings, %, containers and an opened credential show stars."""
    secret = Secret(value)
    credential = Credential("acc_1", "desk", "bearer", {"token": secret}, {}, ())
    for text in (
        str(secret),
        repr(secret),
        f"{secret:>40}",
        f"{secret!s} {secret!r} {secret}",
        f"{[secret]} {credential}",
    ):
        assert value not in text
    assert secret.reveal() == value


def test_it_cannot_be_copied_out() -> None:
    """Pickle and JSON refuse; a deep copy is the same object."""
    secret = Secret("canary")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert copy.deepcopy(secret) is secret


def test_secrets_compare_by_value() -> None:
    """Equal ones are equal, an empty one is false."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not Secret("")
