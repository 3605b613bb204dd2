"""Streams passed on in the name of an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from linkspan import errors
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.relay import Relay, incoming_headers, outgoing_headers
from linkspan.net.messages import Response, StreamingTransport
from linkspan.net.pacing import Paces
from linkspan.settings import Settings
from linkspan.store.audit import AuditFilter, AuditRow, find
from linkspan.wire import Passing
from tests.fakes.asgi import AsgiTransport
from tests.fakes.authority import Authority
from tests.fakes.cloud import Time, load
from tests.gateway.conftest import Bench
from tests.gateway.test_renewal import Bench as Renewing

ACME = Tenant("acme")
RUN = Principal(ACME, "run", "run_1", scopes=())
INFO = CallInfo("req-1", via="run")


@pytest.fixture
async def renewing(tmp_path: Path) -> AsyncIterator[Renewing]:
    """A product whose access tokens end."""
    clock = Time()
    authority = Authority(clock)
    transport = AsgiTransport(authority.app())
    app = await build(Settings(home=tmp_path), catalog=load(), transport=transport, clock=clock)
    await app.tenants.add(ACME)
    yield Renewing(app, authority, clock)
    await app.aclose()


def relay_of(app: App, transport: StreamingTransport) -> Relay:
    """Answer a relay over an open application."""
    return Relay(
        lambda: app.catalog, app.accounts, transport, audit=app.audit, paces=Paces(), clock=lambda: 5.0
    )


async def ask(relay: Relay, connector: str, passing: Passing) -> Response:
    """Pass a request on, and read the whole answer."""
    async with relay.open(RUN, connector, passing, info=INFO, name="pass") as answer:
        return await answer.read(10_000)


async def rows(app: App) -> list[AuditRow]:
    """The audit rows of what was passed on."""
    await app.audit.flush()
    return [entry.row for entry in await find(app.database, ACME, AuditFilter(tool="pass"))]


async def test_it_goes_below_the_base_url_with_the_accounts_credential(bench: Bench) -> None:
    """And leaves an audit row."""
    relay = relay_of(bench.app, bench.transport)
    passing = Passing("GET", "/tickets", "limit=2", outgoing_headers({"authorization": "Bearer ours"}))
    answer = await ask(relay, "tracker", passing)
    assert answer.status == 200
    (sent,) = bench.transport.sent
    assert sent.url == "http://tracker.example/api/tickets?limit=2"
    assert sent.headers["Authorization"] == "Bearer canary-acme"
    assert "authorization" not in sent.headers
    (row,) = await rows(bench.app)
    assert (row.principal_subject, row.connector, row.upstream_status, row.outcome) == (
        "run_1",
        "tracker",
        200,
        "ok",
    )


@pytest.mark.parametrize(
    "path",
    [
        *("/../admin", "/a/%2e%2e/b", "tickets", "/a b", "/a?x=1", "//evil.example/"),
        *("/a/..%2fadmin", "/a%2F..", "/a/.%2E%5cadmin", "/a/..;/admin", "/a/..;x=1", "/a/..%3b/admin"),
        *("/a/%252e%252e%252fadmin", "/a/..%5Cadmin", "/./a"),
    ],
)
async def test_a_path_leads_nowhere_else(bench: Bench, path: str) -> None:
    """Nothing is sent, or it stays below the base URL; so for servers that decode before they resolve."""
    relay = relay_of(bench.app, bench.transport)
    if path == "//evil.example/":
        await ask(relay, "tracker", Passing("GET", path))
        assert bench.transport.sent[-1].url == "http://tracker.example/api//evil.example/"
        return
    with pytest.raises(errors.InvalidArgument):
        await ask(relay, "tracker", Passing("GET", path))
    assert bench.transport.sent == []
    assert [row.outcome for row in await rows(bench.app)] == ["invalid_argument"]


async def test_dots_that_lead_nowhere_are_passed_on(bench: Bench) -> None:
    """Ranges of commits, hidden folders, groups of projects and names that end with dots."""
    relay = relay_of(bench.app, bench.transport)
    for path in ("/main...dev", "/.github%2fworkflows", "/group%2Fname", "/a../b", "/...", "/..a;x=1/b"):
        await ask(relay, "tracker", Passing("GET", path))
        assert bench.transport.sent[-1].url == f"http://tracker.example/api{path}"


async def test_a_connector_that_is_not_there(bench: Bench) -> None:
    """Is told with what to do."""
    with pytest.raises(errors.NotLinked, match="no connector 'openai'") as told:
        await ask(relay_of(bench.app, bench.transport), "openai", Passing("GET", "/x"))
    assert told.value.hint is not None


async def test_a_sandbox_account_only_reads(bench: Bench) -> None:
    """As everywhere."""
    account = await bench.account("acme")
    connector = bench.app.catalog.connectors["tracker"]
    secrets = {"token": "canary-acme"}
    await bench.app.accounts.link(ACME, connector, secrets=secrets, account=account.id, sandbox=True)
    relay = relay_of(bench.app, bench.transport)
    assert (await ask(relay, "tracker", Passing("GET", "/tickets"))).status == 200
    with pytest.raises(errors.Forbidden, match="sandbox"):
        await ask(relay, "tracker", Passing("POST", "/tickets", body=b"{}"))


async def test_a_refusal_keeps_the_credential_to_itself(bench: Bench) -> None:
    """A product that sends it back, in its error, does not tell it; the account notes a 403."""
    bench.tracker.faults.append(JSONResponse({"error": {"message": "canary-acme may not"}}, 403))
    answer = await ask(relay_of(bench.app, bench.transport), "tracker", Passing("GET", "/tickets"))
    assert answer.status == 403
    assert b"canary-acme" not in answer.body
    assert b"may not" in answer.body
    noted = (await bench.account("acme")).last_error
    assert "may not" in noted
    assert "canary-acme" not in noted


async def test_a_tenants_streams_are_bounded_and_its_runs_have_theirs(bench: Bench) -> None:
    """Who finds no room is told; other tenants, and the runs, do not see it; what ends makes room again."""
    tracked, app = bench.app.catalog.connectors["tracker"], bench.app
    hasty = replace(app.catalog, connectors={"tracker": replace(tracked, rate_budget=0.0)})
    relay = Relay(
        lambda: hasty, app.accounts, bench.transport,
        audit=app.audit, paces=Paces(), clock=lambda: 5.0, most_open=2,
    )  # fmt: skip
    backend, passing = Principal(ACME, "service", "backend"), Passing("GET", "/tickets")
    other, run = Principal(Tenant("globex"), "service", "backend"), RUN
    info = CallInfo("req-1", via="rest")

    async def hold(stack: AsyncExitStack, principal: Principal) -> int:
        opening = relay.open(principal, "tracker", passing, info=info, name="pass")
        return (await stack.enter_async_context(opening)).status

    async with AsyncExitStack() as stack:
        assert [await hold(stack, backend) for _ in range(2)] == [200, 200]
        sent = len(bench.transport.sent)
        with pytest.raises(errors.RateLimited, match="tenant acme have 2 requests open") as told:
            await hold(stack, Principal(ACME, "person", "anna"))
        assert (told.value.retry_after, len(bench.transport.sent)) == (1.0, sent)
        assert [await hold(stack, who) for who in (other, other, run)] == [200] * 3
        for _ in range(3):
            with pytest.raises(errors.InvalidArgument):  # what fails to open keeps no room
                await ask(relay, "tracker", Passing("GET", "tickets"))
        assert await hold(stack, run) == 200
        with pytest.raises(errors.RateLimited, match="the runs of tenant acme"):
            await hold(stack, run)
    async with AsyncExitStack() as stack:
        assert [await hold(stack, backend) for _ in range(2)] == [200, 200]
    outcomes = [row.outcome for row in await rows(app)]
    assert (outcomes.count("rate_limited"), outcomes.count("ok")) == (2, 6)


async def test_what_finds_no_room_is_not_counted_against_the_product(bench: Bench) -> None:
    """It was not sent: what the product said is left is still left."""
    app = bench.app
    tracker = replace(app.catalog.connectors["tracker"], rate_budget=0.0)
    hasty = replace(app.catalog, connectors={"tracker": tracker})
    relay = Relay(
        lambda: hasty, app.accounts, bench.transport,
        audit=app.audit, paces=Paces(), clock=lambda: 5.0, most_open=1,
    )  # fmt: skip
    passing = Passing("GET", "/tickets")
    left = {"x-ratelimit-limit": "9", "x-ratelimit-remaining": "2", "x-ratelimit-reset": "60"}
    bench.tracker.faults.append(JSONResponse({"tickets": []}, 200, left))
    async with relay.open(RUN, "tracker", passing, info=INFO, name="pass"):
        for _ in range(3):
            with pytest.raises(errors.RateLimited, match="have 1 requests open"):
                await ask(relay, "tracker", passing)
    assert (await ask(relay, "tracker", passing)).status == 200


async def test_who_stops_waiting_for_a_stream_takes_no_room(bench: Bench) -> None:
    """Nor does who is cancelled with one open; and who waits gets the next that ends."""
    app, opened = bench.app, asyncio.Event()
    relay = Relay(
        lambda: app.catalog, app.accounts, bench.transport,
        audit=app.audit, paces=Paces(), clock=lambda: 5.0, most_open=1,
    )  # fmt: skip
    passing = Passing("GET", "/tickets")

    async def hold() -> None:
        async with relay.open(RUN, "tracker", passing, info=INFO, name="pass"):
            opened.set()
            await asyncio.Event().wait()

    holds = asyncio.create_task(hold())
    await opened.wait()
    gives_up, waits = [asyncio.create_task(ask(relay, "tracker", passing)) for _ in range(2)]
    done, _ = await asyncio.wait({gives_up, waits}, timeout=0.05)
    assert (done, len(bench.transport.sent)) == (set(), 1)
    gives_up.cancel()
    holds.cancel()
    assert (await waits).status == 200
    assert (await ask(relay, "tracker", passing)).status == 200
    assert [type(each) for each in await asyncio.gather(holds, gives_up, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 2


async def test_an_access_token_is_renewed_and_sent_once_more(renewing: Renewing) -> None:
    """Where the body is here; where it has gone by, the caller is asked to send it again."""
    await renewing.link()
    relay = relay_of(renewing.app, AsgiTransport(renewing.authority.app()))
    renewing.authority.end_access()
    assert (await ask(relay, "cloud", Passing("GET", "/tickets"))).status == 200
    assert renewing.authority.refreshes == 1

    async def body() -> AsyncIterator[bytes]:
        yield b'{"subject": "x"}'

    renewing.authority.end_access()
    with pytest.raises(errors.UpstreamError, match="renewed"):
        await ask(relay, "cloud", Passing("POST", "/tickets", content=body()))
    assert (await renewing.only()).state == "active"


def test_only_what_is_on_the_list_passes() -> None:
    """Cookies, hop-by-hop headers and what tells of our callers stay."""
    headers = {
        "cookie": "a",
        "connection": "close",
        "x-forwarded-for": "10.0.0.1",
        "host": "us",
        "accept": "text/event-stream",
        "x-vendor-thing": "1",
        "accept-encoding": "gzip",
    }
    assert outgoing_headers(headers) == {"accept": "text/event-stream", "accept-encoding": "identity"}
    assert "x-vendor-thing" in outgoing_headers(headers, ("x-vendor-",))
    of_parts = {
        "range": "bytes=5-",
        "if-range": '"1"',
        "if-unmodified-since": "x",
        "content-range": "bytes 0-1/2",
    }
    of_content = {"content-disposition": "x", "content-language": "de", "content-md5": "x"}
    passed = {**of_parts, **of_content}
    assert passed.items() <= outgoing_headers(passed).items()
    named = outgoing_headers({"content-disposition": "日".encode().decode("latin-1"), "prefer": "\xe9"})
    assert (named["content-disposition"], named["prefer"]) == ("日", "\xe9")
    answered = {
        "set-cookie": "a",
        "transfer-encoding": "chunked",
        "server": "x",
        "x-ratelimit-reset-tokens": "6ms",
        "x-rate-limit": "9",
        "content-type": "text/plain",
        "content-location": "/a",
        "retry-after": "3",
    }
    assert set(incoming_headers(answered)) == {
        "content-location",
        "x-ratelimit-reset-tokens",
        "x-rate-limit",
        "content-type",
        "retry-after",
    }
