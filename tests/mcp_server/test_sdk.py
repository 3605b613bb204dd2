"""Sessions of the legacy era as the SDK's own client uses them; and the fast way held against the SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import mcp.types as t
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from linkspan.mcp_server.http import McpEndpoint
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.methods import Methods
from linkspan.mcp_server.sdk import make_server
from linkspan.settings import Settings
from tests.mcp_server.conftest import (
    FakeGateway,
    Http,
    authenticate,
    connect,
    hanging_catalog,
    modern_headers,
    modern_message,
    principal,
)
from tests.servers.serving import serving

pytestmark = pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")


HELLO: dict[str, Any] = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}


@pytest.fixture
async def stateful(methods: Methods, settings: Settings, hub: Hub) -> AsyncIterator[McpEndpoint]:
    def request_id_of(scope: Any) -> str:
        given: bytes = dict(scope["headers"]).get(b"x-request-id", b"none")
        return given.decode()

    endpoint = McpEndpoint(
        methods, authenticate, replace(settings, stateful=True), hub=hub, request_id_of=request_id_of
    )
    yield endpoint
    await endpoint.aclose()


async def hello(http: Http) -> str:
    """Open a session; answers its id."""
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    answer = await http.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
    assert answer.status_code == 200
    session: str = answer.headers["mcp-session-id"]
    await http.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, mcp_session_id=session)
    return session


def last(answer: httpx2.Response) -> Any:
    """The last message of an answer, event stream or not."""
    lines = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
    return json.loads(lines[-1] if lines else answer.text)


async def test_a_session_is_opened_used_and_ended(stateful: McpEndpoint) -> None:
    """The handshake is ours, and says that changes are told."""
    async with connect(stateful) as client:
        http = Http(client)
        session = await hello(http)
        listed = await http.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, mcp_session_id=session)
        assert len(last(listed)["result"]["tools"]) == 7
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_tickets"}}
        called = await http.post(call, mcp_session_id=session)
        assert last(called)["result"]["structuredContent"]["next_cursor"] is None
        headers = {**http.headers, "mcp-session-id": session}
        assert (await client.delete(http.path, headers=headers)).status_code == 200
        assert (await http.post(call, mcp_session_id=session)).status_code == 404


async def test_a_call_of_a_session_has_the_id_of_its_request(
    stateful: McpEndpoint, gateway: FakeGateway
) -> None:
    """And not of the one that opened the session."""
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_tickets"}}
    async with connect(stateful) as client:
        http = Http(client)
        session = await hello(http)
        for number in ("mine-1", "mine-2"):
            await http.post(call, mcp_session_id=session, x_request_id=number)
            assert gateway.calls[-1][3].request_id == number


async def test_a_session_belongs_to_who_opened_it(stateful: McpEndpoint) -> None:
    """With another token the id is unknown; without one nobody gets that far."""
    async with connect(stateful) as client:
        http = Http(client)
        session = await hello(http)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert (await http.post(ping, mcp_session_id="made-up")).status_code == 404
        del http.headers["authorization"]
        assert (await http.post(ping, mcp_session_id=session)).status_code == 401
        other = Http(client, "/t/beta/mcp", "other")
        assert (await other.post(ping, mcp_session_id=session)).status_code == 404


async def test_the_modern_era_needs_no_session_beside_it(stateful: McpEndpoint) -> None:
    """Both kinds of clients are served at the same address."""
    async with connect(stateful) as client:
        answer = await Http(client).modern("tools/call", {"name": "list_tickets"})
        assert answer.json()["result"]["resultType"] == "complete"
        assert "mcp-session-id" not in answer.headers


async def test_the_sdks_client_asks_hears_and_reads(methods: Methods, settings: Settings) -> None:
    """Elicitation and progress in mid-call, in both eras, over a real port."""
    endpoint = McpEndpoint(methods, authenticate, replace(settings, stateful=True))
    heard: list[float] = []

    async def elicit(context: Any, params: Any) -> t.ElicitResult:
        return t.ElicitResult(action="accept", content={"sure": params.message == "Sure?"})

    async def count(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    with serving(endpoint) as url:
        for mode in ("legacy", "auto"):
            heard.clear()
            async with (
                httpx2.AsyncClient(headers={"authorization": "Bearer good"}) as http,
                Client(
                    streamable_http_client(f"{url}/t/acme/mcp", http_client=http),
                    mode=mode,
                    elicitation_callback=elicit,
                ) as client,
            ):
                assert len((await client.list_tools()).tools) == 7
                asked = await client.call_tool("ask_ticket", {})
                assert asked.structured_content is not None
                assert asked.structured_content["result"]["asked"]["content"] == {"sure": True}
                await client.call_tool("slow_ticket", {}, progress_callback=count)
                assert heard == [0, 50, 100]
                read = await client.read_resource("linkspan://ticket/7")
                assert read.contents[0].uri == "linkspan://ticket/7"
                with pytest.raises(MCPError, match="Unknown resource"):
                    await client.read_resource("linkspan://nothing/7")


# The fast way and the SDK ---------------------------------------------------------------------------------


@pytest.fixture
async def pair(methods: Methods, settings: Settings, hub: Hub) -> AsyncIterator[tuple[Http, Http]]:
    """Our endpoint, and the SDK's stateless one over the same methods."""
    manager = StreamableHTTPSessionManager(
        make_server(methods, lambda _context: principal(), hub), json_response=True, stateless=True
    )
    endpoint = McpEndpoint(methods, authenticate, settings, hub=hub)
    async with manager.run(), connect(endpoint) as ours, connect(manager.handle_request) as theirs:
        yield Http(ours), Http(theirs)


