"""The whole HTTP face, in process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from linkspan import spec
from linkspan.accounts.principal import Tenant
from linkspan.app import build
from linkspan.process import ACCEPTED_AT_ONCE, listen, make_server
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.canary import Watched
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker

FILE = Path(__file__).parent / "fakes/tracker.yaml"
BASE = "http://127.0.0.1:8640"


class Client:
    """Two tenants with a token each, and MCP calls to them."""

    def __init__(self, serving: Serving, tokens: dict[str, str], tracker: Tracker) -> None:
        self.serving = serving
        self.tokens = tokens
        self.tracker = tracker
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=Watched(serving.asgi)), base_url=BASE
        )

    async def rpc(self, tenant: str, token: str | None, method: str, **params: Any) -> httpx2.Response:
        """Send one JSON-RPC request."""
        headers = {"Accept": "application/json, text/event-stream"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await self.http.post(f"/t/{tenant}/mcp", json=body, headers=headers)

    async def tool(self, tenant: str, name: str, **arguments: Any) -> Any:
        """Call a tool with the tenant's own token and answer its result."""
        answer = await self.rpc(tenant, self.tokens[tenant], "tools/call", name=name, arguments=arguments)
        assert answer.status_code == 200
        return answer.json()["result"]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Linkspan with tenants acme and globex in front of the tracker."""
    tracker = Tracker()
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(tracker.app()),
    )
    tokens = {}
    for name in ("acme", "globex"):
        tenant = await app.tenants.add(name)
        connector = app.catalog.connectors["tracker"]
        await app.accounts.link(tenant, connector, secrets={"token": f"canary-{name}"}, verify=app.verifier)
        tokens[name] = (await app.tokens.create(tenant, subject="codex")).text.reveal()
    made = Client(Serving(app), tokens, tracker)
    yield made
    await made.http.aclose()
    await app.aclose()


async def test_a_token_of_one_tenant_is_nothing_at_another(client: Client) -> None:
    """The answer is the same as for no such tenant, no such token and no token but for its challenge."""
    answers = [
        await client.rpc("globex", client.tokens["acme"], "tools/list"),
        await client.rpc("nobody", client.tokens["acme"], "tools/list"),
        await client.rpc("acme", "lsk_tenant_aaaaaaaaaaaa_" + "A" * 43, "tools/list"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    told = [answer.text.replace(answer.headers["x-request-id"], "N") for answer in answers]
    bodies = {text.replace("globex", "T").replace("nobody", "T").replace("acme", "T") for text in told}
    assert len(bodies) == 1


async def test_a_revoked_token_is_refused_at_once(client: Client) -> None:
    """The very next call."""
    assert (await client.rpc("acme", client.tokens["acme"], "tools/list")).status_code == 200
    (token,) = await client.serving.app.tokens.list(Tenant("acme"))
    await client.serving.app.tokens.revoke(Tenant("acme"), token.id)
    assert (await client.rpc("acme", client.tokens["acme"], "tools/list")).status_code == 401


async def test_each_tenant_reads_and_writes_its_own(client: Client) -> None:
    """Through the HTTP door."""
    for name in ("acme", "globex"):
        listed = await client.tool(name, "list_tickets")
        assert {row["title"].split()[0] for row in listed["structuredContent"]["result"]} == {name}
        await client.tool(name, "comment_on_ticket", id="1", body=name)
    assert [(org, body["text"]) for org, _id, body in client.tracker.comments] == [
        ("acme", "acme"),
        ("globex", "globex"),
    ]


async def test_answers_say_which_account_they_came_from(client: Client) -> None:
    """With two accounts of one product: in lists, in single things, and where all of a long one is."""
    connector = client.serving.app.catalog.connectors["tracker"]
    (first,) = await client.serving.app.accounts.list(Tenant("acme"))
    second = await client.serving.app.accounts.link(
        Tenant("acme"), connector, secrets={"token": "canary-globex"}, verify=client.serving.app.verifier
    )
    client.tracker.tickets["globex"][6]["subject"] = "word " * 20_000
    for account, org in ((first.id, "acme"), (second.id, "globex")):
        listed = await client.tool("acme", "list_tickets", account=account)
        assert org in listed["structuredContent"]["result"][1]["title"]
        got = await client.tool("acme", "get_ticket", id="7", account=account)
        for shown in (listed, got):
            told = shown["structuredContent"]
            assert (told["account"], told["connector"]) == (account, "tracker")
    assert got["structuredContent"]["truncated"] is True
    uri = f"linkspan://ticket/{second.id}/7"
    assert f"the resource {uri} holds all of it" in got["structuredContent"]["result"]["title"]
    read = await client.rpc("acme", client.tokens["acme"], "resources/read", uri=uri)
    assert read.json()["result"]["contents"][0]["text"].count("word ") >= 19_999


async def test_a_hot_reload_changes_the_list_for_the_next_call(client: Client) -> None:
    """Prepared bytes of the old file are not served again."""
    text = FILE.read_text().replace("List tickets, oldest first", "List every ticket, oldest first")
    path = client.serving.app.settings.home / "tools.yaml"
    path.write_text(text)
    before = (await client.rpc("acme", client.tokens["acme"], "tools/list")).text
    client.serving.replace_catalog(spec.load([path], {}))
    after = (await client.rpc("acme", client.tokens["acme"], "tools/list")).text
    assert "List tickets, oldest first" in before
    assert "List every ticket, oldest first" in after


async def test_health_is_open_and_tells_nothing_of_tenants(client: Client) -> None:
    """For load balancers."""
    assert (await client.http.get("/healthz")).text == "ok\n"
    ready = await client.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    assert "acme" not in ready.text


async def test_what_is_not_there_answers_in_the_one_error_shape(client: Client) -> None:
    """Also outside of MCP."""
    answer = await client.http.get("/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_errors_for_the_model_are_results_with_a_next_step(client: Client) -> None:
    """Always 200 with isError; structured and as text."""
    result = await client.tool("acme", "get_ticket", id="99")
    assert result["isError"] is True
    assert result["content"][0]["text"].startswith("Error: ")
    assert result["structuredContent"]["error"]["code"] == "not_found"
    assert "list_tickets" in result["structuredContent"]["error"]["message"]


async def test_no_page_is_given_under_another_hosts_name(client: Client) -> None:
    """A page in a browser whose name was pointed at loopback reads nothing (DNS rebinding)."""
    for path in ("/", "/static/page.css", "/nothing", "/t/acme/mcp"):
        assert (await client.http.get(path, headers={"Host": "evil.example"})).status_code == 421
        answer = await client.http.get(path, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


async def test_every_page_may_import_the_module_for_products(client: Client) -> None:
    """From an address that stays, as a script; a browser asks again after an hour."""
    answer = await client.http.get("/static/linkspan.js", headers={"Origin": "https://product.example"})
    assert answer.status_code == 200
    expected = {
        "content-type": "text/javascript; charset=utf-8",
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "cache-control": "public, max-age=3600",
        "x-content-type-options": "nosniff",
    }
    assert expected.items() <= answer.headers.items()
    again = await client.http.get("/static/linkspan.js", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    for name in ("connect", "elements", "session"):
        part = await client.http.get(
            f"/static/linkspan/{name}.js", headers={"Origin": "https://product.example"}
        )
        assert expected.items() <= part.headers.items()
    types = await client.http.get("/static/linkspan.d.ts", headers={"Origin": "https://product.example"})
    assert types.headers["content-type"] == "text/plain; charset=utf-8"
    ours = await client.http.get("/static/page.css")
    assert "access-control-allow-origin" not in ours.headers


async def test_the_module_for_products_is_small_as_it_is_sent(client: Client) -> None:
    """With everything that it imports, and whatever that imports: less than 15 kB."""
    sent: dict[str, int] = {}
    left = {"/static/linkspan.js"}
    while left:
        path = left.pop()
        answer = await client.http.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip"), path
        sent[path] = int(answer.headers["content-length"])
        found = re.findall(r'^(?:import|export) .*?from "([^"]+)"', answer.text, re.MULTILINE)
        left |= {urljoin(path, each) for each in found} - sent.keys()
    assert len(sent) == 4
    assert sum(sent.values()) < 15_000, sent


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0"])
async def test_a_script_is_sent_as_it_is_to_whoever_takes_no_gzip(client: Client, taken: str) -> None:
    """The same words, and caches are told what it depends on; a part of it is a part of the words."""
    packed = await client.http.get("/static/linkspan.js", headers={"Accept-Encoding": "gzip;q=0.5"})
    plain = await client.http.get("/static/linkspan.js", headers={"Accept-Encoding": taken})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert (packed.text, packed.headers["vary"]) == (plain.text, plain.headers["vary"])
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    part = await client.http.get("/static/linkspan.js", headers={"Range": "bytes=0-4"})
    assert (part.status_code, part.text) == (206, plain.text[:5])


async def test_a_method_that_is_not_taken_is_told_in_the_one_error_shape(client: Client) -> None:
    """Every error has code, message, status, retry_after and request_id."""
    answer = await client.http.post("/healthz")
    assert answer.status_code == 405
    assert set(answer.json()["error"]) == {"code", "message", "status", "retry_after", "request_id"}


async def test_many_callers_at_once(client: Client) -> None:
    """More than are accepted in one turn, on one port that is free again afterwards."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_server(client.serving, Settings(home=client.serving.app.settings.home, port=port))
    serving = asyncio.create_task(server.serve([listener]))

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nconnection: close\r\n\r\n" % port)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    answers = await asyncio.gather(*(ask() for _ in range(3 * ACCEPTED_AT_ONCE)))
    server.should_exit = True
    await serving
    assert {answer.partition(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    with pytest.raises(ConnectionRefusedError):
        await ask()
