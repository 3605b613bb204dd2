"""`linkspan.client`: what it sends, what it makes of answers, when it tries again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan import errors, spec
from linkspan.app import build
from linkspan.client import Ask, AsyncLinkspan, Linkspan
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker

FILE = Path(__file__).parents[1] / "fakes/tracker.yaml"
FAILED = {"code": "rate_limited", "message": "slow down", "error": {"code": "rate_limited"}, "retry_after": 2}


class Server:
    """Answers with the next of its answers, and keeps what was asked."""

    def __init__(self, *answers: httpx2.Response) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return self.answers.pop(0)


@pytest.fixture
def slept() -> list[float]:
    """The waits of the plain client, which pass at once."""
    return []


def client(server: Server, slept: list[float] | None = None, **more: Any) -> Linkspan:
    """A client of it."""
    waits = slept if slept is not None else []
    transport = httpx2.MockTransport(server)
    return Linkspan("http://linkspan.example", "a-token", transport=transport, sleep=waits.append, **more)


def ok(**body: Any) -> httpx2.Response:
    """A success."""
    return httpx2.Response(200, json=body)


def failed(status: int, *, wait: str | None = None, **body: Any) -> httpx2.Response:
    """A failure in the one shape."""
    headers = {"x-request-id": "r1", **({"retry-after": wait} if wait else {})}
    return httpx2.Response(status, json={**FAILED, **body}, headers=headers)


def test_who_asks_and_for_whom() -> None:
    """The token in its header, account and tenant as parameters, an id encoded whole, booleans as words."""
    server = Server(ok(result={"id": "a/b"}))
    with client(server, account="acc_1", tenant="acme") as linkspan:
        assert linkspan.entities("ticketing/tickets").get("a/b", remote_data=True) == {"id": "a/b"}
    (request,) = server.asked
    assert request.headers["authorization"] == "Bearer a-token"
    assert str(request.url) == (
        "http://linkspan.example/unified/ticketing/tickets/a%2Fb"
        "?integrated_account_id=acc_1&tenant_id=acme&remote_data=true"
    )


def test_lists_are_read_to_their_end() -> None:
    """With the same filters and each page's cursor."""
    pages = [
        ok(result=[{"id": "1"}], next_cursor="c1", is_partial_response=False),
        ok(result=[{"id": "2"}], next_cursor=None, is_partial_response=True),
    ]
    server = Server(*pages)
    with client(server) as linkspan:
        assert [each["id"] for each in linkspan.entities("ticketing/tickets").list(status="todo")] == [
            "1",
            "2",
        ]
    assert [dict(request.url.params) for request in server.asked] == [
        {"status": "todo"},
        {"status": "todo", "next_cursor": "c1"},
    ]


def test_a_refusal_is_waited_for(slept: list[float]) -> None:
    """As long as it says; any request, since nothing was done."""
    server = Server(failed(429, wait="2"), ok(result={"id": "1"}))
    with client(server, slept) as linkspan:
        assert linkspan.entities("x/y").create(title="x") == {"id": "1"}
    assert slept == [2.0]
    assert [json.loads(request.content) for request in server.asked] == [{"title": "x"}] * 2


@pytest.mark.parametrize(
    ("answers", "ask", "kind", "sent"),
    [
        ([failed(429, wait="60")], Ask("GET", "/x"), errors.RateLimited, 1),
        ([failed(429, wait="1", code="quota_exceeded")], Ask("GET", "/x"), errors.QuotaExceeded, 1),
        ([failed(429, wait="1")] * 3, Ask("GET", "/x"), errors.RateLimited, 3),
        ([failed(502, code="upstream_error")], Ask("POST", "/x"), errors.UpstreamError, 1),
        ([failed(502, code="upstream_error")] * 3, Ask("GET", "/x"), errors.UpstreamError, 3),
        (
            [failed(504, code="upstream_timeout")] * 3,
            Ask("POST", "/x", headers={"Idempotency-Key": "k"}),
            errors.UpstreamTimeout,
            3,
        ),
        ([failed(404, code="not_found")], Ask("GET", "/x"), errors.NotFound, 1),
        ([failed(409, code="needs_reauth")], Ask("GET", "/x"), errors.NeedsReauth, 1),
        ([failed(418, code="a_new_one")], Ask("GET", "/x"), errors.UpstreamError, 1),
        ([httpx2.Response(502, text="<html>")] * 3, Ask("GET", "/x"), errors.UpstreamError, 3),
    ],
)
def test_failures_are_errors_of_the_one_tree(
    answers: list[httpx2.Response],
    ask: Ask,
    kind: type[errors.LinkspanError],
    sent: int,
    slept: list[float],
) -> None:
    """Tried again where that is safe and worth it, and no more than three times."""
    server = Server(*answers)
    with client(server, slept) as linkspan, pytest.raises(kind) as told:
        linkspan.data(ask)
    assert type(told.value) is kind
    assert (len(server.asked), len(slept)) == (sent, sent - 1)


