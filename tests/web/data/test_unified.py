"""Entities over REST, and Truto's parameters under both names."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.responses import JSONResponse

from linkspan.accounts.principal import Tenant
from tests.fakes.tracker import too_many
from tests.web.data.conftest import Desk

TICKETS = "/unified/ticketing/tickets"
WHOSE = {"integrated_account_id", "integration"}
LIST = {"result", "next_cursor", "prev_cursor", "result_count", "is_partial_response"} | WHOSE


async def test_a_list_goes_on_to_its_end(desk: Desk) -> None:
    """In one shape, by `next_cursor` and `limit`, filtered in the model's words."""
    account = f"integrated_account_id={desk.accounts['acme']}"
    page = await desk.data("GET", f"{TICKETS}?{account}&limit=3")
    assert set(page) == LIST
    assert page["result_count"] == 3
    assert page["result"][0] == {"id": "1", "title": "acme ticket 1", "status": "in_progress"}
    found, cursor = page["result"], page["next_cursor"]
    while cursor:
        page = await desk.data("GET", f"{TICKETS}?next_cursor={cursor}&{account}")
        found, cursor = found + page["result"], page["next_cursor"]
    assert [ticket["id"] for ticket in found] == [str(n) for n in range(1, 8)]
    done = await desk.data("GET", f"{TICKETS}?status=done")
    assert {ticket["status"] for ticket in done["result"]} == {"done"}


async def test_one_thing_and_its_life(desk: Desk) -> None:
    """Got, created, changed, commented on; what is not there is told; bare where Truto's shape is wanted."""
    assert (await desk.data("GET", f"{TICKETS}/2"))["result"]["title"] == "acme ticket 2"
    bare = await desk.data("GET", f"{TICKETS}/2?envelope=none")
    assert bare["id"] == "2"
    made = await desk("POST", TICKETS, json={"title": "New"})
    assert (made.status_code, made.json()["result"]["title"]) == (201, "New")
    name = made.json()["result"]["id"]
    changed = await desk.data("PATCH", f"{TICKETS}/{name}", json={"status": "done"})
    assert changed["result"]["status"] == "done"
    assert (await desk.data("POST", f"{TICKETS}/{name}/comment", json={"body": "Hi"}))["result"]
    assert desk.tracker.comments[-1] == ("acme", name, {"text": "Hi"})
    assert (await desk.data("POST", f"{TICKETS}/comment", json={"id": name, "body": "Ho"}))["result"]
    told = await desk.failure(404, "GET", f"{TICKETS}/99")
    assert (told["code"], told["is_remote_error"]) == ("not_found", True)
    assert told["raw_response"] == {"error": {"message": "no such ticket"}}


async def test_answers_say_which_account_they_came_from(desk: Desk) -> None:
    """With two of one product, in the words that parameters have; `envelope=none` is the thing alone."""
    connector = desk.app.catalog.connectors["tracker"]
    other = await desk.app.accounts.link(Tenant("acme"), connector, secrets={"token": "canary-globex"})
    for account, org in ((desk.accounts["acme"], "acme"), (other.id, "globex")):
        for path in (TICKETS, f"{TICKETS}/2"):
            told = await desk.data("GET", f"{path}?integrated_account_id={account}")
            assert f"{org} ticket 2" in str(told["result"])
            assert (told["integrated_account_id"], told["integration"]) == (account, "tracker")
        bare = await desk.data("GET", f"{TICKETS}/2?integrated_account_id={account}&envelope=none")
        assert not WHOSE & set(bare)


async def test_what_is_not_there_names_what_is(desk: Desk) -> None:
    """Groups, entities, operations and methods."""
    assert "ticketing/tickets" in (await desk.failure(404, "GET", "/unified/x/things"))["error"]["message"]
    assert "ticketing/tickets" in (await desk.failure(404, "GET", "/unified/crm/tickets"))["error"]["message"]
    told = await desk.failure(404, "POST", f"{TICKETS}/1/explode", json={})
    assert "comment" in told["error"]["message"]
    await desk.failure(404, "DELETE", f"{TICKETS}/1")
    await desk.failure(405, "PUT", TICKETS, json={})
    assert (await desk.failure(404, "GET", "/unified/"))["code"] == "not_found"


