"""Asking the person: what they agreed to is what is done, for the one who asked, for a while."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mcp.types import methods as wire
from pydantic_core import from_json

from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.protocol import Fault
from linkspan.mcp_server.questions import LIFETIME
from linkspan.spec.catalog import Elicit
from linkspan.vault.keys import Key, Keys
from linkspan.vault.seal import Vault
from tests.mcp_server.conftest import FakeGateway, constant, make_catalog, make_tool, principal

FORMS: dict[str, Any] = {"elicitation": {"form": {}}}
YES = {"answer": {"action": "accept", "content": {"sure": True}}}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asking(gateway: FakeGateway, clock: Clock) -> Methods:
    vault = Vault(Keys((Key(b"\x07" * 32),), "a test"))
    return Methods(gateway, new_id=lambda: "req", clock=clock, sealer=vault)


def modern(capabilities: Any = FORMS, tenant: str = "acme") -> Caller:
    return Caller(principal(tenant), "2026-07-28", True, capabilities=capabilities)


async def call(methods: Methods, caller: Caller, tool: str = "ask_ticket", **params: Any) -> Any:
    shown = from_json(await methods.call_tool({"name": tool, **params}, caller))
    wire.validate_server_result("tools/call", caller.version, shown)
    return shown


async def test_a_modern_call_ends_with_the_question(asking: Methods) -> None:
    """The client asks its person and calls again; the state it brings back is sealed."""
    shown = await call(asking, modern(), arguments={})
    assert shown["resultType"] == "input_required"
    request = shown["inputRequests"]["answer"]
    assert request["method"] == "elicitation/create"
    assert (request["params"]["mode"], request["params"]["message"]) == ("form", "Sure?")
    assert "content" not in shown
    assert len(shown["requestState"]) > 40


async def test_the_answer_completes_the_call(asking: Methods) -> None:
    """With state and answer the second call is done."""
    first = await call(asking, modern())
    done = await call(asking, modern(), inputResponses=YES, requestState=first["requestState"])
    assert done["resultType"] == "complete"
    assert done["structuredContent"]["result"]["asked"] == YES["answer"]


@pytest.mark.parametrize(
    "responses", [None, {}, {"other": YES["answer"]}, {"answer": 7}, {"answer": {"action": "maybe"}}, []]
)
async def test_an_answer_to_something_else_is_asked_again(asking: Methods, responses: Any) -> None:
    """Not an error: the person is simply asked."""
    shown = await call(asking, modern(), inputResponses=responses)
    assert shown["resultType"] == "input_required"


async def test_agreed_is_agreed_for_the_same_call_only(asking: Methods, gateway: FakeGateway) -> None:
    """Other arguments, another principal, another tenant or a changed state: -32602 and nothing is done."""
    state = (await call(asking, modern(), arguments={}))["requestState"]
    calls = len(gateway.calls)
    others = [
        (modern(), {"arguments": {"id": "2"}, "requestState": state}),
        (modern(tenant="beta"), {"requestState": state}),
        (modern(), {"requestState": state[:-4] + "AAAA"}),
        (modern(), {"requestState": "nonsense"}),
        (modern(), {"requestState": 7}),
        (replace(modern(), principal=replace(principal(), subject="else")), {"requestState": state}),
    ]
    for caller, params in others:
        with pytest.raises(Fault) as refused:
            await call(asking, caller, inputResponses=YES, **params)
        assert refused.value.code == -32602
    assert len(gateway.calls) == calls


async def test_a_state_of_another_tool_is_refused(asking: Methods, gateway: FakeGateway) -> None:
    """A yes to one question is none to another."""
    state = (await call(asking, modern()))["requestState"]
    catalog = make_catalog()
    other = make_tool(
        "ask", "other_ticket", elicit=Elicit(constant("Delete?"), {"type": "object"}), entity="x"
    )
    gateway.catalog = replace(catalog, tools=(*catalog.tools, other))
    with pytest.raises(Fault):
        await call(asking, modern(), "other_ticket", inputResponses=YES, requestState=state)


async def test_an_old_question_is_asked_again(asking: Methods, clock: Clock) -> None:
    """A yes of yesterday is none."""
    state = (await call(asking, modern()))["requestState"]
    clock.now += LIFETIME + 1
    shown = await call(asking, modern(), inputResponses=YES, requestState=state)
    assert shown["resultType"] == "input_required"


async def test_an_answer_may_come_without_state(asking: Methods, gateway: FakeGateway) -> None:
    """It is the client that shows the form; the official suite answers so."""
    assert (await call(asking, modern(), inputResponses=YES))["resultType"] == "complete"
    assert len(gateway.calls) == 1


async def test_a_client_that_shows_no_forms_is_told_what_it_lacks(
    asking: Methods, gateway: FakeGateway
) -> None:
    """-32021 names the capability; nothing was called."""
    lacking: list[dict[str, Any]] = [{}, {"elicitation": {"url": {}}}, {"sampling": {}}]
    for capabilities in lacking:
        with pytest.raises(Fault) as refused:
            await call(asking, modern(capabilities))
        assert refused.value.code == -32021
        assert refused.value.data == {"requiredCapabilities": {"elicitation": {"form": {}}}}
    assert gateway.calls == []


async def test_a_tool_that_can_do_without_is_called_without(asking: Methods, gateway: FakeGateway) -> None:
    """`missing` says what happens then, so no capability is required."""
    elicit = Elicit(constant("Sure?"), {"type": "object"}, missing="Ask them yourself.")
    gateway.catalog = make_catalog(tools=(make_tool("ask", "ask_ticket", elicit=elicit),))
    shown = await call(asking, modern({}))
    assert shown["structuredContent"]["result"]["asked"] is None


async def test_a_legacy_client_is_asked_in_the_middle_of_the_call(asking: Methods) -> None:
    """Where there is a connection to ask over."""
    asked: list[Any] = []

    async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        asked.append((method, params["message"]))
        return {"action": "decline"}

    caller = Caller(principal(), "2025-06-18", False, capabilities={"elicitation": {}}, ask=ask)
    shown = await call(asking, caller)
    assert asked == [("elicitation/create", "Sure?")]
    assert shown["structuredContent"]["result"]["asked"] == {"action": "decline"}


async def test_a_legacy_client_that_fails_to_ask_is_one_that_cannot(asking: Methods) -> None:
    """The tool goes on as without an answer."""

    async def ask(_method: str, _params: dict[str, Any]) -> dict[str, Any]:
        raise Fault(-32603, "no")

    caller = Caller(principal(), "2025-06-18", False, capabilities={"elicitation": {}}, ask=ask)
    shown = await call(asking, caller)
    assert shown["structuredContent"]["result"]["asked"] is None


async def test_a_legacy_client_without_a_connection_is_not_asked(asking: Methods) -> None:
    """Stateless HTTP has no way back."""
    shown = await call(asking, Caller(principal(), "2025-06-18", False))
    assert shown["structuredContent"]["result"]["asked"] is None


async def test_without_a_sealer_there_is_no_state(methods: Methods) -> None:
    """Then the answer counts for whatever it is sent with."""
    shown = await call(methods, modern())
    assert "requestState" not in shown
    assert (await call(methods, modern(), inputResponses=YES))["resultType"] == "complete"
