"""`Idempotency-Key` at the management API: a write that comes twice is done once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linkspan.web.api.routes import ENDPOINTS
from tests.web.api.conftest import Api
from tests.web.api.test_openapi import DESCRIBED

ONE = {"Idempotency-Key": "one"}
HOOK = "https://hooks.example/x"
SHOWING = [
    ("/webhook", {"target_url": HOOK}, "secret"),
    ("/webhook", {"target_url": HOOK, "tenant_id": "acme"}, "secret"),
    ("/token", {"tenant_id": "acme", "subject": "ci"}, "token"),
    ("/person", {"tenant_id": "acme", "name": "bo"}, "invitation_url"),
    ("/link-token", {"tenant_id": "acme"}, "link_token"),
]


async def test_a_tenant_is_added_once(api: Api) -> None:
    """A repetition gets the first answer and says so; another tenant with the key is told as a conflict."""
    first = await api("POST", "/tenant", json={"id": "initech"}, headers=ONE)
    again = await api("POST", "/tenant", json={"id": "initech"}, headers=ONE)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    told = await api.failure(409, "POST", "/tenant", json={"id": "hooli"}, headers=ONE)
    assert "used for something else" in told["message"]
    await api.failure(404, "GET", "/tenant/hooli")
    for key in ("x" * 201, "a b", ""):
        await api.failure(400, "POST", "/tenant", json={"id": "hooli"}, headers={"Idempotency-Key": key})


async def test_a_repetition_is_answered_in_the_envelope_that_it_asks_for(api: Api) -> None:
    """Which shape is asked for is no part of what was asked: it is the same tenant, added once."""
    told = []
    for envelope in ("result", "none", "result"):
        path = f"/tenant?envelope={envelope}"
        answer = await api("POST", path, json={"id": "initech"}, headers=ONE)
        assert answer.status_code == 201
        told.append(answer.json())
    assert told[0]["result"]["id"] == "initech"
    assert told == [told[0], told[0]["result"], told[0]]


@pytest.mark.parametrize(("path", "body", "shown"), SHOWING)
async def test_a_secret_is_shown_once(path: str, body: dict[str, Any], shown: str, api: Api) -> None:
    """Nothing is made a second time, and the repetition is told what was; with another key there are two."""
    made = await api.data("POST", path, json=body, headers=ONE)
    assert made[shown]
    told = await api.failure(409, "POST", path, json=body, headers=ONE)
    assert told["details"] == {"reason": "done", **({"id": made["id"]} if "id" in made else {})}
    assert made[shown] not in str(told)
    await api("POST", path, json=body, headers={"Idempotency-Key": "two"})
    if path in ("/webhook", "/token"):
        listed = await api.data("GET", path, params={"tenant_id": "acme"} if "tenant_id" in body else {})
        assert listed["result_count"] == 2


async def test_many_at_once_are_one(api: Api) -> None:
    """One is made, and every other request is told so."""
    body = {"tenant_id": "acme", "subject": "ci"}
    answers = await asyncio.gather(*(api("POST", "/token", json=body, headers=ONE) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert (await api.data("GET", "/token?tenant_id=acme"))["result_count"] == 1


async def test_a_change_is_done_once(api: Api) -> None:
    """What was changed since stays so; the key of one thing is another at another thing."""
    hooks = [(await api.data("POST", "/webhook", json={"target_url": HOOK}))["id"] for _ in range(2)]
    off, on = {"is_active": False}, {"is_active": True}
    first = await api.data("PATCH", f"/webhook/{hooks[0]}", json=off, headers=ONE)
    await api.data("PATCH", f"/webhook/{hooks[0]}", json=on)
    assert await api.data("PATCH", f"/webhook/{hooks[0]}", json=off, headers=ONE) == first
    assert (await api.data("GET", f"/webhook/{hooks[0]}"))["is_active"] is True
    assert (await api.data("PATCH", f"/webhook/{hooks[1]}", json=on, headers=ONE))["is_active"] is True


async def test_an_account_is_linked_once(api: Api) -> None:
    """The account is the first one; the same key with another secret is told, though no row holds any."""
    body = {"tenant_id": "acme", "integration": "tracker", "secrets": {"token": "canary-acme"}}
    first = await api.data("POST", "/integrated-account", json=body, headers=ONE)
    assert await api.data("POST", "/integrated-account", json=body, headers=ONE) == first
    other = {**body, "secrets": {"token": "canary-other"}}
    told = await api.failure(409, "POST", "/integrated-account", json=other, headers=ONE)
    assert "used for something else" in told["message"]
    assert "canary" not in str(await api.app.database.query("SELECT * FROM api_calls"))


async def test_what_changed_nothing_may_be_asked_again(api: Api) -> None:
    """A refusal is not kept: with the right secret the same key links."""
    body = {"tenant_id": "acme", "integration": "tracker", "secrets": {"token": "canary-wrong"}}
    await api.failure(409, "POST", "/integrated-account", json=body, headers=ONE)
    body["secrets"] = {"token": "canary-acme"}
    assert (await api.data("POST", "/integrated-account", json=body, headers=ONE))["status"] == "active"


async def test_a_key_is_its_token_s_own(api: Api) -> None:
    """Another admin key, which may do less, is not given what the first was answered."""
    await api.data("POST", "/tenant", json={"id": "initech"}, headers=ONE)
    other = (await api.app.admins.create("bert")).text.reveal()
    told = await api.failure(409, "POST", "/tenant", json={"id": "initech"}, headers=ONE, key=other)
    assert "used for something else" not in told["message"]


def test_every_write_takes_a_key_and_deleting_needs_none() -> None:
    """As it is described; each with its conflict."""
    for endpoint in ENDPOINTS:
        operation = DESCRIBED["paths"][endpoint.path][endpoint.method.lower()]
        takes = "Idempotency-Key" in [each["name"] for each in operation["parameters"]]
        assert takes == (endpoint.method in ("POST", "PATCH")), endpoint.name
        assert not takes or "409" in operation["responses"]


def test_what_shows_a_secret_says_so() -> None:
    """Answers that are "shown here and never again" name the field: only by that are they not kept."""
    answers = {each.answer for each in ENDPOINTS if each.answer is not None}
    shown = {answer for answer in answers if "never again" in (answer.__doc__ or "")}
    assert len(shown) == 6
    assert shown == {answer for answer in answers if getattr(answer, "shown_once", ())}
