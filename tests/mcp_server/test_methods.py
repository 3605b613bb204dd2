"""The methods themselves: what a call, a read, a prompt and a completion answer, in both eras."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from mcp.types import methods as wire
from pydantic_core import from_json

from linkspan import errors
from linkspan.gateway.results import Blocks, DryRun, Item
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.protocol import Fault
from tests.mcp_server.conftest import PIXEL, FakeGateway, page, principal

LEGACY = Caller(principal(), "2025-06-18", False)
MODERN = Caller(principal(), "2026-07-28", True)
ERAS = pytest.mark.parametrize("caller", [LEGACY, MODERN], ids=["legacy", "modern"])


async def answer(methods: Methods, method: str, caller: Caller = LEGACY, **params: Any) -> Any:
    """What the method answers, checked against the wire's own types."""
    shown = from_json(await methods.answer(method, params, caller))
    assert wire.serialize_server_result(method, caller.version, shown) == shown
    return shown


async def fault(methods: Methods, method: str, caller: Caller = LEGACY, **params: Any) -> Fault:
    with pytest.raises(Fault) as raised:
        await methods.answer(method, params, caller)
    return raised.value


# tools/call -----------------------------------------------------------------------------------------------


@ERAS
async def test_a_call_answers_data_and_the_same_as_text(methods: Methods, caller: Caller) -> None:
    """In the modern era it also says that it is complete, and who answered."""
    shown = await answer(methods, "tools/call", caller, name="list_tickets", arguments={})
    assert from_json(shown["content"][0]["text"]) == shown["structuredContent"]
    assert ("resultType" in shown, "_meta" in shown) == (caller.modern, caller.modern)


async def test_a_tool_that_is_not_there_is_an_error_the_model_can_read(methods: Methods) -> None:
    """A list may have changed under a model; it is told the nearest name."""
    shown = await answer(methods, "tools/call", name="list_ticket")
    assert shown["isError"] is True
    assert shown["content"][0]["text"] == (
        "Error: there is no tool 'list_ticket'. Use list_tickets or get_ticket or ask_ticket."
    )


async def test_an_unknown_tool_does_not_betray_what_the_token_may_not_see(methods: Methods) -> None:
    """Suggestions come from the caller's own list."""
    caller = Caller(principal("acme", "ticket.list"), "2025-06-18", False)
    shown = await answer(methods, "tools/call", caller, name="create_tickets")
    assert "create_ticket" not in shown["content"][0]["text"].replace("create_tickets", "")


@pytest.mark.parametrize("params", [{}, {"name": 7}, {"name": "list_tickets", "arguments": []}])
async def test_a_malformed_call_is_a_fault_of_the_protocol(methods: Methods, params: Any) -> None:
    """No tool was called, so there is no result."""
    assert (await fault(methods, "tools/call", **params)).code == -32602


async def test_an_error_of_the_tree_is_the_result(methods: Methods, gateway: FakeGateway) -> None:
    """With its code, its sentence and the time to come back."""
    gateway.answers["list_tickets"] = errors.RateLimited(
        "Desk is busy", hint="Call list_tickets again in 30 seconds.", retry_after=30
    )
    shown = await answer(methods, "tools/call", name="list_tickets")
    error = shown["structuredContent"]["error"]
    assert (error["code"], error["retry_after"], error["status"]) == ("rate_limited", 30, 429)
    assert shown["content"][0]["text"] == "Error: Desk is busy. Call list_tickets again in 30 seconds."


