"""The header rules of the modern era, held against the SDK's own."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.shared import inbound

from linkspan.mcp_server.headers import check, check_mirrors, collect, decoded, mirrors
from linkspan.mcp_server.protocol import Fault
from tests.mcp_server.conftest import modern_message

GOOD = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "get_ticket"}
CALL = modern_message("tools/call", {"name": "get_ticket"})
LIST = modern_message("tools/list")
META = "io.modelcontextprotocol/"


def code(raw: list[tuple[str, str]], message: dict[str, Any]) -> int | None:
    try:
        check(
            collect([(k.encode(), v.encode()) for k, v in raw]), message["method"], message.get("params", {})
        )
    except Fault as fault:
        return fault.code
    return None


def without(key: str) -> dict[str, Any]:
    meta = {name: value for name, value in LIST["params"]["_meta"].items() if name != META + key}
    return {**LIST, "params": {"_meta": meta}}


def changed(**headers: str | None) -> list[tuple[str, str]]:
    named = {**GOOD, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return [(name, value) for name, value in named.items() if value is not None]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (changed(), CALL),
        (changed(mcp_method="tools/list", mcp_name=None), LIST),
        (changed(mcp_method="tools/list"), CALL),
        (changed(mcp_method=None), CALL),
        (changed(mcp_name=None), CALL),
        (changed(mcp_name="other"), CALL),
        (changed(mcp_name="=?base64?Z2V0X3RpY2tldA==?="), CALL),
        (changed(mcp_name="=?base64?Z2V0X3RpY2tldA?="), CALL),
        (changed(mcp_name="=?base64?!!?="), CALL),
        (changed(mcp_protocol_version="2025-11-25"), CALL),
        (changed(mcp_protocol_version=None), CALL),
        (changed(mcp_protocol_version="2099-01-01"), CALL),
        (changed(mcp_method="tools/list"), without("protocolVersion")),
        (changed(mcp_method="tools/list"), without("clientCapabilities")),
        (changed(mcp_method="tools/list"), without("clientInfo")),
        (changed(mcp_method="tools/list"), {**LIST, "params": {}}),
        (changed(mcp_method="tools/list"), {**LIST, "params": {"_meta": 7}}),
        (changed(mcp_method="tools/list"), {**LIST, "params": {"_meta": {META + "protocolVersion": 7}}}),
    ],
)
def test_requests_are_refused_as_the_sdk_refuses_them(headers: list[tuple[str, str]], message: Any) -> None:
    """The same verdict, with the same code, for every way of disagreeing with oneself."""
    verdict = inbound.classify_inbound_request(message, headers=dict(headers))
    expected = verdict.code if isinstance(verdict, inbound.InboundLadderRejection) else None
    assert code(headers, message) == expected


def test_a_version_that_nobody_serves_is_answered_with_those_that_are() -> None:
    """-32022, and what to use instead."""
    message = modern_message("tools/list")
    message["params"]["_meta"][META + "protocolVersion"] = "2099-01-01"
    headers = collect([(b"mcp-protocol-version", b"2099-01-01"), (b"mcp-method", b"tools/list")])
    with pytest.raises(Fault) as refused:
        check(headers, "tools/list", message["params"])
    assert (refused.value.code, refused.value.data) == (
        -32022,
        {"supported": ["2026-07-28"], "requested": "2099-01-01"},
    )


@pytest.mark.parametrize("name", list(GOOD))
def test_a_routing_header_may_come_once(name: str) -> None:
    """A proxy may read the first and we the last: then neither counts."""
    assert code([*changed(), (name, GOOD[name])], CALL) == -32020


def test_white_space_around_a_value_does_not_count() -> None:
    """RFC 9110 §5.6.3; one of the parsers we run on leaves it there."""
    padded = [(name, f" \t{value} \t") for name, value in GOOD.items()]
    assert code(padded, CALL) is None


SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "place": {"type": "object", "properties": {"floor": {"type": "integer", "x-mcp-header": "Floor"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
        "other": {"type": "string"},
    },
}


def mirror_code(headers: dict[str, str], arguments: dict[str, Any]) -> int | None:
    try:
        given = collect([(name.lower().encode(), value.encode()) for name, value in headers.items()])
        check_mirrors(given, mirrors(SCHEMA), arguments)
    except Fault as fault:
        return fault.code
    return None


@pytest.mark.parametrize(
    ("headers", "arguments"),
    [
        ({}, {}),
        ({}, {"other": "x"}),
        ({"Mcp-Param-Region": "eu"}, {"region": "eu"}),
        ({"Mcp-Param-Region": "us"}, {"region": "eu"}),
        ({}, {"region": "eu"}),
        ({"Mcp-Param-Region": "eu"}, {}),
        ({"Mcp-Param-Region": "eu"}, {"region": None}),
        ({"Mcp-Param-Region": "=?base64?w7xi?="}, {"region": "üb"}),
        ({"Mcp-Param-Region": "=?base64?w7xi"}, {"region": "üb"}),
        ({"Mcp-Param-Floor": "3"}, {"place": {"floor": 3}}),
        ({"Mcp-Param-Floor": "3.0"}, {"place": {"floor": 3}}),
        ({"Mcp-Param-Floor": "4"}, {"place": {"floor": 3}}),
        ({"Mcp-Param-Floor": "3"}, {"place": "x"}),
        ({"Mcp-Param-Dry": "true"}, {"dry": True}),
        ({"Mcp-Param-Dry": "True"}, {"dry": True}),
        ({"Mcp-Param-Unknown": "x"}, {}),
    ],
)
def test_mirrored_arguments_are_judged_as_the_sdk_judges_them(
    headers: dict[str, str], arguments: dict[str, Any]
) -> None:
    """Header and argument are both absent, or both there and equal."""
    verdict = inbound.validate_mcp_param_headers(SCHEMA, arguments, headers)
    assert mirror_code(headers, arguments) == (verdict.code if verdict else None)


def test_a_mirror_may_come_once() -> None:
    """As for the routing headers."""
    twice = collect([(b"mcp-param-region", b"eu"), (b"mcp-param-region", b"eu")])
    with pytest.raises(Fault):
        check_mirrors(twice, mirrors(SCHEMA), {"region": "eu"})


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "number", "x-mcp-header": "X"},
        {"type": "string", "x-mcp-header": "not a token"},
        {"type": "string", "x-mcp-header": 7},
        {"x-mcp-header": "X"},
    ],
)
def test_a_schema_that_breaks_the_rules_mirrors_nothing(bad: Any) -> None:
    """Clients drop the headers of such a tool, so none can be demanded."""
    schema = {"properties": {**SCHEMA["properties"], "bad": bad}}  # type: ignore[dict-item]
    assert mirrors(schema) == ()
    assert inbound.find_invalid_x_mcp_header(schema) is not None


def test_two_arguments_cannot_share_a_header() -> None:
    """Header names have no case."""
    assert (
        mirrors(
            {
                "properties": {
                    "a": {"type": "string", "x-mcp-header": "Region"},
                    "b": {"type": "string", "x-mcp-header": "region"},
                }
            }
        )
        == ()
    )


def test_encoded_values_are_decoded_as_the_sdk_encodes_them() -> None:
    """Whatever a client had to wrap comes out as it was."""
    for value in ("plain", "ümlaut", " edge ", "=?base64?x?=", "line\nbreak", "🎫"):
        assert decoded(inbound.encode_header_value(value)) == value
    assert decoded(None) is None