A = {"name": "a", "value": ""}
LEGACY: list[tuple[str, Any]] = [
    ("initialize", HELLO),
    ("ping", None),
    ("tools/list", None),
    ("tools/list", {"cursor": "nonsense"}),
    ("tools/call", {"name": "list_tickets", "arguments": {}}),
    ("tools/call", {"name": "nothing"}),
    ("tools/call", {}),
    ("tools/call", {"name": "list_tickets", "arguments": [1]}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "linkspan://ticket/7"}),
    ("resources/read", {"uri": "acme://logo"}),
    ("resources/read", {"uri": "linkspan://nothing/7"}),
    ("resources/read", {}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "triage", "arguments": {"team": "red"}}),
    ("prompts/get", {"name": "nothing"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "triage"}, "argument": A},
    ),
    ("completion/complete", {"ref": {"type": "ref/nothing"}, "argument": A}),
    ("server/discover", {}),
    ("made/up", {}),
]


def same(value: Any) -> Any:
    """What has to be the same in both answers: results whole, of errors the code."""
    if "error" in value:
        return {"id": value["id"], "error": value["error"]["code"]}
    ids = json.dumps(value, sort_keys=True)
    return ids if "req_" not in ids else "an error with a request id"


@pytest.mark.parametrize(("method", "params"), LEGACY)
async def test_the_legacy_era_is_answered_as_the_sdk_answers_it(
    pair: tuple[Http, Http], method: str, params: Any
) -> None:
    """The same status, result and code, without the SDK."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **({} if params is None else {"params": params})}
    ours, theirs = [await one.post(message, mcp_protocol_version="2025-06-18") for one in pair]
    assert ours.status_code == theirs.status_code
    assert same(_without_live(ours.json())) == same(_without_live(theirs.json()))


def _without_live(answer: Any) -> Any:
    """The SDK's server stands for sessions, which can tell of changes; the stateless endpoint cannot."""
    answer.get("result", {}).pop("capabilities", None)
    return answer


MODERN = [(method, params) for method, params in LEGACY if method not in ("initialize", "ping")]


@pytest.mark.parametrize(("method", "params"), [*MODERN, ("ping", {}), ("initialize", {})])
async def test_the_modern_era_is_answered_as_the_sdk_answers_it(
    pair: tuple[Http, Http], method: str, params: Any
) -> None:
    """The same status, result and code; what went with the old era is 404."""
    message = modern_message(method, params)
    ours, theirs = [await one.post(message, **modern_headers(message)) for one in pair]
    assert ours.status_code == theirs.status_code
    assert same(ours.json()) == same(theirs.json())


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"7", b"{}", b'{"jsonrpc":"2.0"}'],
)
@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_what_is_no_message_gets_the_sdks_status(
    pair: tuple[Http, Http], body: bytes, version: str
) -> None:
    """400, whatever it was meant to be."""
    ours, theirs = [await one.post(body, mcp_protocol_version=version) for one in pair]
    assert ours.status_code == theirs.status_code == 400


async def test_a_stop_lets_calls_of_sessions_finish(stateful: McpEndpoint, gateway: FakeGateway) -> None:
    """As everywhere else: the answer is given before the session is gone."""
    gateway.catalog = hanging_catalog()
    async with connect(stateful) as client:
        http = Http(client)
        session = await hello(http)
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "hang_ticket"}}
        async with asyncio.timeout(10):
            calling = asyncio.create_task(http.post(call, mcp_session_id=session))
            await gateway.running.wait()
            stopping = asyncio.create_task(stateful.aclose())
            gateway.release.set()
            assert last(await calling)["result"]["structuredContent"]["result"] == {"id": "late"}
            await stopping