@pytest.mark.parametrize("value", [ValueError("secret"), page([{"x": object()}])])
async def test_what_nobody_expected_is_named_by_its_request(
    methods: Methods, gateway: FakeGateway, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    """The model gets an id, the operator one log line under it, and neither gets the exception's words."""
    gateway.answers["list_tickets"] = value
    shown = await answer(methods, "tools/call", name="list_tickets")
    error = shown["structuredContent"]["error"]
    assert error["code"] == "internal"
    assert error["request_id"] in shown["content"][0]["text"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    line = caplog.records[0].getMessage()
    assert error["request_id"] in line and "\n" not in line
    assert "secret" not in line + str(shown)
    assert not any(word in str(shown) for word in ("Traceback", ".py", "ValueError"))


async def test_a_written_resource_is_told(gateway: FakeGateway) -> None:
    """Who listens to the ticket learns that it changed; a dry run and a failure change nothing."""
    told: list[tuple[str, str]] = []
    methods = Methods(gateway, new_id=lambda: "r", clock=lambda: 0.0, written=lambda *what: told.append(what))
    delete: dict[str, Any] = {"name": "delete_ticket", "arguments": {"id": "a/1"}}
    await answer(methods, "tools/call", **delete)
    gateway.answers["delete_ticket"] = DryRun({}, "acc")
    await answer(methods, "tools/call", **delete)
    gateway.answers["delete_ticket"] = errors.NotFound("no")
    await answer(methods, "tools/call", **delete)
    await answer(methods, "tools/call", name="get_ticket", arguments={"id": "a/1"})
    assert told == [("acme", "linkspan://ticket/a%2F1")]


async def test_what_is_too_long_says_where_all_of_it_is(gateway: FakeGateway) -> None:
    """A list names the tool that reads one thing, that tool names the resource."""
    methods = Methods(gateway, new_id=lambda: "r", clock=lambda: 0.0, max_result_bytes=2000)
    long = {"id": "7", "text": "word " * 2000}
    gateway.answers["list_tickets"] = page([long])
    gateway.answers["get_ticket"] = Item(long, "acc")
    gateway.answers["create_ticket"] = Item({"text": long["text"], "url": "https://desk.example/7"}, "acc")

    async def note(tool: str) -> str:
        shown = await answer(methods, "tools/call", name=tool, arguments={})
        result = shown["structuredContent"]["result"]
        text: str = (result[0] if isinstance(result, list) else result)["text"]
        return text.splitlines()[-1]

    assert "get_ticket with this id shows more" in await note("list_tickets")
    assert "the resource linkspan://ticket/acc/7 holds all of it" in await note("get_ticket")
    assert "the rest is at https://desk.example/7" in await note("create_ticket")


# resources/read -------------------------------------------------------------------------------------------


@ERAS
async def test_a_thing_is_read_as_markdown(methods: Methods, gateway: FakeGateway, caller: Caller) -> None:
    """Through the same tool, with the decoded id; a modern client is told not to keep it."""
    shown = await answer(methods, "resources/read", caller, uri="linkspan://ticket/a%2F1")
    contents = shown["contents"][0]
    assert contents["uri"] == "linkspan://ticket/a%2F1"
    assert contents["mimeType"] == "text/markdown"
    assert contents["text"].startswith("# Ticket a/1: One\n")
    assert gateway.calls[0][1:3] == ("get_ticket", {"id": "a/1"})
    assert shown.get("ttlMs") == (0 if caller.modern else None)


async def test_a_thing_of_an_account_is_read_there(methods: Methods, gateway: FakeGateway) -> None:
    """`linkspan://ticket/ACCOUNT/ID`."""
    await answer(methods, "resources/read", uri="linkspan://ticket/acc_1/7")
    assert gateway.calls[0][2] == {"id": "7", "account": "acc_1"}


async def test_declared_resources_are_read(methods: Methods) -> None:
    """Text, bytes, a template, and one that a product answers."""
    for uri, key, value in (
        ("acme://rules", "text", "Be kind."),
        ("acme://logo", "blob", PIXEL),
        ("acme://greeting/Ada", "text", "Hello Ada"),
        ("acme://report/monday", "text", "report of monday"),
    ):
        contents = (await answer(methods, "resources/read", uri=uri))["contents"][0]
        assert (contents["uri"], contents[key]) == (uri, value)


@pytest.mark.parametrize(
    ("body", "key", "value"),
    [(b"\x89PNG", "blob", "iVBORw=="), ({"a": 1}, "text", '{"a":1}'), (None, "text", "null")],
)
async def test_what_a_product_answers_is_passed_on(
    methods: Methods, gateway: FakeGateway, body: Any, key: str, value: str
) -> None:
    """Bytes as Base64, data as JSON."""
    gateway.answers["resource.report"] = Item(body, "acc")
    shown = await answer(methods, "resources/read", uri="acme://report/monday")
    assert shown["contents"][0][key] == value


async def test_blocks_can_be_read_too(methods: Methods, gateway: FakeGateway) -> None:
    """A `get` that answers content blocks makes contents of each."""
    image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
    inner = {"uri": "x:y", "mimeType": "text/plain", "text": "in"}
    gateway.answers["get_ticket"] = Blocks(
        [image, {"type": "text", "text": "out"}, {"type": "resource", "resource": inner}]
    )
    shown = await answer(methods, "resources/read", uri="linkspan://ticket/1")
    assert [part.get("text", part.get("blob")) for part in shown["contents"]] == [PIXEL, "out", "in"]


@pytest.mark.parametrize("uri", ["linkspan://invoice/1", "acme://nothing", "https://evil.example/", "x"])
@ERAS
async def test_an_unknown_resource_is_told_with_a_hint(methods: Methods, caller: Caller, uri: str) -> None:
    """-32002 in the legacy era, -32602 in the modern one, and where to look."""
    found = await fault(methods, "resources/read", caller, uri=uri)
    assert found.code == (-32602 if caller.modern else -32002)
    assert "resources/templates/list" in found.message
    assert found.data == {"uri": uri}


@ERAS
async def test_a_thing_that_is_gone_is_unknown(
    methods: Methods, gateway: FakeGateway, caller: Caller
) -> None:
    """With the product's own words."""
    gateway.answers["get_ticket"] = errors.NotFound("Desk has no ticket 7", hint="Look with list_tickets.")
    found = await fault(methods, "resources/read", caller, uri="linkspan://ticket/7")
    assert found.code == (-32602 if caller.modern else -32002)
    assert found.message == "Error: Desk has no ticket 7. Look with list_tickets."


async def test_other_errors_of_reading_keep_their_shape(methods: Methods, gateway: FakeGateway) -> None:
    """The next step is in the message, the code in the data."""
    gateway.answers["get_ticket"] = errors.NotLinked(
        "desk is not linked", hint="Run: linkspan account link desk"
    )
    found = await fault(methods, "resources/read", uri="linkspan://ticket/7")
    assert (found.code, found.data["code"]) == (-32603, "not_linked")
    assert found.message.endswith("Run: linkspan account link desk")


async def test_an_exception_while_reading_shows_nothing(methods: Methods, gateway: FakeGateway) -> None:
    """As with tools."""
    gateway.answers["get_ticket"] = ValueError("secret")
    found = await fault(methods, "resources/read", uri="linkspan://ticket/7")
    assert "secret" not in found.message + str(found.data)


async def test_what_a_token_may_not_get_it_may_not_read(methods: Methods, gateway: FakeGateway) -> None:
    """The resource is unknown to it, as it is missing from its templates."""
    caller = Caller(principal("acme", "ticket.list"), "2025-06-18", False)
    for uri in ("linkspan://ticket/7", "acme://report/monday"):
        assert (await fault(methods, "resources/read", caller, uri=uri)).code == -32002
    assert gateway.calls == []


@pytest.mark.parametrize("uri", [None, 7, "", "x" * 3000])
async def test_a_uri_must_be_one(methods: Methods, uri: Any) -> None:
    """And not endless."""
    assert (await fault(methods, "resources/read", uri=uri)).code == -32602


# prompts/get ----------------------------------------------------------------------------------------------


@ERAS
async def test_a_prompt_has_its_arguments_put_in(methods: Methods, caller: Caller) -> None:
    """Texts and images, as declared."""
    shown = await answer(methods, "prompts/get", caller, name="triage", arguments={"team": "red"})
    text, image = shown["messages"]
    assert text == {"role": "user", "content": {"type": "text", "text": "Team red"}}
    assert image["content"] == {"type": "image", "data": PIXEL, "mimeType": "image/png"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "nothing"}, "Unknown prompt: nothing"),
        ({"name": "triage"}, "needs: team"),
        ({"name": "triage", "arguments": {"team": 7}}, "takes texts for: team, since"),
        ({"name": "triage", "arguments": {"team": "x", "more": "y"}}, "takes texts for: team, since"),
        ({"name": 7}, "must name a prompt"),
        ({"name": "triage", "arguments": []}, "must name a prompt"),
    ],
)
async def test_a_prompt_says_what_it_needs(methods: Methods, params: Any, words: str) -> None:
    """-32602 with the missing names."""
    found = await fault(methods, "prompts/get", **params)
    assert found.code == -32602
    assert words in found.message


