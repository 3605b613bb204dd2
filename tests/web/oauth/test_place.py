"""Where a request comes from."""

from __future__ import annotations

import pytest

from linkspan.web.oauth.place import network_of


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        (None, "unknown"),
        ("somewhere", "somewhere"),
    ],
)
def test_an_ipv6_network_counts_as_one(address: str | None, counted: str) -> None:
    """Its owner has more addresses than anybody can count."""
    assert network_of(address) == counted
