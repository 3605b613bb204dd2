"""One live connection: calls side by side, cancellation, questions and news, and an orderly end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkspan.errors import ConfigurationError
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.lines import Handshake
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.session import Session, refuse
from tests.mcp_server.conftest import FakeGateway, hanging_catalog, modern_message, principal

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "tests", "version": "1"},
}


class Recorder:
    """Where a session's messages go."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._arrived = asyncio.Event()

    def write(self, message: bytes) -> None:
        assert b"\n" not in message
        self.messages.append(json.loads(message))
        self._arrived.set()

    async def count(self, wanted: int) -> list[Any]:
        async with asyncio.timeout(5):
            while len(self.messages) < wanted:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages


class Client:
    """The other end."""

    def __init__(self, session: Session, output: Recorder) -> None:
        self.session = session
        self.output = output

    def send(self, method: str, params: Any = None, id_: Any = None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        if id_ is not None:
            message["id"] = id_
        self.raw(message)

    def raw(self, message: Any) -> None:
        self.session.take(message if isinstance(message, bytes) else json.dumps(message).encode())

    async def ask(self, method: str, params: Any = None, id_: Any = 1) -> Any:
        before = len(self.output.messages)
        self.send(method, params, id_)
        return (await self.output.count(before + 1))[-1]


@pytest.fixture
async def client(methods: Methods, gateway: FakeGateway, hub: Hub) -> AsyncIterator[Client]:
    gateway.catalog = hanging_catalog()
    output = Recorder()
    session = Session(methods, principal(), Handshake(), output, hub)  # type: ignore[arg-type]
    yield Client(session, output)
    gateway.release.set()
    await session.finish(1)


async def test_a_legacy_conversation(client: Client) -> None:
    """Handshake, list, call: each answer with the id of its request."""
    hello = await client.ask("initialize", HELLO)
    assert (hello["id"], hello["result"]["protocolVersion"]) == (1, "2025-06-18")
    assert hello["result"]["capabilities"]["tools"]["listChanged"] is True
    client.send("notifications/initialized")
    assert (await client.ask("tools/list", id_="two"))["id"] == "two"
    called = await client.ask("tools/call", {"name": "list_tickets"}, 3)
    assert called["result"]["structuredContent"]["next_cursor"] is None


async def test_a_modern_conversation(client: Client) -> None:
    """No handshake; every request says its version, and unknown ones are refused with a list."""
    client.raw(modern_message("server/discover"))
    client.raw(modern_message("tools/call", {"name": "list_tickets"}, 2))
    wrong = modern_message("tools/list", id_=3)
    wrong["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2099-01-01"
    client.raw(wrong)
    answers = {one["id"]: one for one in await client.output.count(3)}
    assert answers[1]["result"]["supportedVersions"] == ["2026-07-28"]
    assert answers[2]["result"]["resultType"] == "complete"
    assert answers[3]["error"]["code"] == -32022


async def test_calls_run_side_by_side(client: Client, gateway: FakeGateway) -> None:
    """A slow one keeps nobody waiting."""
    client.send("tools/call", {"name": "hang_ticket"}, 1)
    await gateway.running.wait()
    assert (await client.ask("tools/call", {"name": "list_tickets"}, 2))["id"] == 2
    gateway.release.set()
    assert (await client.output.count(2))[1]["id"] == 1


async def test_a_cancelled_call_is_given_up_and_owed_no_answer(client: Client, gateway: FakeGateway) -> None:
    """The upstream request is cancelled; the id may be used again."""
    client.send("tools/call", {"name": "hang_ticket"}, 1)
    await gateway.running.wait()
    client.send("notifications/cancelled", {"requestId": 1, "reason": "time-out"})
    async with asyncio.timeout(5):
        await gateway.cancelled.wait()
    assert (await client.ask("ping", id_=1)) == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize("params", [None, {}, {"requestId": 99}, {"requestId": []}, {"requestId": "1"}])
async def test_cancelling_what_is_not_there_does_nothing(client: Client, params: Any) -> None:
    """Too late, or never there."""
    client.send("notifications/cancelled", params)
    assert (await client.ask("ping"))["result"] == {}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 5000, -32700),
        (b"[]", -32600),
        (b'{"id":7,"method":"ping"}', -32600),
        (b"7", -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
    ],
)
async def test_a_line_that_is_no_message_changes_nothing(client: Client, line: bytes, code: int) -> None:
    """It is answered as JSON-RPC wants, and the next one is served."""
    client.raw(line)
    assert client.output.messages[0]["error"]["code"] == code
    assert client.output.messages[0]["id"] is None
    assert (await client.ask("ping"))["result"] == {}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 6, "method": 7},
        {"jsonrpc": "2.0", "id": 6},
        {"jsonrpc": "2.0", "id": 6, "method": "ping", "params": []},
    ],
)
async def test_a_request_that_is_none_is_answered_by_its_id(client: Client, message: Any) -> None:
    """Who waits for an answer to that id gets one."""
    client.raw(message)
    answer = client.output.messages[0]
    assert (answer["id"], answer["error"]["code"]) == (6, -32600)


async def test_unknown_methods_and_notifications(client: Client) -> None:
    """A request gets -32601, a notification gets nothing."""
    client.send("notifications/whatever", {"x": 1})
    assert (await client.ask("whatever"))["error"]["code"] == -32601


