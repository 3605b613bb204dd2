"""The proxy: what goes through, as whom, and how what fails is told."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from linkspan.settings import CallLimits
from tests.fakes.tracker import too_many
from tests.net.test_limits import NOW, SAMPLES
from tests.web.data.conftest import Desk

UNIFIED = "/unified/ticketing/tickets/1"


async def test_a_request_goes_through_as_it_came(desk: Desk) -> None:
    """Method, path, parameters and body; the credential is the account's, and our own word is not sent."""
    answer = await desk.data(
        "GET", f"/proxy/tracker/tickets?integrated_account_id={desk.accounts['acme']}&limit=2&x=a%2Fb+c"
    )
    assert [ticket["subject"] for ticket in answer["tickets"]] == ["acme ticket 1", "acme ticket 2"]
    sent = desk.transport.sent[-1]
    assert sent.url == "http://tracker.example/api/tickets?limit=2&x=a%2Fb+c"
    assert sent.headers["Authorization"] == "Bearer canary-acme"
    made = await desk("POST", "/proxy/tracker/tickets", json={"subject": "Ünder"}, headers={"cookie": "a=b"})
    assert made.status_code == 201
    assert made.json()["ticket"]["subject"] == "Ünder"
    assert "cookie" not in desk.transport.sent[-1].headers
    encoded = await desk("GET", "/proxy/tracker/tickets/a%2Fb%20c")
    assert encoded.status_code == 404
    assert desk.transport.sent[-1].url.endswith("/api/tickets/a%2Fb%20c")


async def test_an_audit_row_says_who_did_what(desk: Desk) -> None:
    """Never with a value: parameters and bodies are not in it. Of a write it is there before the answer."""
    made = await desk("POST", "/proxy/tracker/tickets?secret=word", json={"subject": "x"})
    (row,) = await desk.rows(tool="proxy_post")
    assert (row.principal_subject, row.via, row.connector, row.account) == (
        "backend", "rest", "tracker", desk.accounts["acme"],
    )  # fmt: skip
    assert (row.entity_id, row.outcome, row.upstream_status) == ("/tickets", "ok", 201)
    assert row.request_id == made.headers["x-request-id"]
    assert "word" not in str(row)


async def test_who_may(desk: Desk) -> None:
    """No token, a wrong one, one that only reads, one for another thing, one of an account, an admin key."""
    account = desk.accounts["acme"]
    assert (await desk.failure(401, "GET", "/proxy/tracker/tickets", key=None))["code"] == "unauthenticated"
    assert (await desk.failure(401, "GET", "/proxy/tracker/me", key="x"))["is_remote_error"] is False
    reader = await desk.token(scopes=["read"])
    assert (await desk("GET", "/proxy/tracker/me", key=reader)).status_code == 200
    told = await desk.failure(403, "POST", "/proxy/tracker/tickets", key=reader, json={})
    assert "proxy.tracker" in told["error"]["message"]
    narrow = await desk.token(scopes=["proxy.tracker"])
    assert (await desk("POST", "/proxy/tracker/tickets", key=narrow, json={})).status_code == 201
    other = await desk.token(scopes=["ticket.list"])
    await desk.failure(403, "GET", "/proxy/tracker/me", key=other)
    of_account = await desk.token(account=account)
    assert (await desk("GET", "/proxy/tracker/me", key=of_account)).status_code == 200
    assert (await desk("GET", "/custom/me", key=of_account)).json()["id"] == "acme"
    foreign = f"integrated_account_id={desk.accounts['globex']}"
    await desk.failure(404, "GET", f"/proxy/tracker/me?{foreign}", key=of_account)
    await desk.failure(404, "GET", f"/proxy/tracker/me?{foreign}")
    assert (await desk("GET", f"/proxy/tracker/me?{foreign}", key=desk.admin)).json()["id"] == "globex"
    assert (await desk("GET", "/proxy/tracker/me?tenant_id=acme", key=desk.admin)).json()["id"] == "acme"
    assert "tenant_id" not in desk.transport.sent[-1].url
    await desk.failure(400, "GET", "/proxy/tracker/me", key=desk.admin)
    assert (await desk("GET", f"/custom/me?integrated_account_id={account}")).json()["id"] == "acme"
    await desk.failure(400, "GET", "/custom/me")
    assert (await desk.failure(404, "GET", "/proxy/nowhere/me"))["error"]["code"] == "not_found"


