"""The HTTP endpoint from outside: who is let in, what is refused, what a call answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkspan.mcp_server.http import McpEndpoint
from linkspan.mcp_server.hub import Hub
from linkspan.mcp_server.methods import Methods
from linkspan.settings import Settings
from tests.mcp_server.conftest import (
    FakeGateway,
    Http,
    authenticate,
    connect,
    events,
    hanging_catalog,
    make_catalog,
    make_tool,
    modern_headers,
    modern_message,
)

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tickets"}}
META = "io.modelcontextprotocol/"
BASE = "http://127.0.0.1:8640"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


# Who is let in --------------------------------------------------------------------------------------------


async def test_without_a_token_every_method_is_told_where_to_get_one(http: Http) -> None:
    """401 with resource metadata and scope, before anything else is looked at."""
    del http.headers["authorization"]
    for method in ("GET", "POST", "DELETE"):
        answer = await http.client.request(method, http.path, headers=http.headers)
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        assert (
            'resource_metadata="http://127.0.0.1:8640/.well-known/oauth-protected-resource/t/acme/mcp"'
            in (challenge)
        )
        assert 'scope="read write"' in challenge
        assert "error=" not in challenge


async def test_a_bad_token_is_invalid_whoever_it_is_of(http: Http) -> None:
    """Unknown, of another tenant, in the wrong scheme, repeated: the same 401."""
    answers = set()
    for value in ("Bearer nonsense", "Bearer other"):
        answer = await http.post(CALL, authorization=value)
        answers.add((answer.status_code, answer.text, answer.headers["www-authenticate"]))
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert len(answers) == 1
    assert (await http.post(CALL, authorization="Basic Z29vZDo=")).status_code == 401
    twice = [(name, value) for name, value in http.headers.items()] + [("authorization", "Bearer good")]
    assert (await http.client.post(http.path, json=CALL, headers=twice)).status_code == 401


async def test_an_unknown_tenant_is_answered_like_a_known_one(http: Http) -> None:
    """Whether a customer is here is nobody's business."""
    known = await http.client.post("/t/acme/mcp", json=CALL, headers={"authorization": "Bearer x"})
    unknown = await http.client.post("/t/nobody/mcp", json=CALL, headers={"authorization": "Bearer x"})
    assert unknown.status_code == known.status_code == 401
    assert unknown.text.replace("nobody", "acme") == known.text
    challenge = unknown.headers["www-authenticate"].replace("nobody", "acme")
    assert challenge == known.headers["www-authenticate"]


async def test_a_token_in_the_query_is_no_token(http: Http) -> None:
    """URLs end in logs."""
    del http.headers["authorization"]
    answer = await http.client.post(
        f"{http.path}?access_token=good&token=good", json=CALL, headers=http.headers
    )
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path", ["/t/Acme/mcp", "/t/acme/mcp/", "/t/a%0a/mcp", "/t/../mcp", "/t//mcp", "/t/acme"]
)
async def test_a_path_that_is_no_endpoint_is_not_found(http: Http, path: str) -> None:
    """Only tenant names make paths."""
    assert (await http.client.post(path, json=CALL, headers=http.headers)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
async def test_only_post_is_served(http: Http, method: str) -> None:
    """There is no stream to open and no session to end; a client learns it after it was let in."""
    answer = await http.client.request(method, http.path, headers=http.headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_token_that_may_use_nothing_is_told_which_scopes_there_are(http: Http) -> None:
    """The whole endpoint is denied then, so it is a 403 and not a tool's result."""
    answer = await http.post(CALL, authorization="Bearer nothing")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="read write"' in answer.headers["www-authenticate"]


async def test_one_missing_scope_is_told_in_the_result(http: Http) -> None:
    """A model can read that, and a 403 it could not."""
    http.headers["authorization"] = "Bearer reader"
    answer = await http.legacy("tools/call", {"name": "create_ticket", "arguments": {}})
    assert answer["result"]["isError"] is True
    assert "ticket.create" in answer["result"]["structuredContent"]["error"]["message"]


async def test_a_strange_host_or_origin_is_refused_before_the_token(http: Http) -> None:
    """421 and 403, and the operator's setting is named."""
    assert (await http.post(CALL, host="evil.example")).status_code == 421
    answer = await http.post(CALL, origin="https://evil.example")
    assert answer.status_code == 403
    assert "LINKSPAN_PUBLIC_URL" in answer.text


# What is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[" * 100_000 + b"]" * 90_000,
        b'{"jsonrpc":"2.0","id":' + b"9" * 90_000 + b',"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}',
    ],
    ids=range(8),
)
async def test_what_is_no_json_is_a_parse_error(http: Http, body: bytes) -> None:
    """400 and -32700, however deep or huge it is."""
    if len(body) > 100_000:
        body = body[:99_999]
    answer = await http.post(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


@pytest.mark.parametrize(
    "message",
    [
        [CALL],
        [],
        7,
        "text",
        None,
        {},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": True, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": {}, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": 7},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "method": 7},
        {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]},
    ],
    ids=range(15),
)
@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_what_is_no_single_message_is_an_invalid_request(
    http: Http, message: Any, version: str
) -> None:
    """Batches too: 400 and -32600."""
    answer = await http.post(message, mcp_protocol_version=version)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


