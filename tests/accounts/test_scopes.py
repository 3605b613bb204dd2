"""What a sign-in carries of what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan import spec
from linkspan.accounts.scopes import narrow
from linkspan.spec.catalog import Catalog, scopes_allow

WORDS = ("read", "write", "ticket.*", "ticket.list", "ticket.create", "alert.list")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """A catalog with tickets that can be read and changed."""
    return spec.load([Path(__file__).parents[1] / "fakes" / "tracker.yaml"], {})


@pytest.mark.parametrize(
    ("asked", "allowed", "answer"),
    [
        (["read", "write"], ["read", "write"], ("read", "write")),
        (["read"], ["write"], ("read",)),
        (["read", "write"], ["read"], ("read",)),
        (["write"], ["ticket.*"], ("ticket.*",)),
        (["ticket.list", "ticket.create"], ["read"], ("ticket.list",)),
        (["read"], ["ticket.*"], ("ticket.list", "ticket.get")),
        (["ticket.*"], ["ticket.get"], ("ticket.get",)),
        (["alert.list"], ["ticket.*"], ()),
        (["write"], [], ()),
    ],
)
def test_22_both_have_to_allow_it(
    asked: list[str], allowed: list[str], answer: tuple[str, ...], catalog: Catalog
) -> None:
    """What stays is within both."""
    assert narrow(asked, allowed, catalog) == answer


@pytest.mark.parametrize("asked", WORDS)
@pytest.mark.parametrize("allowed", WORDS)
def test_22_nothing_becomes_more(asked: str, allowed: str, catalog: Catalog) -> None:
    """For every tool of the catalog."""
    left = narrow([asked], [allowed], catalog)
    for tool in catalog.tools:
        both = scopes_allow([asked], tool.key, tool.kind) and scopes_allow([allowed], tool.key, tool.kind)
        assert scopes_allow(left, tool.key, tool.kind) == both