async def test_progress_and_questions_reach_the_client(client: Client) -> None:
    """While a call runs, over the same connection."""
    await client.ask("initialize", HELLO, 0)
    client.send("tools/call", {"name": "slow_ticket", "_meta": {"progressToken": "p"}}, 1)
    told = (await client.output.count(5))[1:]
    assert [one.get("params", {}).get("progress") for one in told] == [0, 50, 100, None]
    client.send("tools/call", {"name": "ask_ticket"}, 2)
    question = (await client.output.count(6))[-1]
    assert (question["method"], question["params"]["message"]) == ("elicitation/create", "Sure?")
    answer = {"action": "accept", "content": {"sure": True}}
    client.raw({"jsonrpc": "2.0", "id": question["id"], "result": answer})
    assert (await client.output.count(7))[-1]["result"]["structuredContent"]["result"]["asked"] == answer


async def test_a_client_that_answers_with_an_error_could_not_ask(client: Client) -> None:
    """The tool goes on without; answers to what nobody asked are ignored."""
    await client.ask("initialize", HELLO, 0)
    client.send("tools/call", {"name": "ask_ticket"}, 1)
    question = (await client.output.count(2))[-1]
    client.raw({"jsonrpc": "2.0", "id": "other", "result": {}})
    client.raw({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}})
    client.raw({"jsonrpc": "2.0", "id": question["id"], "result": {}})
    assert (await client.output.count(3))[-1]["result"]["structuredContent"]["result"]["asked"] is None


async def test_a_client_hears_of_changes_once_it_is_known(client: Client, hub: Hub) -> None:
    """Lists always, a resource when it subscribed to it, and nothing before the handshake."""
    hub.lists_changed()
    await client.ask("initialize", HELLO)
    await client.ask("resources/subscribe", {"uri": "linkspan://ticket/1"}, 2)
    hub.updated("acme", "linkspan://ticket/1")
    hub.updated("acme", "linkspan://ticket/2")
    hub.updated("beta", "linkspan://ticket/1")
    hub.lists_changed()
    heard = (await client.output.count(6))[2:]
    assert [one["method"].rpartition("/")[0] for one in heard] == [
        "notifications/resources",
        "notifications/tools",
        "notifications/prompts",
        "notifications/resources",
    ]
    assert heard[0]["params"] == {"uri": "linkspan://ticket/1"}
    await client.ask("resources/unsubscribe", {"uri": "linkspan://ticket/1"}, 3)
    hub.updated("acme", "linkspan://ticket/1")
    assert (await client.ask("ping", id_=4))["id"] == 4


async def test_subscriptions_are_bounded(client: Client) -> None:
    """A client cannot make us remember without end."""
    for number in range(200):
        await client.ask("resources/subscribe", {"uri": f"linkspan://ticket/{number}"}, number)
    refused = await client.ask("resources/subscribe", {"uri": "linkspan://ticket/more"})
    assert refused["error"]["code"] == -32602
    assert (await client.ask("resources/subscribe", {}))["error"]["code"] == -32602


async def test_a_modern_client_listens(client: Client, hub: Hub) -> None:
    """The stream of `subscriptions/listen` runs beside everything else until it is cancelled."""
    client.raw(modern_message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, "s"))
    await client.output.count(1)
    hub.lists_changed()
    acknowledged, changed = await client.output.count(2)
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "s"}
    client.send("notifications/cancelled", {"requestId": "s"})
    assert (await client.ask("ping"))["result"] == {}


async def test_the_end_waits_for_calls_in_flight(client: Client, gateway: FakeGateway) -> None:
    """And ends subscriptions with their result."""
    client.raw(modern_message("subscriptions/listen", {"notifications": {}}, "s"))
    client.send("tools/call", {"name": "hang_ticket"}, 1)
    await gateway.running.wait()
    ending = asyncio.create_task(client.session.finish(5))
    await client.output.count(2)
    gateway.release.set()
    await ending
    ended = {one["id"]: one["result"] for one in client.output.messages if "id" in one}
    assert ended["s"]["resultType"] == "complete"
    assert ended[1]["structuredContent"]["result"] == {"id": "late"}


async def test_the_end_does_not_wait_for_ever(client: Client, gateway: FakeGateway) -> None:
    """What takes too long is cancelled, what waits for a person too."""
    await client.ask("initialize", HELLO)
    client.send("tools/call", {"name": "hang_ticket"}, 1)
    client.send("tools/call", {"name": "ask_ticket"}, 2)
    await client.output.count(2)
    async with asyncio.timeout(5):
        await client.session.finish(0.01)
    assert gateway.cancelled.is_set()


def test_requests_that_will_never_be_served_are_told_why() -> None:
    """A model reads the sentence as a tool's error; other requests get a fault; the rest nothing."""
    output = Recorder()
    error = ConfigurationError("There are two tenants", hint="Name one with --tenant.")
    for line in (
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ):
        refuse(json.dumps(line).encode(), error, output)  # type: ignore[arg-type]
    refuse(b"nonsense", error, output)  # type: ignore[arg-type]
    refuse(None, error, output)  # type: ignore[arg-type]
    called, listed = output.messages
    assert called["result"]["content"][0]["text"] == "Error: There are two tenants. Name one with --tenant."
    assert listed["error"]["message"] == "Error: There are two tenants. Name one with --tenant."