async def test_a_body_may_have_its_size_and_no_more(http: Http) -> None:
    """413, whether the size is declared or the body just does not end."""
    large = json.dumps({**CALL, "padding": "x" * 100_000}).encode()
    assert (await http.post(large)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 30_000):
            yield large[start : start + 30_000]

    streamed = await http.client.post(http.path, content=chunks(), headers=http.headers)
    assert streamed.status_code == 413


async def test_a_body_in_pieces_is_put_together(http: Http) -> None:
    """How the network cuts it does not matter."""

    async def chunks() -> AsyncIterator[bytes]:
        for byte in json.dumps(CALL).encode():
            yield bytes([byte])

    answer = await http.client.post(http.path, content=chunks(), headers=http.headers)
    assert answer.json()["result"]["structuredContent"]["next_cursor"] is None


async def test_another_media_type_is_refused(http: Http) -> None:
    """A form that a browser can send without asking is no request."""
    assert (await http.post(CALL, content_type="text/plain")).status_code == 415


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_notifications_are_acknowledged(http: Http, version: str) -> None:
    """202 without a body, in both eras."""
    for method in ("notifications/initialized", "notifications/cancelled", "notifications/other"):
        answer = await http.post({"jsonrpc": "2.0", "method": method}, mcp_protocol_version=version)
        assert (answer.status_code, answer.content) == (202, b"")


async def test_an_answer_to_us_is_acknowledged_in_the_legacy_era_only(http: Http) -> None:
    """There the protocol has it; in the modern era clients must not send any."""
    message = {"jsonrpc": "2.0", "id": 5, "result": {}}
    assert (await http.post(message, mcp_protocol_version="2025-06-18")).status_code == 202
    assert (await http.post(message, mcp_protocol_version="2026-07-28")).status_code == 400


# What is answered -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", [0, 7, -1, 2**53, 10**4000, "seven", "", 'quote"d', "ünï"])
async def test_the_answer_carries_the_id_of_the_request(http: Http, id_: Any) -> None:
    """As it came, number or text."""
    assert (await http.legacy("ping", id_=id_)) == {"jsonrpc": "2.0", "id": id_, "result": {}}


async def test_a_request_without_a_version_is_of_the_legacy_era(http: Http) -> None:
    """Clients older than the header send none."""
    answer = await http.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert "resultType" not in answer.json()["result"]


async def test_a_modern_request_must_say_so_in_its_header(http: Http) -> None:
    """What proxies route on may not be left out."""
    answer = await http.post(modern_message("tools/list"))
    assert answer.json()["error"]["code"] == -32020


async def test_modern_faults_have_their_status(http: Http) -> None:
    """404 for a method that is not there, 400 for what the client did wrong, 200 for results."""
    assert (await http.modern("tools/list")).status_code == 200
    missing = await http.modern("ping")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, -32601)
    wrong = await http.modern("tools/call", {"name": "list_tickets", "arguments": [1]})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32602)
    mismatch = await http.modern("tools/call", {"name": "list_tickets"}, mcp_name="other")
    assert (mismatch.status_code, mismatch.json()["error"]["code"]) == (400, -32020)
    assert mismatch.json()["id"] == 1