async def test_what_has_not_changed_has_no_length(desk: Desk) -> None:
    """A product may say that of the body which does not come; a server would wait for it and break off."""
    desk.tracker.faults.append(Response(status_code=304, headers={"content-length": "5", "etag": '"1"'}))
    answer = await desk("GET", "/proxy/tracker/me", headers={"if-none-match": '"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (304, '"1"')
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("desk", [CallLimits(streams=1)], indirect=True)
async def test_what_one_tenant_holds_open_is_not_taken_from_others(desk: Desk) -> None:
    """Its own next request waits for one of them to end; another tenant's does not."""
    begun, ended = asyncio.Event(), asyncio.Event()

    class Held(PlainTextResponse):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await ended.wait()
            await super().__call__(scope, receive, send)

    desk.transport.sent.clear()
    desk.tracker.faults.append(Held("slow"))
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(desk("GET", "/proxy/tracker/me"))
        await begun.wait()
        waits = tasks.create_task(desk("GET", "/proxy/tracker/me"))
        assert (await desk("GET", "/proxy/tracker/me", key="globex")).json()["id"] == "globex"
        assert len(desk.transport.sent) == 2
        ended.set()
    assert held.result().text == "slow"
    assert waits.result().json()["id"] == "acme"


@pytest.mark.parametrize("path", ["/tickets/../../x", "/%2e%2e/x", "/a\\b"])
async def test_a_path_leads_nowhere_else(desk: Desk, path: str) -> None:
    """It stays below the connector's base URL."""
    desk.transport.sent.clear()
    answer = await desk("GET", f"/proxy/tracker{path}")
    assert answer.status_code in (400, 404)
    assert all(sent.url.startswith("http://tracker.example/api/") for sent in desk.transport.sent)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_argument"),
        (403, "forbidden"),
        (404, "not_found"),
        (409, "conflict"),
        (410, "not_found"),
        (413, "too_large"),
        (418, "upstream_error"),
        (422, "invalid_argument"),
        (429, "rate_limited"),
        (500, "upstream_error"),
        (503, "upstream_error"),
        (504, "upstream_timeout"),
    ],
)
async def test_what_a_product_refuses_is_told_in_one_shape(desk: Desk, status: int, code: str) -> None:
    """With its own status and words, and as the product's."""
    said = {"error": {"message": "so it is", "type": "kind_of", "param": "x", "code": "its_code"}}
    desk.tracker.faults.append(JSONResponse(said, status))
    told = await desk.failure(status, "GET", "/proxy/tracker/tickets")
    assert told["code"] == code
    assert told["is_remote_error"] is told["truto_is_remote_error"] is True
    assert told["raw_response"] == said
    assert (told["error"]["code"], told["error"]["type"]) == ("its_code", "kind_of")
    assert "so it is" in told["message"]
    assert (await desk.rows())[0].outcome == code


async def test_a_credential_that_is_refused(desk: Desk) -> None:
    """Is 401 as the product said, and the account needs to be linked again."""
    desk.tracker.tokens.clear()
    told = await desk.failure(401, "GET", "/proxy/tracker/tickets")
    assert (told["code"], told["is_remote_error"]) == ("needs_reauth", True)
    assert told["raw_response"] == {"error": {"message": "bad token"}}
    told = await desk.failure(409, "GET", "/proxy/tracker/tickets")
    assert (told["code"], told["is_remote_error"]) == ("needs_reauth", False)


async def test_words_of_a_product_that_says_its_errors_otherwise(desk: Desk) -> None:
    """Stand in `raw_response`; `error` is ours."""
    desk.tracker.faults.append(JSONResponse({"message": "no", "errors": [{"code": 7}]}, 400))
    told = await desk.failure(400, "GET", "/proxy/tracker/tickets")
    assert told["error"]["code"] == "invalid_argument"
    desk.tracker.faults.append(PlainTextResponse("gone fishing", 500))
    assert (await desk.failure(500, "GET", "/proxy/tracker/tickets"))["raw_response"] == "gone fishing"