# completion/complete --------------------------------------------------------------------------------------

TICKET = {"type": "ref/resource", "uri": "linkspan://ticket/{id}"}


@ERAS
async def test_ids_are_completed_from_the_first_page(methods: Methods, caller: Caller) -> None:
    """Those that begin with what was typed."""
    shown = await answer(
        methods, "completion/complete", caller, ref=TICKET, argument={"name": "id", "value": "2"}
    )
    assert shown["completion"] == {"values": ["2"], "total": 1, "hasMore": False}


async def test_no_more_than_a_hundred_are_shown(methods: Methods, gateway: FakeGateway) -> None:
    """The protocol's own limit; how many there are is told."""
    gateway.answers["list_tickets"] = page([{"id": number} for number in range(150)])
    argument = {"name": "id", "value": ""}
    shown = (await answer(methods, "completion/complete", ref=TICKET, argument=argument))["completion"]
    assert (len(shown["values"]), shown["total"], shown["hasMore"]) == (100, 150, True)


async def test_the_account_that_was_chosen_counts(methods: Methods, gateway: FakeGateway) -> None:
    """Ids of one account are not those of another."""
    argument = {"name": "id", "value": ""}
    context = {"arguments": {"account": "acc_1"}}
    ref = {"type": "ref/resource", "uri": "linkspan://ticket/{account}/{id}"}
    await answer(methods, "completion/complete", ref=ref, argument=argument, context=context)
    assert gateway.calls[0][2] == {"account": "acc_1"}