async def test_legacy_faults_are_answers(http: Http) -> None:
    """200 with an error in it, as JSON-RPC over HTTP has always had."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "server/discover"}
    answer = await http.post(message, mcp_protocol_version="2025-06-18")
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32601)


async def test_mirrored_headers_are_checked(http: Http) -> None:
    """An argument that proxies route on is the one that is used."""
    arguments = {"name": "region_ticket", "arguments": {"region": "eu"}}
    good = await http.modern("tools/call", arguments, mcp_param_region="eu")
    bad = await http.modern("tools/call", arguments, mcp_param_region="us")
    assert good.status_code == 200
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, -32020)


async def test_quick_tools_answer_plain_json_whatever_the_token(http: Http, gateway: FakeGateway) -> None:
    """Codex sends a progress token with everything; only a tool that reports progress makes a stream."""
    params = {"name": "list_tickets", "_meta": {"progressToken": 3}}
    answer = await http.post({**CALL, "params": params})
    assert answer.headers["content-type"] == "application/json"
    assert gateway.calls[0][3].progress is None


async def test_what_codex_says_of_itself_goes_with_the_call(http: Http, gateway: FakeGateway) -> None:
    """Thread, turn and call are handed on; paths on the person's machine are not."""
    meta = {
        "threadId": "t1",
        "callId": "c1",
        "x-codex-turn-metadata": {"turn_id": "u1", "workspaces": {"/home/ada/secret": {}}},
    }
    await http.post({**CALL, "params": {"name": "list_tickets", "_meta": meta}}, user_agent="codex/1")
    info = gateway.calls[0][3]
    assert (info.thread_id, info.turn_id, info.call_id, info.client) == ("t1", "u1", "c1", "codex/1")
    assert "secret" not in repr(info)


@pytest.mark.parametrize("meta", [7, [], {"threadId": 7, "callId": ["x"], "x-codex-turn-metadata": 3}, None])
async def test_meta_of_any_shape_does_no_harm(http: Http, gateway: FakeGateway, meta: Any) -> None:
    """What is not an id is none."""
    await http.post({**CALL, "params": {"name": "list_tickets", "_meta": meta}})
    info = gateway.calls[0][3]
    assert (info.thread_id, info.turn_id, info.call_id) == (None, None, None)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_tool_with_progress_streams_it(http: Http, era: str) -> None:
    """Notifications first, then the answer, as events of one response."""
    params = {"name": "slow_ticket", "_meta": {"progressToken": "p"}}
    if era == "modern":
        answer = await http.modern("tools/call", params)
    else:
        answer = await http.post({**CALL, "params": params}, mcp_protocol_version="2025-06-18")
    assert answer.headers["content-type"] == "text/event-stream"
    *told, last = events(answer.text)
    assert [one["params"]["progress"] for one in told] == [0, 50, 100]
    assert {one["params"]["progressToken"] for one in told} == {"p"}
    assert last["result"]["structuredContent"]["result"]["id"] == "1"


async def test_without_token_or_accept_a_tool_with_progress_answers_json(http: Http) -> None:
    """Nobody who did not ask for a stream gets one."""
    plain = await http.post({**CALL, "params": {"name": "slow_ticket"}})
    params = {"name": "slow_ticket", "_meta": {"progressToken": "p"}}
    refused = await http.post({**CALL, "params": params}, accept="application/json")
    assert {answer.headers["content-type"] for answer in (plain, refused)} == {"application/json"}


async def test_a_tool_that_fails_in_mid_stream_ends_it(http: Http, gateway: FakeGateway) -> None:
    """An exception after the first notification is a result like any other."""
    gateway.answers["slow_ticket"] = ValueError("secret words")
    params = {"name": "slow_ticket", "_meta": {"progressToken": "p"}}
    answer = await http.post({**CALL, "params": params})
    assert answer.json()["result"]["isError"] is True
    assert "secret" not in answer.text


# Going away -----------------------------------------------------------------------------------------------