async def test_a_refusal_for_its_rate_says_when(desk: Desk) -> None:
    """In all the forms that there are, and if it says nothing, too."""
    desk.tracker.faults.append(too_many("7"))
    assert (await desk.failure(429, "GET", "/proxy/tracker/tickets"))["retry_after"] == 7
    desk.now[0] += 7
    later = desk.now[0] + 60
    desk.tracker.faults.append(JSONResponse({}, 429, headers={"x-ratelimit-reset": f"{later:.0f}"}))
    told = await desk.failure(429, "GET", "/proxy/tracker/tickets")
    assert told["retry_after"] == 60
    assert told["insight"]["rate_limit_error"]["value"] == {"retry_after": 60}
    sent = len(desk.transport.sent)
    again = await desk.failure(429, "GET", "/proxy/tracker/tickets/1")
    assert (again["is_remote_error"], len(desk.transport.sent)) == (False, sent)
    assert 55 < again["retry_after"] <= 60.1
    desk.now[0] += 60
    desk.tracker.faults.append(too_many(None))
    assert (await desk.failure(429, "GET", "/proxy/tracker/tickets"))["retry_after"] == 30


async def test_only_headers_on_the_list_come_back(desk: Desk) -> None:
    """The product's own request id under another name; its limits in three headers too."""
    headers = {
        "Set-Cookie": "a=b",
        "Server": "x",
        "X-Request-Id": "theirs",
        "ETag": '"1"',
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "7",
        "X-RateLimit-Reset": f"{desk.now[0] + 12.5}",
    }
    desk.tracker.faults.append(Response(b"\x00\x01", 200, headers, "application/octet-stream"))
    answer = await desk("GET", "/proxy/tracker/file", headers={"X-Request-Id": "mine-1"})
    assert answer.status_code == 404  # the tracker has no such path, and took no fault for it
    answer = await desk("GET", "/proxy/tracker/tickets", headers={"X-Request-Id": "mine-1"})
    assert answer.content == b"\x00\x01"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-remote-request-id"] == "theirs"
    assert answer.headers["etag"] == '"1"'
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers
    limits = [answer.headers[f"ratelimit-{word}"] for word in ("limit", "remaining", "reset")]
    assert limits == ["100", "7", "13"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_a_list_in_our_shape(desk: Desk) -> None:
    """With `truto_response_format=normalized`: pages go on by a cursor of ours, whatever the product's."""
    path = "/proxy/tracker/tickets?truto_response_format=normalized&limit=3"
    first = await desk.data("GET", path)
    assert [ticket["id"] for ticket in first["result"]] == [1, 2, 3]
    assert (first["result_count"], first["is_partial_response"], first["prev_cursor"]) == (3, False, None)
    rest = await desk.data("GET", f"{path}&next_cursor={first['next_cursor']}")
    assert [ticket["id"] for ticket in rest["result"]] == [4, 5, 6]
    last = await desk.data("GET", f"{path}&next_cursor={rest['next_cursor']}")
    assert (len(last["result"]), last["next_cursor"]) == (1, None)
    one = await desk.data("GET", "/proxy/tracker/tickets/1?truto_response_format=normalized")
    assert one["result"]["ticket"]["id"] == 1
    told = await desk.failure(400, "GET", f"{path}&next_cursor={first['next_cursor']}", key="globex")
    assert told["error"]["details"][0]["path"] == "next_cursor"


@pytest.mark.parametrize("desk", [CallLimits(token=2)], indirect=True)
async def test_limits_of_ours(desk: Desk) -> None:
    """A token over its number is told when to come back, nothing is sent, and others go on."""
    for _ in range(2):
        await desk.data("GET", "/proxy/tracker/me")
    sent = len(desk.transport.sent)
    told = await desk.failure(429, "GET", "/proxy/tracker/me")
    assert (told["code"], told["is_remote_error"]) == ("rate_limited", False)
    assert len(desk.transport.sent) == sent
    assert (await desk("GET", "/proxy/tracker/me", key=await desk.token())).status_code == 200


async def test_everything_has_a_request_id(desk: Desk) -> None:
    """By every door, once, and the caller's own; what is not there and what may not come in, too."""
    mcp, metadata = "/t/acme/mcp", "/.well-known/oauth-protected-resource"
    evil = {"Origin": "https://evil.example"}
    for path, headers, status in (
        ("/nothing", {}, 404),
        ("/tenant", {}, 401),
        ("/tenant", evil, 403),
        ("/tenant", {"Host": "evil.example"}, 421),
        ("/unified/ticketing/tickets", {}, 200),
        ("/proxy/tracker/none", {}, 404),
        (mcp, {}, 405),
        (mcp, evil, 403),
        ("/t/globex/mcp", {}, 401),
        (f"{metadata}{mcp}", {}, 200),
        (f"{metadata}/t/A/mcp", {}, 404),
        ("/openapi.json", {}, 200),
        ("/readyz", {}, 200),
        ("/healthz", {}, 200),
        ("/static/linkspan.js", {}, 200),
        ("/console", {}, 303),
        ("/connect-account", {}, 200),
        ("/hooks/x", {}, 401),
        ("/t/acme/views/x", {}, 401),
    ):
        for own in ("", "mine-1"):
            answer = await desk("GET", path, headers={**headers, **({"X-Request-Id": own} if own else {})})
            assert answer.status_code == status, (path, answer.status_code, answer.text[:200])
            (number,) = answer.headers.get_list("x-request-id")
            assert number == own or (not own and len(number) == 32)
            if status >= 400:
                assert answer.json()["error"]["request_id"] == number


async def test_a_call_over_mcp_has_the_id_of_its_request(desk: Desk) -> None:
    """In the log and in the error, and the answer says it; each call of a batch has it."""
    headers = {"Accept": "application/json", "X-Request-Id": "mine-1"}
    calls = [
        {
            "jsonrpc": "2.0",
            "id": name,
            "method": "tools/call",
            "params": {"name": name, "arguments": {"id": "99"}},
        }
        for name in ("get_ticket", "nothing")
    ]
    for body in (*calls, calls):
        answer = await desk("POST", "/t/acme/mcp", json=body, headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        told = answer.json()
        for one in told if isinstance(told, list) else [told]:
            assert one["result"]["structuredContent"]["error"]["request_id"] == "mine-1"
    rows = await desk.rows(request_id="mine-1")
    assert [row.tool for row in rows] == ["get_ticket"] * 2
    answer = await desk("POST", "/t/acme/mcp", json=calls[0], headers={"X-Request-Id": "a b"})
    (row, *_) = await desk.rows()
    assert len(row.request_id) == 32
    assert row.request_id == answer.headers["x-request-id"]


async def test_a_method_that_is_none(desk: Desk) -> None:
    """Is told; nothing is sent."""
    desk.transport.sent.clear()
    await desk.failure(400, "TRACE", "/proxy/tracker/me")
    assert desk.transport.sent == []


async def test_every_product_s_headers_come_out_in_one_shape(desk: Desk) -> None:
    """What products really send about their limits, by both doors; and each refusal as the same error."""
    desk.now[0] = NOW
    words = ("limit", "remaining", "reset")
    key = await desk.token(subject="sampler")
    for name, headers, limit in SAMPLES:
        path = "/proxy/tracker/tickets"
        desk.ahead[0] += 90_000
        said = {**headers, "date": "Wed, 18 Nov 2026 11:06:40 GMT"}
        desk.tracker.faults.append(JSONResponse({"tickets": []}, 200, said))
        answer = await desk("GET", path, key=key)
        assert answer.status_code == 200, answer.text
        told = [answer.headers.get(f"ratelimit-{word}") for word in words]
        if limit is None:
            assert told == [headers.get(f"ratelimit-{word}") for word in words], name
        else:
            reset = None if limit.reset_at is None else math.ceil(limit.reset_at - NOW)
            expected = (limit.limit, limit.remaining, reset)
            assert told == [None if word is None else str(word) for word in expected], name
        for where, status in ((path, 429), (UNIFIED, 429), (UNIFIED, 404)):
            desk.ahead[0] += 90_000
            desk.tracker.faults.append(JSONResponse({}, status, {**said, "retry-after": "30"}))
            refused = await desk("GET", where, key=key)
            assert refused.status_code == status, refused.text
            assert status != 429 or refused.json()["code"] == "rate_limited", name
            assert status != 429 or refused.json()["retry_after"] == 30, name
            if limit is not None:
                assert [refused.headers.get(f"ratelimit-{word}") for word in words] == told, (name, where)


@pytest.mark.parametrize("word", ["dry_run=true", "bogus=1", "exclude_fields=id", "response_format=unified"])
async def test_a_word_of_ours_that_would_not_be_heeded(desk: Desk, word: str) -> None:
    """Is told, and nothing is sent, least of all what was to be shown; other words are the product's."""
    before = len(desk.tracker.tickets["acme"])
    told = await desk.failure(400, "POST", f"/proxy/tracker/tickets?truto_{word}", json={"subject": "x"})
    assert told["error"]["details"][0]["path"] == f"truto_{word.partition('=')[0]}"
    assert "nothing was sent" in told["message"]
    assert len(desk.tracker.tickets["acme"]) == before
    assert desk.transport.sent == []
    await desk.data("GET", "/proxy/tracker/me?dry_run=true&truto_ignore_limit=true&truto_response_format=raw")
    assert desk.transport.sent[-1].url == "http://tracker.example/api/me?dry_run=true"


async def test_a_product_may_think_as_long_as_its_own_client_waits(desk: Desk) -> None:
    """Ten minutes, as OpenAI's does; who repeats the request meanwhile gets the one answer."""
    desk.tracker.faults.append(0.3)
    asked: dict[str, Any] = {"json": {"subject": "x"}, "headers": {"Idempotency-Key": "one"}}
    first = asyncio.create_task(desk("POST", "/proxy/tracker/tickets", **asked))
    await desk.transport.began.wait()
    desk.now[0] += 600
    again = await desk("POST", "/proxy/tracker/tickets", **asked)
    assert (again.status_code, again.content) == (201, (await first).content)
    ((timeout, idle),) = desk.transport.waits
    assert min(timeout, idle) > 600


async def test_headers_are_the_same_bytes_on_both_sides(desk: Desk) -> None:
    """A file's name in UTF-8, asked for and answered."""
    said = 'attachment; filename="日本.pdf"'.encode()
    faulty = Response(b"x")
    faulty.raw_headers.append((b"content-disposition", said))
    faulty.raw_headers.append((b"content-location", b"/files/1"))
    desk.tracker.faults.append(faulty)
    answer = await desk("POST", "/proxy/tracker/tickets", headers={"Content-Disposition": said}, json={})
    assert answer.status_code == 200
    assert (b"content-disposition", said) in answer.headers.raw
    assert answer.headers["content-location"] == "/files/1"


async def test_a_credential_in_an_address_that_is_answered_stays_here(desk: Desk) -> None:
    """As of a next page, or of a redirect, where the product takes its key as a parameter."""
    there = "https://tracker.example/api/tickets?key=canary-acme&page=2"
    for status, name in ((200, "link"), (302, "location")):
        desk.tracker.faults.append(Response(b"x", status, {name: there}))
        answer = await desk("GET", "/proxy/tracker/tickets")
        assert answer.status_code == status
        assert answer.headers[name] == there.replace("canary-acme", "[credential]")


async def test_addresses_below_the_doors_that_lead_nowhere(desk: Desk) -> None:
    """Are told in the one shape, and nothing is sent; so of a door without a word behind it."""
    for path, status in (
        *(("/proxy", 404), ("/proxy/", 404), ("/unified", 404), ("/unified/ticketing", 404)),
        *(("/batch-request/x", 404), ("/proxies/tracker", 404), ("/custom", 400)),
    ):
        told = await desk.failure(status, "POST", path, json={})
        assert "Error" in told["error"]["message"], path
    assert desk.transport.sent == []
