"""Several calls in one request."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.errors import InvalidArgument
from linkspan.web.data.placeholders import fill
from tests.fakes.tracker import too_many
from tests.web.data.conftest import Desk


async def test_what_depends_on_others_has_what_they_found(desk: Desk) -> None:
    """A list is read to its end, a loop asks for each of its things, and what is not wanted is left out."""
    asked = {
        "integrated_account_id": desk.accounts["acme"],
        "args": {"status": "done"},
        "resources": [
            {
                "resource": "ticketing/tickets", "persist": False,
                "query": {"status": "{{args.status}}", "limit": 1},
            },
            {
                "resource": "tickets", "name": "whole", "method": "get", "loop_on": "ticketing/tickets",
                "id": "{{resources.ticketing.tickets.id}}",
            },
            {
                "resource": "tickets", "name": "said", "method": "comment", "depends_on": ["whole"],
                "id": "{{resources.whole.0.id}}", "body": {"body": "of {{resources.whole.0.title}}"},
            },
        ],
    }  # fmt: skip
    answer = await desk.data("POST", "/batch-request", json=asked)
    assert answer["errors"] == {}
    assert answer["is_partial_response"] is False
    assert set(answer["result"]) == {"whole", "said"}
    assert [ticket["id"] for ticket in answer["result"]["whole"]] == ["2", "5"]
    assert desk.tracker.comments[-1] == ("acme", "2", {"text": "of acme ticket 2"})
    by_operator = await desk.data("POST", "/batch-request", json=asked, key=desk.admin)
    assert len(by_operator["result"]["whole"]) == 2


async def test_what_fails_takes_only_those_with_it_that_need_it(desk: Desk) -> None:
    """Each failure in the one shape."""
    desk.tracker.faults.append(too_many("60"))
    asked: dict[str, Any] = {
        "resources": [
            {"resource": "tickets", "name": "first"},
            {"resource": "tickets", "name": "after", "method": "get", "id": "1", "depends_on": ["first"]},
        ]
    }
    answer = await desk.data("POST", "/batch-request", json=asked)
    assert answer["errors"]["first"][0]["code"] == "rate_limited"
    assert answer["errors"]["after"][0]["code"] == "conflict"
    desk.now[0] += 60
    asked["resources"] = [
        {"resource": "tickets", "name": "one", "method": "get", "id": "1"},
        {"resource": "tickets", "name": "other", "method": "get", "id": "{{resources.nothing.id}}"},
        {"resource": "tickets", "name": "third", "method": "explode"},
    ]
    answer = await desk.data("POST", "/batch-request", json=asked)
    assert answer["result"]["one"][0]["id"] == "1"
    assert "names nothing" in answer["errors"]["other"][0]["message"]
    assert answer["errors"]["third"][0]["code"] == "invalid_argument"


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        ([], "at least 1"),
        ([{"resource": "tickets"}, {"resource": "tickets"}], "there twice"),
        ([{"resource": "tickets", "depends_on": ["x"]}], "not there"),
        (
            [{"resource": "a", "depends_on": ["b"]}, {"resource": "b", "loop_on": "a"}],
            "a, b wait for each other",
        ),
    ],
)
async def test_mistakes_are_told_before_anything_is_done(desk: Desk, resources: Any, told: str) -> None:
    """All of them."""
    failed = await desk.failure(400, "POST", "/batch-request", json={"resources": resources})
    assert told in failed["message"]
    await desk.failure(400, "POST", "/batch-request", content=b"{")
    await desk.failure(401, "POST", "/batch-request", content=b"{", key=None)
    await desk.failure(400, "POST", "/batch-request", json={"resources": resources}, key=desk.admin)


async def test_a_batch_that_comes_twice_writes_once(desk: Desk) -> None:
    """With one `Idempotency-Key` for all of it."""
    made = {"resource": "tickets", "method": "create", "body": {"title": "Once"}}
    headers = {"Idempotency-Key": "all of it"}
    one = await desk.data("POST", "/batch-request", json={"resources": [made]}, headers=headers)
    two = await desk.data("POST", "/batch-request", json={"resources": [made]}, headers=headers)
    assert one == two
    assert sum(ticket["subject"] == "Once" for ticket in desk.tracker.tickets["acme"]) == 1


async def test_keys_are_told_apart_to_their_last_character(desk: Desk) -> None:
    """However long: no write is taken for another one. What is no key is refused before anything is done."""
    made = {"resource": "tickets", "method": "create", "body": {"title": "Long"}}
    for last in "AB":
        headers = {"Idempotency-Key": "k" * 254 + last}
        await desk.data("POST", "/batch-request", json={"resources": [made]}, headers=headers)
    assert sum(ticket["subject"] == "Long" for ticket in desk.tracker.tickets["acme"]) == 2
    headers = {"Idempotency-Key": "k" * 256}
    await desk.failure(400, "POST", "/batch-request", json={"resources": [made]}, headers=headers)


@pytest.mark.parametrize("word", ["dry_run", "truto_dry_run"])
async def test_a_dry_run_reads_and_shows_what_it_would_write(desk: Desk, word: str) -> None:
    """Nothing is sent that changes anything; loops go over what was read."""
    asked = {
        "resources": [
            {"resource": "tickets", "name": "done", "query": {"status": "done"}},
            {
                "resource": "tickets", "name": "said", "method": "comment", "loop_on": "done",
                "id": "{{resources.done.id}}", "body": {"body": "Closed."},
            },
            {"resource": "tickets", "name": "made", "method": "create", "body": {"title": "Never"}},
        ],
    }  # fmt: skip
    answer = await desk.data("POST", "/batch-request", params={word: "true"}, json=asked)
    assert [ticket["id"] for ticket in answer["result"]["done"]] == ["2", "5"]
    shown = [*answer["result"]["said"], *answer["result"]["made"]]
    assert [(one["dry_run"], one["request"]["method"]) for one in shown] == [(True, "POST")] * 3
    assert {request.method for request in desk.transport.sent} == {"GET"}
    await desk.data("POST", "/batch-request", params={word: "false"}, json=asked)
    assert sum(request.method == "POST" for request in desk.transport.sent) == 3


@pytest.mark.parametrize("query", ["bogus=1", "truto_bogus=1", "response_format=raw", "remote_query[a]=b"])
async def test_parameters_that_a_batch_does_not_know_are_refused(desk: Desk, query: str) -> None:
    """By name, and nothing is asked."""
    asked = {"resources": [{"resource": "tickets"}]}
    told = await desk.failure(400, "POST", f"/batch-request?{query}", json=asked)
    assert query.partition("=")[0] in told["message"]
    assert desk.transport.sent == []


def test_placeholders_keep_types_and_are_cast() -> None:
    """A whole text keeps the type of what it names; nothing is evaluated."""
    seen = {"ticketing/tickets": [{"id": 7, "ok": True}], "one": {"id": "8"}}
    args = {"n": "5", "deep": {"x": [1, 2]}}
    assert fill("{{resources.ticketing.tickets.0.id}}", args, seen) == 7
    assert fill("{{ resources.ticketing/tickets.0.id:str }}", args, seen) == "7"
    assert fill(["{{args.n:int}}", "{{args.n:num}}", "{{args.deep.x:json}}"], args, seen) == [5, 5.0, [1, 2]]
    assert fill({"a": "x {{resources.one.id}} {{args.deep}}"}, args, seen) == {"a": 'x 8 {"x": [1, 2]}'}
    assert fill("{{7*7}} {% x %}", args, seen) == "{{7*7}} {% x %}"
    for bad in ("{{args.none}}", "{{other.n}}", "{{args.deep:int}}", "{{resources.one.id.x}}"):
        with pytest.raises(InvalidArgument):
            fill(bad, args, seen)


async def test_a_loop_over_nothing_is_a_fault_of_the_request(desk: Desk) -> None:
    """An empty name is none."""
    asked = {"resources": [{"resource": "tickets", "loop_on": ""}]}
    assert (await desk.failure(400, "POST", "/batch-request", json=asked))["code"] == "invalid_argument"
