"""Resource URIs: what they name, and what they cannot be made to name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.mcp_server.protocol import Fault
from linkspan.mcp_server.resources import EntityUri, entity_uri, match, parse_entity_uri
from tests.mcp_server.conftest import make_catalog

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(IDS, st.none() | IDS)
def test_every_id_survives_its_uri(id_: str, account: str | None) -> None:
    """Slashes, hashes, spaces, any script: the whole id is percent-encoded and comes back as it was."""
    assert parse_entity_uri(entity_uri("ticket", id_, account)) == EntityUri("ticket", id_, account)


@pytest.mark.parametrize(
    "uri",
    [
        "linkspan://ticket/",
        "linkspan://ticket/a?x=1",
        "linkspan://ticket/a#b",
        "linkspan://ticket/%zz",
        "linkspan://ticket/%ff",
        "linkspan://ticket/acc/",
    ],
)
def test_a_part_that_is_no_encoded_text_is_refused(uri: str) -> None:
    """Nothing, queries and broken escapes name no thing."""
    with pytest.raises(Fault) as refused:
        parse_entity_uri(uri)
    assert refused.value.code == -32602


@pytest.mark.parametrize(
    "uri", ["https://ticket/1", "linkspan://", "linkspan://ticket", "linkspan://a/b/c/d"]
)
def test_another_form_is_no_entity_uri(uri: str) -> None:
    """It may still be a declared resource."""
    assert parse_entity_uri(uri) is None


def test_a_declared_resource_is_found_by_its_uri() -> None:
    """Whole, or as a template whose values are handed on."""
    resources = make_catalog().resources
    rules, greeting = match(resources, "acme://rules"), match(resources, "acme://greeting/J%C3%BCrgen")
    assert rules is not None and greeting is not None
    assert (rules[0].name, rules[1]) == ("rules", {})
    assert (greeting[0].name, greeting[1]) == ("greeting", {"name": "Jürgen"})


@pytest.mark.parametrize(
    "uri", ["acme://greeting/", "acme://greeting/a/b", "acme://nothing", "acme://rules/x"]
)
def test_what_is_declared_nowhere_is_not_found(uri: str) -> None:
    """A template's value is one segment and is not empty."""
    assert match(make_catalog().resources, uri) is None


def test_a_template_value_is_what_it_says_decoded() -> None:
    """The same rule as for ids: what a request makes of it is the request's to judge."""
    found = match(make_catalog().resources, "acme://report/..%2Fsecret")
    assert found is not None and found[1] == {"day": "../secret"}