class Wire:
    """One ASGI request whose client may leave."""

    def __init__(self, message: Any, **headers: str) -> None:
        given = {
            "host": "127.0.0.1",
            "authorization": "Bearer good",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/t/acme/mcp",
            "scheme": "http",
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        self.body = {"type": "http.request", "body": json.dumps(message).encode(), "more_body": False}
        self.left = asyncio.Event()
        self.sent: list[Any] = []
        self.heard = asyncio.Event()
        self._read = False

    async def receive(self) -> Any:
        if not self._read:
            self._read = True
            return self.body
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.heard.set()

    def events(self) -> list[Any]:
        return events(b"".join(one.get("body", b"") for one in self.sent).decode())


@pytest.fixture
def hanging(gateway: FakeGateway) -> FakeGateway:
    gateway.catalog = hanging_catalog()
    return gateway


async def test_a_client_that_leaves_cancels_its_call(endpoint: McpEndpoint, hanging: FakeGateway) -> None:
    """The upstream request is given up; nothing is answered, since nobody is there."""
    wire = Wire({**CALL, "params": {"name": "hang_ticket"}})
    async with asyncio.timeout(5):
        serving = asyncio.create_task(endpoint(wire.scope, wire.receive, wire.send))
        await hanging.running.wait()
        wire.left.set()
        await hanging.cancelled.wait()
        await serving
    assert wire.sent == []


async def test_a_client_that_leaves_cancels_its_reading(endpoint: McpEndpoint, hanging: FakeGateway) -> None:
    """Resources come from products, too."""
    hanging.catalog = replace(hanging.catalog, tools=(make_tool("get", "get_ticket"),))
    hanging.hangs.add("get_ticket")
    params = {"uri": "linkspan://ticket/7"}
    wire = Wire({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": params})
    async with asyncio.timeout(5):
        serving = asyncio.create_task(endpoint(wire.scope, wire.receive, wire.send))
        await hanging.running.wait()
        wire.left.set()
        await hanging.cancelled.wait()
        await serving
    assert wire.sent == []


async def test_a_slow_call_is_answered_all_the_same(endpoint: McpEndpoint, hanging: FakeGateway) -> None:
    """Being watched does not change the answer."""
    wire = Wire({**CALL, "params": {"name": "hang_ticket"}})
    async with asyncio.timeout(5):
        serving = asyncio.create_task(endpoint(wire.scope, wire.receive, wire.send))
        await hanging.running.wait()
        await asyncio.sleep(0.3)  # longer than a call goes unwatched
        hanging.release.set()
        await serving
    assert json.loads(wire.sent[1]["body"])["result"]["structuredContent"]["result"] == {"id": "late"}


async def test_a_server_that_stops_is_not_a_client_that_left(
    endpoint: McpEndpoint, hanging: FakeGateway
) -> None:
    """A cancellation from outside goes on outwards."""
    wire = Wire({**CALL, "params": {"name": "hang_ticket"}})
    serving = asyncio.create_task(endpoint(wire.scope, wire.receive, wire.send))
    await hanging.running.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


# Subscriptions --------------------------------------------------------------------------------------------

WANTED = {"toolsListChanged": True, "resourceSubscriptions": ["linkspan://ticket/1"]}


def listening(id_: Any = "sub", tenant: str = "acme", **wanted: Any) -> Wire:
    message = modern_message("subscriptions/listen", {"notifications": wanted or WANTED}, id_)
    wire = Wire(message, **modern_headers(message))
    if tenant != "acme":
        wire.scope["path"] = f"/t/{tenant}/mcp"
        headers = [one for one in wire.scope["headers"] if one[0] != b"authorization"]
        wire.scope["headers"] = [*headers, (b"authorization", b"Bearer other")]
    return wire


async def heard(wire: Wire, count: int) -> list[Any]:
    async with asyncio.timeout(5):
        while len(wire.events()) < count:
            wire.heard.clear()
            await wire.heard.wait()
    return wire.events()


async def test_a_subscription_is_acknowledged_and_hears_what_it_asked_for(
    endpoint: McpEndpoint, hub: Hub
) -> None:
    """First what is honoured, then events with the subscription's id, of this tenant only."""
    wire, other = listening(), listening(tenant="beta")
    tasks = [asyncio.create_task(endpoint(one.scope, one.receive, one.send)) for one in (wire, other)]
    await heard(wire, 1)
    await heard(other, 1)
    hub.updated("beta", "linkspan://ticket/1")
    hub.updated("acme", "linkspan://ticket/2")
    hub.updated("acme", "linkspan://ticket/1")
    hub.lists_changed()
    acknowledged, updated, changed = await heard(wire, 3)
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
    assert acknowledged["params"]["notifications"] == WANTED
    assert updated["params"]["uri"] == "linkspan://ticket/1"
    assert changed["method"] == "notifications/tools/list_changed"
    assert {one["params"]["_meta"][META + "subscriptionId"] for one in wire.events()} == {"sub"}
    assert [one["method"] for one in await heard(other, 3)][1:] == [updated["method"], changed["method"]]
    for one in (wire, other):
        one.left.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)


async def test_a_stop_ends_subscriptions_with_their_result(endpoint: McpEndpoint) -> None:
    """The client is told that the stream was ended on purpose."""
    wire = listening(9)
    task = asyncio.create_task(endpoint(wire.scope, wire.receive, wire.send))
    await heard(wire, 1)
    await endpoint.aclose()
    async with asyncio.timeout(5):
        await task
    last = wire.events()[-1]
    assert (last["id"], last["result"]["resultType"]) == (9, "complete")
    assert wire.sent[-1]["more_body"] is False


async def test_a_tenant_may_have_so_many_subscriptions(methods: Methods, settings: Settings) -> None:
    """One customer cannot fill the process; another still can listen."""
    endpoint = McpEndpoint(methods, authenticate, settings, hub=Hub(max_per_tenant=1))
    first, second, other = listening(), listening(2), listening(tenant="beta")
    tasks = [asyncio.create_task(endpoint(one.scope, one.receive, one.send)) for one in (first, other)]
    await heard(first, 1)
    await heard(other, 1)
    await endpoint(second.scope, second.receive, second.send)
    assert "Too many subscriptions" in json.loads(second.sent[1]["body"])["error"]["message"]
    await endpoint.aclose()
    await asyncio.gather(*tasks)


async def test_listening_is_not_known_in_the_legacy_era(http: Http) -> None:
    """There it is a method like any other that does not exist."""
    assert (await http.legacy("subscriptions/listen"))["error"]["code"] == -32601


# Metadata and faults of ours ------------------------------------------------------------------------------


async def test_metadata_is_the_same_for_every_tenant(endpoint: McpEndpoint) -> None:
    """RFC 9728: the resource is the URL that was used, the scopes are few, no token is needed to read it."""
    async with connect(endpoint.metadata) as client:
        for tenant in ("acme", "nobody"):
            path = f"{WELL_KNOWN}/t/{tenant}/mcp"
            answer = await client.get(path)
            assert answer.json() == {
                "resource": f"http://127.0.0.1:8640/t/{tenant}/mcp",
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Acme Desk",
            }
        assert (await client.get(f"{WELL_KNOWN}/t/ACME/mcp")).status_code == 404
        assert (await client.get(f"{WELL_KNOWN}/x/t/acme/mcp")).status_code == 404
        assert (await client.post(f"{WELL_KNOWN}/t/acme/mcp")).status_code == 405
        assert (await client.get(path, headers={"host": "evil.example"})).status_code == 421


async def test_metadata_names_the_issuers_where_there_are_some(methods: Methods, settings: Settings) -> None:
    """What signs people in says where; without it a client needs a token it was given."""
    endpoint = McpEndpoint(
        methods,
        authenticate,
        replace(settings, public_url="https://mcp.example"),
        authorization_servers=lambda base, tenant: [f"{base}/t/{tenant}"],
    )
    async with connect(endpoint.metadata) as client:
        answer = await client.get(f"{WELL_KNOWN}/t/acme/mcp", headers={"host": "mcp.example"})
    assert answer.json()["authorization_servers"] == ["https://mcp.example/t/acme"]
    assert answer.json()["resource"] == "https://mcp.example/t/acme/mcp"


async def test_a_fault_of_ours_is_an_answer_without_our_insides(
    methods: Methods, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the one error shape; the log has one line, without the exception's words."""

    async def broken(token: str, tenant: str) -> Any:
        raise ValueError(f"secret {token}")

    async with connect(McpEndpoint(methods, broken, settings)) as client:
        answer = await Http(client).post(CALL)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text + caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "\n" not in caplog.records[0].getMessage()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
METHODS = st.sampled_from(
    ["tools/call", "tools/list", "resources/read", "prompts/get", "completion/complete", "initialize", "x"]
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["list_tickets", "get_ticket", "triage"]) | JSON,
        "arguments": JSON,
        "uri": st.sampled_from(["linkspan://ticket/1", "acme://rules"]) | JSON,
        "ref": JSON | st.fixed_dictionaries({"type": st.just("ref/resource"), "uri": JSON}),
        "argument": st.fixed_dictionaries({"name": st.just("id"), "value": st.text(max_size=3)}) | JSON,
        "cursor": JSON,
        "protocolVersion": JSON,
        "inputResponses": JSON,
        "requestState": JSON,
        "_meta": JSON,
    },
)


@given(METHODS, PARAMS | JSON, JSON, st.sampled_from(["2025-06-18", "2026-07-28"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_is_a_fault_of_ours(method: str, params: Any, id_: Any, version: str) -> None:
    """Whatever a client sends, it is answered, and never with 500 or an internal error."""

    async def send() -> None:
        gateway = FakeGateway(make_catalog())
        methods = Methods(gateway, new_id=lambda: "req_1", clock=lambda: 0.0)
        wire = Wire(
            {"jsonrpc": "2.0", "id": id_, "method": method, "params": params},
            mcp_protocol_version=version,
            mcp_method=method,
        )
        wire.left.set()
        await McpEndpoint(methods, authenticate, Settings(Path("/nowhere")))(
            wire.scope, wire.receive, wire.send
        )
        assert wire.sent[0]["status"] in (200, 202, 400, 404)
        body = json.loads(wire.sent[1]["body"] or b"{}")
        assert body.get("error", {}).get("code") != -32603
        error = body.get("result", {}).get("structuredContent", {}).get("error", {})
        assert error.get("code") != "internal", body

    asyncio.run(send())
