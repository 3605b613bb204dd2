"""Which account is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.accounts.choice import choose
from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError, NotFound, NotLinked
from linkspan.spec.catalog import Connector
from linkspan.store.accounts import Account
from tests.accounts.conftest import ACME, BO, CI, EVE
from tests.store.rows import account


def at_desk(name: str, subject: str | None = None, connector: str = "desk") -> Account:
    return account(ACME, id=name, subject=subject, connector=connector, identity_label=f"{name}@acme.example")


SHARED, BOS, EVES = at_desk("shared"), at_desk("bos", "bo"), at_desk("eves", "eve")
BARE = at_desk("bares", connector="bare")


@pytest.mark.parametrize(
    ("principal", "there", "meant"),
    [
        (BO, [SHARED], "shared"),
        (BO, [BOS], "bos"),
        (BO, [SHARED, BOS], "bos"),
        (BO, [SHARED, EVES], "shared"),
        (EVE, [SHARED, BOS, EVES], "eves"),
        (CI, [SHARED, BOS, EVES], "shared"),
    ],
)
def test_the_own_account_comes_first(
    principal: Principal, there: list[Account], meant: str, desk: Connector
) -> None:
    """A person's own before the shared one; never another person's."""
    assert choose(principal, [desk], there, None).id == meant


def test_a_service_of_the_same_name_is_not_the_person(desk: Connector) -> None:
    """Only a person has accounts of its own."""
    with pytest.raises(NotLinked):
        choose(Principal(ACME, "service", "bo"), [desk], [BOS], None)


def test_a_token_of_one_account_knows_no_other(desk: Connector) -> None:
    """Not the shared one of the same tenant, named or not; and it makes nobody the owner of anything."""
    only = Principal(ACME, "service", "x", account="two")
    one, two = at_desk("one"), at_desk("two")
    assert choose(only, [desk], [one, two], None) is two
    assert choose(only, [desk], [one, two], "two") is two
    with pytest.raises(NotFound):
        choose(only, [desk], [one, two], "one")
    with pytest.raises(NotLinked):
        choose(only, [desk], [one, SHARED], None)
    with pytest.raises(NotLinked):
        choose(Principal(ACME, "service", "x", account="bos"), [desk], [BOS], None)
    of_bo = Principal(ACME, "person", "bo", account="shared")
    assert choose(of_bo, [desk], [SHARED, BOS], None) is SHARED


def test_a_named_account_is_taken(desk: Connector) -> None:
    """The shared one too, though there is an own one."""
    assert choose(BO, [desk], [SHARED, BOS], "shared") is SHARED


def test_another_persons_account_is_not_there(desk: Connector) -> None:
    """Naming it is answered as if it did not exist: its id and label are not told."""
    with pytest.raises(NotFound) as told:
        choose(BO, [desk], [SHARED, EVES], "eves")
    assert "eves@" not in str(told.value.to_dict())
    assert "shared (shared@acme.example)" in told.value.for_model()
    with pytest.raises(NotLinked):
        choose(BO, [desk], [EVES], None)


def test_without_any_the_command_is_told(desk: Connector, bare: Connector) -> None:
    """Exactly what to run, for each connector that would do."""
    with pytest.raises(NotLinked) as told:
        choose(BO, [desk], [], None)
    assert told.value.for_model() == (
        "Error: Tenant acme has no account at Acme Desk yet. Run: linkspan account link desk --tenant acme"
    )
    with pytest.raises(NotLinked) as told:
        choose(BO, [desk, bare], [], "acc_1")
    assert "link desk --tenant acme or linkspan account link bare --tenant acme" in told.value.for_model()


def test_with_several_all_are_named(desk: Connector, bare: Connector) -> None:
    """Of one connector or of two; the argument is named, and details have them for programs."""
    with pytest.raises(NotLinked) as told:
        choose(CI, [desk, bare], [SHARED, BARE], None)
    assert "2 accounts at Acme Desk or Bare" in told.value.for_model()
    assert told.value.for_model().endswith(
        "Name one in `account`: shared (shared@acme.example), bares (bares@acme.example)."
    )
    assert told.value.details == [
        {"account": "shared", "connector": "desk", "label": "shared@acme.example"},
        {"account": "bares", "connector": "bare", "label": "bares@acme.example"},
    ]


def test_an_own_account_hides_the_shared_one_of_its_connector_only(desk: Connector, bare: Connector) -> None:
    """At the other connector the shared one is still meant."""
    with pytest.raises(NotLinked) as told:
        choose(BO, [desk, bare], [SHARED, BOS, BARE], None)
    assert [each["account"] for each in told.value.details or []] == ["bos", "bares"]  # type: ignore[index]


THERE = st.lists(
    st.builds(at_desk, st.sampled_from("abcdef"), st.sampled_from([None, "bo", "eve"])),
    unique_by=lambda each: each.id,
)


@given(there=THERE, named=st.none() | st.sampled_from("abcdefg"))
def test_nobody_ever_gets_another_persons_account(there: list[Account], named: str | None) -> None:
    """Whatever is linked and whatever is named."""
    for principal in (BO, EVE, CI):
        own = principal.subject if principal.kind == "person" else None
        try:
            chosen = choose(principal, [], there, named)
        except LinkspanError as error:
            told = str(error.to_dict())
            for each in there:
                assert each.subject in (None, own) or f"{each.id}@" not in told
        else:
            assert chosen.subject in (None, own)
            assert named in (None, chosen.id)