@pytest.mark.parametrize(
    ("ref", "argument"),
    [
        ({"type": "ref/prompt", "name": "triage"}, {"name": "team", "value": ""}),
        ({"type": "ref/resource", "uri": "acme://report/{day}"}, {"name": "day", "value": ""}),
        ({"type": "ref/resource", "uri": "linkspan://invoice/{id}"}, {"name": "id", "value": ""}),
        (TICKET, {"name": "other", "value": ""}),
    ],
)
async def test_what_cannot_be_completed_has_no_values(
    methods: Methods, gateway: FakeGateway, ref: Any, argument: Any
) -> None:
    """An empty answer is an answer; nothing is asked of the product."""
    shown = await answer(methods, "completion/complete", ref=ref, argument=argument)
    assert shown["completion"] == {"values": [], "total": 0, "hasMore": False}
    assert gateway.calls == []


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ref": 7, "argument": {}},
        {"ref": TICKET, "argument": {"name": "id"}},
        {"ref": TICKET, "argument": {"name": 7, "value": ""}},
        {"ref": {"type": "ref/tool"}, "argument": {"name": "id", "value": ""}},
    ],
)
async def test_a_malformed_completion_is_a_fault(methods: Methods, params: Any) -> None:
    """-32602."""
    assert (await fault(methods, "completion/complete", **params)).code == -32602


# The rest -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["server/discover", "resources/subscribe", "logging/setLevel", "x", ""])
async def test_methods_of_another_era_are_not_there(methods: Methods, method: str) -> None:
    """The legacy era knows no discover; nobody knows what we do not serve."""
    assert (await fault(methods, method, LEGACY)).code == -32601


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
async def test_the_modern_era_has_lost_some_methods(methods: Methods, method: str) -> None:
    """They are -32601 there."""
    assert (await fault(methods, method, MODERN)).code == -32601


async def test_only_tools_that_report_progress_stream(methods: Methods) -> None:
    """What a call may say before its answer is known before it is made."""
    assert methods.streams("slow_ticket")
    assert not any(methods.streams(name) for name in ("list_tickets", "ask_ticket", "nothing", 7, None))