async def test_who_may(desk: Desk) -> None:
    """Scopes are those of the tools, and an account token has no other account."""
    assert (await desk.failure(401, "GET", TICKETS, key=None))["code"] == "unauthenticated"
    reader = await desk.token(scopes=["ticket.list"])
    assert (await desk("GET", TICKETS, key=reader)).status_code == 200
    await desk.failure(403, "GET", f"{TICKETS}/1", key=reader)
    of_account = await desk.token(account=desk.accounts["acme"])
    assert (await desk("GET", f"{TICKETS}/1", key=of_account)).status_code == 200
    foreign = f"integrated_account_id={desk.accounts['globex']}"
    await desk.failure(404, "GET", f"{TICKETS}?{foreign}", key=of_account)
    shown = await desk.data("GET", f"{TICKETS}?{foreign}", key=desk.admin)
    assert shown["result"][0]["title"] == "globex ticket 1"
    (row, *_) = await desk.rows("globex")
    assert (row.principal_kind, row.principal_subject, row.via) == ("operator", "anna", "rest")


@pytest.mark.parametrize("prefix", ["truto_", ""])
async def test_words_of_truto(desk: Desk, prefix: str) -> None:
    """Formats, remote data, fields left out, a key, no limit: with and without the prefix."""
    raw = await desk.data("GET", f"{TICKETS}/2?{prefix}response_format=raw")
    assert raw["ticket"]["subject"] == "acme ticket 2"
    normal = await desk.data("GET", f"{TICKETS}?{prefix}response_format=normalized&limit=1")
    assert normal["result"] == [{"id": 1, "subject": "acme ticket 1", "state": "wip", "etag": 1}]
    assert normal["next_cursor"]
    remote = await desk.data("GET", f"{TICKETS}/2?{prefix}ignore_remote_data=false")
    assert remote["result"]["remote_data"]["subject"] == "acme ticket 2"
    few = await desk.data("GET", f"{TICKETS}?{prefix}exclude_fields[]=title&{prefix}exclude_fields[]=status")
    assert few["result"][0] == {"id": "1"}
    keyed = await desk.data("GET", f"{TICKETS}?{prefix}key_by=id&limit=2")
    assert set(keyed["result"]) == {"1", "2"}
    await desk.data("GET", f"{TICKETS}?{prefix}ignore_limit=true&limit=2")
    assert "limit=2" not in desk.transport.sent[-1].url
    told = await desk.failure(400, "GET", f"{TICKETS}?{prefix}response_format=stream")
    assert "proxy" in told["error"]["message"]


async def test_what_goes_to_the_product_beside(desk: Desk) -> None:
    """`remote_query`, `remote_data` in a body, and a body that is passed on as it is."""
    await desk.data("GET", f"{TICKETS}?remote_query[state]=fixed&remote_query[x]=1")
    assert "state=fixed&x=1" in desk.transport.sent[-1].url
    shown = await desk.data("GET", f"{TICKETS}/2?remote_data=true")
    assert shown["result"]["remote_data"]["id"] == 2
    made = await desk.data("POST", TICKETS, json={"title": "A", "remote_data": {"state": "wip", "more": 1}})
    assert made["result"]["status"] == "in_progress"
    assert json.loads(desk.transport.sent[-1].body or b"") == {"subject": "A", "state": "wip", "more": 1}
    body = {"subject": "As it is", "odd": [1]}
    await desk.data("POST", f"{TICKETS}?body_passthrough=true", json=body)
    assert json.loads(desk.transport.sent[-1].body or b"") == body
    dry = await desk.data("POST", f"{TICKETS}?dry_run=true", json={"title": "A", "remote_data": {"more": 1}})
    assert dry["result"]["request"]["body"] == {"subject": "A", "more": 1}


