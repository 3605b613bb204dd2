"""What a client sees of a catalog: right in every revision, cut by scopes, built once."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.types import methods as wire
from pydantic_core import from_json

from linkspan.mcp_server import protocol
from linkspan.mcp_server.protocol import Fault
from linkspan.mcp_server.surface import Surface, Surfaces
from tests.mcp_server.conftest import make_catalog, make_tool

ALL = ("read", "write")
REVISIONS = [*protocol.LEGACY_VERSIONS, *protocol.MODERN_VERSIONS]


def surface(*scopes: str, live: bool = False, page_size: int = 500) -> Surface:
    return Surface(make_catalog(), scopes or ALL, live=live, page_size=page_size)


def names(result: bytes, key: str = "tools", name: str = "name") -> list[str]:
    return [entry[name] for entry in from_json(result)[key]]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("method", protocol.LIST_METHODS)
def test_lists_are_what_the_revision_asks_for(method: str, revision: str) -> None:
    """The SDK's wire types accept every list, and find nothing in it that the revision does not know."""
    modern = revision in protocol.MODERN_VERSIONS
    result = from_json(surface().listing(method, modern=modern))
    assert wire.serialize_server_result(method, revision, result) == result


@pytest.mark.parametrize("revision", protocol.LEGACY_VERSIONS)
def test_the_handshake_is_what_the_revision_asks_for(revision: str) -> None:
    """Every revision of the legacy era is answered with itself."""
    result = from_json(surface().initialize(revision))
    assert wire.serialize_server_result("initialize", revision, result) == result
    assert result["protocolVersion"] == revision


def test_discover_is_what_the_modern_revision_asks_for() -> None:
    """The modern era's opening says which versions there are, and may be kept by this caller only."""
    result = from_json(surface().discover())
    assert wire.serialize_server_result("server/discover", protocol.LATEST_MODERN, result) == result
    assert (result["supportedVersions"], result["cacheScope"]) == (["2026-07-28"], "private")


def test_every_modern_result_ends_with_who_answered() -> None:
    """`_meta` names the server, whatever the method."""
    opened = b'{"content":[]' + b',"resultType":"complete"' + surface().modern_tail + b"}"
    assert from_json(opened)["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "linkspan"


def test_notifications_are_promised_only_where_they_can_arrive() -> None:
    """Without a live connection the legacy era hears of no change, and is told so."""
    deaf, live = (
        from_json(surface(live=flag).initialize("2025-06-18"))["capabilities"] for flag in (False, True)
    )
    assert (deaf["tools"]["listChanged"], deaf["resources"]["subscribe"]) == (False, False)
    assert (live["tools"]["listChanged"], live["resources"]["subscribe"]) == (True, True)


def test_an_initialize_for_an_unknown_version_gets_the_newest_that_has_one() -> None:
    """Version negotiation never fails; the client decides whether it goes on."""
    assert protocol.negotiate("2099-01-01") == protocol.negotiate(None) == "2025-11-25"
    assert protocol.negotiate("2024-11-05") == "2024-11-05"


def test_a_token_that_only_reads_sees_no_writes() -> None:
    """What may not be called is not listed."""
    listed = names(surface("read").listing("tools/list", modern=False))
    assert "get_ticket" in listed
    assert not {"create_ticket", "delete_ticket"} & set(listed)


def test_one_operation_of_one_entity_may_be_all_that_is_seen() -> None:
    """The scopes `entity.operation` and `entity.*` cut the list like `read` and `write` do."""
    assert names(surface("ticket.list").listing("tools/list", modern=False)) == ["list_tickets"]
    assert len(names(surface("ticket.*").listing("tools/list", modern=False))) == len(make_catalog().tools)


def test_what_cannot_be_read_is_no_resource() -> None:
    """Templates and resources from a product follow the scopes of their readers."""
    few = surface("ticket.list")
    assert names(few.listing("resources/templates/list", modern=False), "resourceTemplates") == ["greeting"]
    assert names(few.listing("resources/list", modern=False), "resources", "uri") == [
        "acme://rules",
        "acme://logo",
    ]


def test_every_readable_entity_is_a_template_with_and_without_account() -> None:
    """`linkspan://ticket/{id}`, and the form for tenants with two accounts."""
    listed = names(
        surface().listing("resources/templates/list", modern=False), "resourceTemplates", "uriTemplate"
    )
    assert listed[:2] == ["linkspan://ticket/{id}", "linkspan://ticket/{account}/{id}"]


def test_pages_hold_every_tool_once_and_in_order() -> None:
    """A list that is longer than a page goes on with `nextCursor` until it ends without one."""
    small = surface(page_size=2)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = from_json(small.listing("tools/list", cursor, modern=True))
        seen += [tool["name"] for tool in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert seen == [tool.name for tool in make_catalog().tools]


@pytest.mark.parametrize(
    "cursor", ["", "x", "v1.1", "v1.0", "v1.-2", "v1.99999999999", "v1.400", "v2.2", 7, {}]
)
def test_a_cursor_that_is_not_ours_is_refused(cursor: Any) -> None:
    """Neither made up nor of another catalog: the list has to be begun again."""
    with pytest.raises(Fault) as refused:
        surface(page_size=2).listing("tools/list", cursor, modern=False)
    assert refused.value.code == protocol.INVALID_PARAMS


def test_five_hundred_tools_are_one_page() -> None:
    """Several clients never ask for a second page."""
    tools = tuple(make_tool(f"do{number}", f"do{number}_ticket") for number in range(500))
    result = from_json(
        Surface(make_catalog(tools=tools), ALL, live=False).listing("tools/list", modern=False)
    )
    assert len(result["tools"]) == 500
    assert "nextCursor" not in result


def test_bytes_are_built_once() -> None:
    """The second answer is the very object of the first."""
    one = surface()
    assert one.listing("tools/list", modern=False) is one.listing("tools/list", modern=False)


def test_surfaces_are_shared_by_scopes_and_bounded() -> None:
    """Many tokens with the same scopes share one surface; old ones are dropped."""
    catalog, kept = make_catalog(), Surfaces(size=2)
    first = kept.of(catalog, ("read",))
    assert kept.of(catalog, ("read",)) is first
    kept.of(catalog, ("write",))
    kept.of(catalog, ("ticket.list",))
    assert kept.of(catalog, ("read",)) is not first


def test_another_catalog_is_another_surface() -> None:
    """After a hot reload nothing of the old lists is served."""
    kept = Surfaces()
    old = kept.of(make_catalog("v1"), ALL)
    assert kept.of(make_catalog("v2"), ALL) is not old
