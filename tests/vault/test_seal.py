"""Sealed values open where they were sealed, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linkspan.vault.seal import SealBroken, Vault, key_of
from tests.vault.some_keys import key, keys

VAULT = Vault(keys(1))
PLACE = st.tuples(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))


def test_the_format() -> None:
    """Version, key id, nonce, ciphertext and tag, in that order and of those sizes."""
    vault = Vault(keys(1), random=lambda count: b"n" * count)
    sealed = vault.seal("credential", "acme", "acc_1", b"12345")
    assert sealed[:17] == b"\x01" + key(1).id + b"n" * 12
    assert len(sealed) == 17 + 5 + 16


@given(place=PLACE, data=st.binary(max_size=2000))
def test_what_was_sealed_opens_in_its_place(place: tuple[str, str, str], data: bytes) -> None:
    """Any data, any names."""
    assert VAULT.open(*place, VAULT.seal(*place, data)) == data


@given(place=PLACE, other=PLACE)
def test_what_was_sealed_opens_nowhere_else(place: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Another purpose, tenant or record does not open it, however the names run together."""
    assume(place != other)
    with pytest.raises(SealBroken, match="was changed, or moved from another place"):
        VAULT.open(*other, VAULT.seal(*place, b"secret"))


@pytest.mark.parametrize(
    "other",
    [("cursor", "acme", "acc_1"), ("credential", "bolt", "acc_1"), ("credential", "acme", "acc_2")],
    ids=["purpose", "tenant", "record"],
)
def test_a_value_cannot_be_moved(other: tuple[str, str, str]) -> None:
    """Each part of the place counts by itself."""
    sealed = VAULT.seal("credential", "acme", "acc_1", b"secret")
    with pytest.raises(SealBroken, match="moved"):
        VAULT.open(*other, sealed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", ""), ("a", "bc", "")),
        (("a", "\0b", "c"), ("a", "", "\0bc")),
        (("", "", "a"), ("a", "", "")),
    ],
)
def test_parts_do_not_run_together(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Places whose names read the same in a row are different places."""
    with pytest.raises(SealBroken):
        VAULT.open(*other, VAULT.seal(*one, b"secret"))


@given(data=st.data())
def test_a_changed_value_does_not_open(data: st.DataObject) -> None:
    """Not one bit may differ, and nothing may be cut off or added."""
    sealed = bytearray(VAULT.seal("p", "t", "r", b"secret"))
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
        sealed[bit // 8] ^= 1 << bit % 8
    else:
        sealed = sealed[: data.draw(st.integers(0, len(sealed) - 1))] + data.draw(st.binary(max_size=3))
    with pytest.raises(SealBroken):
        VAULT.open("p", "t", "r", bytes(sealed))


@given(st.binary(max_size=200))
def test_anything_else_is_no_sealed_value(junk: bytes) -> None:
    """Whatever stands in the database, the error is a plain one."""
    with pytest.raises(SealBroken):
        VAULT.open("p", "t", "r", junk)


def test_an_older_key_still_opens() -> None:
    """A new key in front seals from then on; what the old one sealed opens."""
    sealed = VAULT.seal("p", "t", "r", b"secret")
    rotated = Vault(keys(2, 1))
    assert rotated.open("p", "t", "r", sealed) == b"secret"
    assert key_of(sealed) == key(1).id
    assert key_of(rotated.seal("p", "t", "r", b"secret")) == key(2).id


def test_a_missing_key_is_named() -> None:
    """The error says which key sealed the value, which there are, and where the missing one goes."""
    sealed = VAULT.seal("credential", "t", "r", b"secret")
    with pytest.raises(
        SealBroken, match=f"sealed with key {key(1).id.hex()}.*only {key(2).id.hex()}"
    ) as told:
        Vault(keys(2)).open("credential", "t", "r", sealed)
    assert "LINKSPAN_KEYS" in told.value.for_model()


def test_errors_hold_nothing_of_the_value() -> None:
    """Neither what was sealed nor the sealed bytes are in the error."""
    sealed = VAULT.seal("credential", "acme", "acc_1", b"canary")
    with pytest.raises(SealBroken) as told:
        VAULT.open("credential", "acme", "acc_2", sealed)
    assert "canary" not in str(told.value.to_dict())
    assert sealed.hex()[:20] not in str(told.value.to_dict())


def test_sealing_twice_gives_two_values() -> None:
    """Equal secrets cannot be recognised by what they are sealed to."""
    assert VAULT.seal("p", "t", "r", b"secret") != VAULT.seal("p", "t", "r", b"secret")