@pytest.mark.parametrize(
    ("method", "below", "given", "sent"),
    [
        ("POST", "", {"title": "A"}, ("POST", "/api/tickets", {"subject": "A"})),
        ("PATCH", "/1", {"title": "A"}, ("PATCH", "/api/tickets/1", {"subject": "A"})),
        ("POST", "/1/comment", {"body": "A"}, ("POST", "/api/tickets/1/comments", {"text": "A"})),
    ],
)
async def test_a_dry_run_sends_nothing(
    method: str, below: str, given: dict[str, Any], sent: Any, desk: Desk
) -> None:
    """Of every write, asked for in the address or in the body; the credential is masked."""
    desk.transport.sent.clear()
    asked: list[dict[str, Any]] = [{"params": {"dry_run": "true"}, "json": given}]
    for more in [*asked, *({"json": {**given, "dry_run": yes}} for yes in (True, "true"))]:
        shown = await desk.data(method, TICKETS + below, **more)
        request = shown["result"]["request"]
        assert (request["method"], urlsplit(request["url"]).path, request["body"]) == sent
        assert request["headers"]["Authorization"] == "Bearer [credential]"
    for what in (1, "yes", None):
        await desk.failure(400, method, TICKETS + below, json={**given, "dry_run": what})
    assert desk.transport.sent == []


async def test_faults_of_arguments_are_named_at_once(desk: Desk) -> None:
    """With what is missing in `insight`; a text stands for a number."""
    told = await desk.failure(400, "POST", TICKETS, json={"titel": "x", "status": 5})
    assert len(told["error"]["details"]) >= 2
    told = await desk.failure(400, "POST", TICKETS, json={})
    assert told["insight"]["missing_required_fields"]["value"] == ["title"]
    await desk.failure(400, "GET", f"{TICKETS}?limit=2&limit=3")
    await desk.failure(400, "GET", f"{TICKETS}?limit=many")
    await desk.failure(400, "POST", TICKETS, content=b"{", headers={"content-type": "application/json"})
    await desk.failure(400, "POST", TICKETS, content=b"[1]", headers={"content-type": "application/json"})
    await desk.failure(400, "POST", TICKETS, content=b"a=b", headers={"content-type": "text/plain"})
    await desk.failure(413, "POST", TICKETS, content=b" " * 1_100_000)
    await desk.failure(400, "GET", f"{TICKETS}?envelope=paper")
    await desk.failure(400, "GET", f"{TICKETS}?truto_nothing=1")


async def test_a_limit_of_the_product(desk: Desk) -> None:
    """A long wait is told in the one shape; a limit that is not used up in three headers."""
    desk.tracker.faults.append(too_many("60"))
    told = await desk.failure(429, "GET", TICKETS)
    assert (told["code"], told["retry_after"], told["is_remote_error"]) == ("rate_limited", 60, True)
    desk.now[0] += 60
    headers = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "49", "x-ratelimit-reset": "10"}
    desk.tracker.faults.append(JSONResponse({"tickets": [], "next": None}, 200, headers))
    answer = await desk("GET", TICKETS)
    assert [answer.headers[f"ratelimit-{word}"] for word in ("limit", "remaining", "reset")] == [
        "50", "49", "10",
    ]  # fmt: skip


async def test_resources_of_the_proxy(desk: Desk) -> None:
    """Truto's `/proxy/RESOURCE`: the same operations, things as the product has them."""
    page = await desk.data("GET", "/proxy/tickets?limit=2")
    assert set(page) == LIST
    assert [ticket["subject"] for ticket in page["result"]] == ["acme ticket 1", "acme ticket 2"]
    assert (await desk.data("GET", "/proxy/tickets/3"))["result"]["state"] == "open"
    assert (await desk.data("POST", "/proxy/tickets/3/comment", json={"body": "x"}))["result"]
