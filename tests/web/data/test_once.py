"""`Idempotency-Key`: a write that comes twice is done once, through every door."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from linkspan import spec
from linkspan.accounts.principal import Tenant
from tests.fakes.tracker import patient
from tests.web.data.conftest import Desk

TICKETS = "/unified/ticketing/tickets"
ONE = {"Idempotency-Key": "one"}


def count(desk: Desk, title: str) -> int:
    """How many tickets there are of a title."""
    return sum(ticket["subject"] == title for ticket in desk.tracker.tickets["acme"])


async def test_a_repetition_gets_the_first_answer(desk: Desk) -> None:
    """And says so; for a day, whoever of the tenant repeats it."""
    first = await desk("POST", TICKETS, json={"title": "A"}, headers=ONE)
    again = await desk("POST", TICKETS, json={"title": "A"}, headers=ONE, key=await desk.token())
    assert first.json() == again.json()
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert count(desk, "A") == 1
    desk.now[0] += 86_401
    await desk("POST", TICKETS, json={"title": "A"}, headers=ONE)
    assert count(desk, "A") == 2


async def test_the_same_key_for_something_else(desk: Desk) -> None:
    """Is a conflict; for another operation or account it is another key."""
    await desk("POST", TICKETS, json={"title": "A"}, headers=ONE)
    told = await desk.failure(409, "POST", TICKETS, json={"title": "B"}, headers=ONE)
    assert "Idempotency-Key" in told["message"]
    assert count(desk, "B") == 0
    changed = await desk("PATCH", f"{TICKETS}/1", json={"title": "C"}, headers=ONE)
    assert changed.status_code == 200
    assert (await desk("POST", TICKETS, json={"title": "B"}, headers=ONE, key="globex")).status_code == 201
    await desk.failure(400, "POST", TICKETS, json={"title": "B"}, headers={"Idempotency-Key": "x" * 256})


async def test_what_failed_without_doing_anything_may_be_tried_again(desk: Desk) -> None:
    """What may have been done is told as it was, and not tried."""
    desk.tracker.faults.append(JSONResponse({}, 422))
    await desk.failure(400, "POST", TICKETS, json={"title": "A"}, headers=ONE)
    assert (await desk("POST", TICKETS, json={"title": "A"}, headers=ONE)).status_code == 201
    desk.tracker.faults.append(JSONResponse({}, 500))
    two = {"Idempotency-Key": "two"}
    await desk.failure(502, "POST", TICKETS, json={"title": "Z"}, headers=two)
    await desk.failure(502, "POST", TICKETS, json={"title": "Z"}, headers=two)
    assert count(desk, "Z") == 0


async def test_many_at_once(desk: Desk) -> None:
    """All get the one answer."""
    answers = await asyncio.gather(
        *(desk("POST", TICKETS, json={"title": "A"}, headers=ONE) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert count(desk, "A") == 1


async def test_through_the_proxy(desk: Desk) -> None:
    """Status, headers and body are those of the first; another body is a conflict; reads have no key."""
    path = "/proxy/tracker/tickets"
    first = await desk("POST", path, json={"subject": "A"}, headers=ONE)
    again = await desk("POST", path, json={"subject": "A"}, headers=ONE)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert count(desk, "A") == 1
    await desk.failure(409, "POST", path, json={"subject": "B"}, headers=ONE)
    await desk.data("GET", path, headers=ONE)
    desk.tracker.faults.append(JSONResponse({"error": {"message": "later"}}, 503))
    two = {"Idempotency-Key": "two"}
    for _ in range(2):
        await desk.failure(503, "POST", path, json={"subject": "C"}, headers=two)
    assert count(desk, "C") == 0


@pytest.mark.parametrize(
    ("path", "word"), [(TICKETS, "title"), ("/proxy/tracker/tickets", "subject")], ids=["unified", "proxy"]
)
async def test_nobody_is_given_another_persons_answer(desk: Desk, path: str, word: str) -> None:
    """The account that is used tells keys apart, though none was named."""
    tracked = desk.app.catalog.connectors["tracker"]
    for person, org in (("anna", "acme"), ("bo", "globex")):
        secrets = {"token": f"canary-{org}"}
        await desk.app.accounts.link(Tenant("acme"), tracked, secrets=secrets, subject=person)
        key = await desk.token(subject=person, kind="person")
        first = await desk("POST", path, json={word: "A"}, headers=ONE, key=key)
        assert (first.status_code, first.headers.get("idempotent-replayed")) == (201, None)
        again = await desk("POST", path, json={word: "A"}, headers=ONE, key=key)
        assert (again.headers["idempotent-replayed"], again.content) == ("true", first.content)
        assert sum(ticket["subject"] == "A" for ticket in desk.tracker.tickets[org]) == 1


@pytest.mark.parametrize(
    ("path", "word"), [(TICKETS, "title"), ("/proxy/tracker/tickets", "subject")], ids=["unified", "proxy"]
)
async def test_the_operators_key_is_used_for_one_person_at_a_time(
    desk: Desk, tmp_path: Path, path: str, word: str
) -> None:
    """Where the product is told for whom, their keys are told apart, too."""
    own = '{type: bearer, per: operator, secret: "${WORD}", tenant: {header: X-For, sign: {key: "${WORD}"}}}'
    file = patient(tmp_path)
    linked = '{type: bearer, title: API token, help_url: "https://tracker.example/help"}'
    text = file.read_text().replace(linked, own).replace("{settings.site}", "http://tracker.example")
    site = '    settings:\n      site: {type: origin, title: Site, default: "http://tracker.example"}\n'
    file.write_text(text.replace(site, ""))
    desk.app.gateway.replace_catalog(spec.load([file], {"WORD": "canary-acme"}))
    await desk.app.tenants.add("third")
    for person in ("anna", "bo"):
        key = await desk.token("third", subject=person, kind="person")
        for replayed in (None, "true"):
            answer = await desk("POST", path, json={word: "A"}, headers=ONE, key=key)
            assert (answer.status_code, answer.headers.get("idempotent-replayed")) == (201, replayed)
    assert count(desk, "A") == 2


async def test_a_stream_is_not_kept(desk: Desk) -> None:
    """Who repeats it is told that it was done; so of an answer that is too long."""
    events = StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream")
    long = Response(b"x" * (2**20 + 1))
    for name, answer in (("stream", events), ("long", long)):
        desk.tracker.faults.append(answer)
        headers = {"Idempotency-Key": name}
        first = await desk("POST", "/proxy/tracker/tickets", json={"subject": "A"}, headers=headers)
        assert first.status_code == 200
        assert first.content in (b"data: 1\n\n", long.body)
        told = await desk.failure(
            409, "POST", "/proxy/tracker/tickets", json={"subject": "A"}, headers=headers
        )
        assert "was done" in told["message"]
    assert count(desk, "A") == 0


async def test_what_may_be_a_stream_is_not_held_back(desk: Desk) -> None:
    """Data, and what tells a short length, are kept; other things of unknown length are handed on at once."""
    for number, (kind, is_kept) in enumerate(
        [("application/x-ndjson", False), ("audio/mpeg", False), ("application/vnd.a+json", True)]
    ):
        answer = StreamingResponse(iter([b"{}", b"\n"]), media_type=kind)
        desk.tracker.faults.append(answer)
        headers = {"Idempotency-Key": str(number)}
        for status in (200, 200 if is_kept else 409):
            said = await desk("POST", "/proxy/tracker/tickets", json={"subject": "A"}, headers=headers)
            assert said.status_code == status
    desk.tracker.faults.append(Response(b"short", media_type="text/plain"))
    for _ in range(2):
        said = await desk("POST", "/proxy/tracker/tickets", json={"subject": "A"}, headers=ONE)
        assert said.content == b"short"
    assert count(desk, "A") == 0


async def test_a_raw_answer_is_not_kept(desk: Desk) -> None:
    """So a write with a key does not ask for one: its repetition would be answered otherwise."""
    told = await desk.failure(400, "POST", f"{TICKETS}?response_format=raw", json={"title": "A"}, headers=ONE)
    assert "response_format=raw" in told["error"]["message"]
    assert count(desk, "A") == 0
    assert (await desk("GET", f"{TICKETS}?response_format=raw", headers=ONE)).status_code == 200