def test_an_error_says_all_that_was_told() -> None:
    """Its message, when to come back, the request's id, the product's words and status."""
    raw = {"error": {"message": "no"}}
    server = Server(failed(429, wait="99", is_remote_error=True, raw_response=raw))
    with client(server) as linkspan, pytest.raises(errors.RateLimited) as told:
        linkspan.proxy("desk").get("/tickets")
    error = told.value
    assert (error.message, error.retry_after, error.request_id) == ("slow down", 2, "r1")
    assert (error.raw_response, error.upstream_status) == (raw, 429)


def stream(*events: str) -> httpx2.Response:
    """Server-sent events."""
    return httpx2.Response(200, text="".join(events), headers={"content-type": "text/event-stream"})


def test_events_go_on_where_they_were_lost(slept: list[float]) -> None:
    """After the last that was seen, to the run's end."""
    begun = stream('id: 1\nevent: started\ndata: {"a": 1}\n\n', "id: 2\nevent: said\n")
    rest = stream(
        'id: 2\nevent: said\ndata: {"a":\ndata: 2}\n\n', 'event: end\ndata: {"state": "succeeded"}\n\n'
    )
    server = Server(begun, rest)
    with client(server, slept) as linkspan:
        found = list(linkspan.runs.events("run_1"))
    assert [(event.kind, event.seq) for event in found] == [("started", 1), ("said", 2), ("end", None)]
    assert found[1].data == {"a": 2}
    assert [request.url.params["after"] for request in server.asked] == ["0", "1"]
    assert slept == [1]


async def test_the_async_client_against_linkspan(tmp_path: Path) -> None:
    """Entities and what is done with them, the proxy, a batch and what fails, over the real API."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(Tracker().app()),
        random=os.urandom,
    )
    try:
        tenant = await app.tenants.add("acme")
        connector = app.catalog.connectors["tracker"]
        account = await app.accounts.link(tenant, connector, secrets={"token": "canary-acme"})
        token = (await app.tokens.create(tenant, subject="backend")).text.reveal()
        transport = httpx2.ASGITransport(app=Serving(app).asgi)
        async with AsyncLinkspan("http://127.0.0.1:8640", token, transport=transport) as linkspan:
            kind = "ticketing/tickets"
            assert len([each async for each in linkspan.list(kind, limit=3)]) == 7
            page = await linkspan.page(kind, limit=2)
            assert len(page.result) == 2
            assert (page.account, page.connector) == (account.id, "tracker")
            made = await linkspan.create(kind, title="x", idempotency_key="k1")
            assert await linkspan.create(kind, title="x", idempotency_key="k1") == made
            changed = await linkspan.update(kind, made["id"], status="done")
            assert (await linkspan.get(kind, made["id"]))["status"] == changed["status"] == "done"
            said = await linkspan.do(kind, "comment", made["id"], body="x", idempotency_key="k2")
            assert said == await linkspan.do(kind, "comment", made["id"], body="x", idempotency_key="k2")
            assert (await linkspan.proxy("tracker", "GET", "/tickets/1")).json()["ticket"]["id"] == 1
            found = await linkspan.batch(
                {"resource": "tickets", "method": "get", "id": "{{args.id}}"}, id="1"
            )
            assert (found.result["tickets"][0]["id"], found.errors) == ("1", {})
            with pytest.raises(errors.NotFound):
                await linkspan.get(kind, "99")
            with pytest.raises(errors.InvalidArgument) as told:
                await linkspan.create(kind)
            assert told.value.details
        answers = [ok(result={"id": "run_1"}), ok(result={"id": "a/b"}), ok(result=[{"id": "1"}])]
        server = Server(failed(429, wait="3"), *answers)
        mocked = httpx2.MockTransport(server)
        async with AsyncLinkspan("http://x.example", token, transport=mocked, sleep=sleep) as linkspan:
            assert await linkspan.run("run_1") == {"id": "run_1"}
            assert await linkspan.delete(kind, "a/b") == {"id": "a/b"}
            assert await linkspan.do(kind, "search", query="soup") == [{"id": "1"}]
        asked = [(each.method, each.url.raw_path.decode()) for each in server.asked[2:]]
        assert asked == [("DELETE", f"/unified/{kind}/a%2Fb"), ("POST", f"/unified/{kind}/search")]
        assert json.loads(server.asked[-1].content) == {"query": "soup"}
        assert waits == [3.0]
    finally:
        await app.aclose()
