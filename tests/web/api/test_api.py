"""The management API: its doors, its failures and its isolation."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from typing import Any

import pytest

from linkspan.gateway.trail import TrailKeeper
from linkspan.store import audit
from linkspan.store.audit import AuditRow
from linkspan.web.api.routes import ENDPOINTS
from tests.web.api.conftest import BASE, Api

CREATED = "integrated_account:created"
OLD_ROW = AuditRow(
    tenant="acme", time=1000.0, principal_kind="service", principal_subject="codex", token_id=None,
    request_id="x", via="mcp", tool="get_ticket", entity="ticket", entity_id="=1+1", connector="tracker",
    account="acc_x", upstream_status=200, outcome="ok", duration_ms=1.0,
)  # fmt: skip
PATHS = sorted({(re.sub(r"\{\w+\}", "x", endpoint.path), endpoint.tenants) for endpoint in ENDPOINTS})


@pytest.mark.parametrize(("path", "is_for_tenants"), PATHS)
async def test_no_door_opens_without_its_key(path: str, is_for_tenants: bool, api: Api) -> None:
    """Nothing, a tenant's token where it is not for tenants, something made up: one answer for every path."""
    made = await api.data("POST", "/token", json={"tenant_id": "acme", "subject": "ci"})
    told = set()
    wrong = f"lsk_tenant_{'a' * 12}_{'A' * 43}"
    for key in (
        None,
        wrong if is_for_tenants else made["token"],
        made["token"].replace("lsk_tenant", "lsk_admin"),
        "x",
        "lsk_admin_x",
    ):
        for method in ("GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS"):
            answer = await api(method, path, key=key, headers={"X-Request-Id": "r"})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            told.add(answer.text)
    assert len(told) == 1


async def test_guessing_is_slowed_down_and_a_good_key_is_not(api: Api) -> None:
    """An address that shows bad keys is told when to come back; the key of another behind it still opens."""
    guess = f"lsk_admin_{'a' * 12}_{'A' * 43}"
    answers = [await api("GET", "/tenant", key=guess) for _ in range(25)]
    assert [answer.status_code for answer in answers].count(429) == 5
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await api("GET", "/tenant")).status_code == 200


async def test_a_key_that_calls_too_often_is_told_when_to_come_back(api: Api) -> None:
    """429 with Retry-After, in the one shape."""
    codes = [(await api("GET", "/tenant/acme")).status_code for _ in range(500)]
    codes += [(await api("GET", "/tenant/acme")).status_code for _ in range(200)]
    assert 429 in codes or codes.count(200) == 700, "the machine was too slow to be too quick"


async def test_tenants_are_added_listed_and_removed(api: Api) -> None:
    """By name, in pages; the removal answers its proof."""
    added = await api("POST", "/tenant", json={"id": "initech"})
    assert added.status_code == 201
    assert (await api.data("GET", "/tenant/initech")) == added.json()["result"]
    first = await api.data("GET", "/tenant?limit=2")
    assert [each["id"] for each in first["result"]] == ["acme", "globex"]
    rest = await api.data("GET", "/tenant", params={"limit": 2, "next_cursor": first["next_cursor"]})
    assert [each["id"] for each in rest["result"]] == ["initech"]
    assert rest["next_cursor"] is None
    assert (await api.failure(409, "POST", "/tenant", json={"id": "acme"}))["code"] == "conflict"
    account = await api.link("acme")
    proof = await api.data("DELETE", "/tenant/acme")
    assert proof["accounts"] == [
        {
            "id": account["id"],
            "integration": "tracker",
            "identity": "bot@acme.example",
            "outcome": "no_grant",
            "why": "a fixed credential: delete it at The Tracker",
        }
    ]
    assert (proof["deleted"]["accounts"], proof["deleted"]["tenants"], proof["keys"]) == (1, 1, 1)
    for method in ("GET", "DELETE"):
        assert (await api.failure(404, method, "/tenant/acme"))["code"] == "not_found"


async def test_an_account_is_linked_shown_verified_and_unlinked(api: Api) -> None:
    """With Truto's names; the credential is in no answer."""
    linked = await api.link("acme")
    assert linked["tenant_id"] == "acme"
    assert linked["integration"] == {"name": "tracker"}
    assert linked["status"] == "active"
    assert linked["identity"] == {"id": "acme", "label": "bot@acme.example"}
    path = f"/integrated-account/{linked['id']}"
    assert await api.data("GET", path) == linked
    assert (await api.data("POST", f"{path}/verify"))["status"] == "active"
    assert await api.data("DELETE", path) == {"id": linked["id"]}
    await api.failure(404, "GET", path)
    await api.failure(404, "DELETE", path)


async def test_a_wrong_credential_links_nothing(api: Api) -> None:
    """The product's refusal is told as such, and nothing is stored."""
    body = {"tenant_id": "acme", "integration": "tracker", "secrets": {"token": "canary-wrong"}}
    answer = await api("POST", "/integrated-account", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "needs_reauth")
    assert answer.json()["truto_is_remote_error"] is True
    assert "canary" not in answer.text
    assert (await api.data("GET", "/integrated-account"))["result"] == []


async def test_accounts_are_filtered_and_paged(api: Api) -> None:
    """Truto's filters; a cursor is of its own list and filters only."""
    one, two = await api.link("acme"), await api.link("globex")
    for filters, found in (
        ({}, [one, two]),
        ({"tenant_id": "acme"}, [one]),
        ({"integration.name": "tracker", "status": "active"}, [one, two]),
        ({"integration.name": "other"}, []),
        ({"status": "needs_reauth"}, []),
        ({"is_sandbox": "true"}, []),
        ({"created_at[gt]": "2100-01-01T00:00:00Z"}, []),
        ({"created_at[lt]": "2100-01-01T00:00:00+02:00"}, [one, two]),
        ({"tenant_id": "nobody"}, []),
    ):
        listed = await api.data("GET", "/integrated-account", params=filters)
        assert (listed["result"], listed["next_cursor"]) == (found, None), filters
    first = await api.data("GET", "/integrated-account?limit=1")
    assert first["result"] == [one]
    cursor = first["next_cursor"]
    second = await api.data("GET", "/integrated-account", params={"limit": 1, "next_cursor": cursor})
    assert (second["result"], second["next_cursor"]) == ([two], None)
    for path, params in (
        ("/integrated-account", {"next_cursor": cursor, "tenant_id": "acme"}),
        ("/webhook", {"next_cursor": cursor}),
        ("/integrated-account", {"next_cursor": cursor[:-2]}),
    ):
        error = await api.failure(400, "GET", path, params=params)
        assert error["details"] == [
            {"path": "next_cursor", "message": "is not one of this list with these filters"}
        ]


async def test_an_account_of_another_tenant_is_not_there(api: Api) -> None:
    """Naming the wrong tenant is answered word for word as no such account."""
    linked = await api.link("acme")
    account = linked["id"]
    for method, path in (("GET", ""), ("POST", "/verify"), ("DELETE", "")):
        wrong = await api.failure(404, method, f"/integrated-account/{account}{path}?tenant_id=globex")
        none = await api.failure(404, method, f"/integrated-account/acc_none{path}?tenant_id=globex")
        assert wrong["message"].replace(account, "X") == none["message"].replace("acc_none", "X")
    body = {"integrated_account_id": account, "tenant_id": "globex"}
    await api.failure(404, "POST", "/integrated-account/token", json=body)
    assert (await api.data("GET", f"/integrated-account/{account}?tenant_id=acme"))["id"] == account


async def test_two_accounts_of_one_id_need_their_tenant(api: Api) -> None:
    """Ids are drawn from so many that it never happens by itself; it is told all the same."""
    one, two = await api.link("acme"), await api.link("globex")
    await api.app.database.execute(
        "UPDATE accounts SET id = :one WHERE id = :two", {"one": one["id"], "two": two["id"]}
    )
    path = f"/integrated-account/{one['id']}"
    assert "tenant_id" in (await api.failure(409, "GET", path))["message"]
    assert (await api.data("GET", f"{path}?tenant_id=globex"))["tenant_id"] == "globex"


async def test_a_token_of_one_account_works_for_that_account_only(api: Api) -> None:
    """For a quarter of an hour, at the tenant's own endpoint."""
    linked = await api.link("acme")
    body = {"integrated_account_id": linked["id"]}
    made = await api.data("POST", "/integrated-account/token", json=body)
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tickets"}}
    called = await api("POST", "/t/acme/mcp", key=made["integrated_account_token"], json=rpc)
    assert not called.json()["result"].get("isError")
    await api.data("DELETE", f"/integrated-account/{linked['id']}")
    again = await api.link("acme")
    assert again["id"] != linked["id"]
    called = await api("POST", "/t/acme/mcp", key=made["integrated_account_token"], json=rpc)
    assert called.json()["result"]["isError"] is True
    refused = await api("POST", "/t/globex/mcp", key=made["integrated_account_token"], json=rpc)
    assert refused.status_code == 401


async def test_tokens_and_people(api: Api) -> None:
    """Made, listed in pages, revoked; the text is shown once."""
    made = await api.data(
        "POST", "/token", json={"tenant_id": "acme", "subject": "ci", "scopes": ["read"], "expires_in": 60}
    )
    assert made["token"].startswith("lsk_tenant_")
    await api.data("POST", "/token", json={"tenant_id": "acme", "subject": "cd"})
    first = await api.data("GET", "/token?tenant_id=acme&limit=1")
    assert [each["subject"] for each in first["result"]] == ["ci"]
    cursor = {"tenant_id": "acme", "limit": 1, "next_cursor": first["next_cursor"]}
    assert [each["subject"] for each in (await api.data("GET", "/token", params=cursor))["result"]] == ["cd"]
    assert made["token"].split("_", 3)[3] not in json.dumps(first)
    await api.failure(404, "DELETE", f"/token/{made['id']}?tenant_id=globex")
    await api.data("DELETE", f"/token/{made['id']}?tenant_id=acme")
    await api.failure(404, "DELETE", f"/token/{made['id']}?tenant_id=acme")
    invited = await api.data("POST", "/person", json={"tenant_id": "acme", "name": "bo", "scopes": ["read"]})
    assert invited["invitation_url"].startswith(f"{BASE}/t/acme/invitation#")
    (listed,) = (await api.data("GET", "/person?tenant_id=acme"))["result"]
    assert listed == {name: invited[name] for name in listed}
    await api.failure(404, "DELETE", "/person/bo?tenant_id=globex")
    assert await api.data("DELETE", "/person/bo?tenant_id=acme") == {"id": "bo"}
    await api.failure(404, "GET", "/person?tenant_id=nobody")


async def test_webhooks_and_their_deliveries(api: Api) -> None:
    """Added, changed, listed; what waits is shown, replayed and deleted with it."""
    made = await api.data(
        "POST", "/webhook", json={"target_url": "https://hooks.example/x", "events": [CREATED]}
    )
    assert made["secret"].startswith("whsec_")
    of_acme = await api.data(
        "POST", "/webhook", json={"target_url": "https://hooks.example/a", "tenant_id": "acme"}
    )
    shown = await api.data("GET", f"/webhook/{made['id']}")
    assert shown == {name: made[name] for name in shown}
    assert "secret" not in shown
    listed = await api.data("GET", "/webhook?tenant_id=acme")
    assert [each["id"] for each in listed["result"]] == [of_acme["id"]]
    changed = await api.data("PATCH", f"/webhook/{made['id']}", json={"truto_signature": True})
    assert (changed["truto_signature"], changed["events"]) == (True, [CREATED])
    await api.link("globex")
    (waiting,) = (await api.data("GET", "/webhook-delivery"))["result"]
    assert (waiting["webhook_id"], waiting["event"], waiting["status"], waiting["tenant_id"]) == (
        made["id"], CREATED, "pending", "globex",
    )  # fmt: skip
    assert (await api.data("GET", "/webhook-delivery?status=dead"))["result"] == []
    assert (await api.data("POST", f"/webhook-delivery/{waiting['id']}/replay"))["id"] == waiting["id"]
    await api.failure(404, "POST", "/webhook-delivery/dlv_1/replay")
    tested = await api.data("POST", "/webhook/test", json={"id": made["id"]})
    assert tested["delivered"] is False
    assert await api.data("DELETE", f"/webhook/{made['id']}") == {"id": made["id"]}
    assert (await api.data("GET", "/webhook-delivery"))["result"] == []
    body = {"target_url": "https://hooks.example/x", "tenant_id": "nobody"}
    await api.failure(404, "POST", "/webhook", json=body)


async def test_what_an_operator_did_is_in_the_audit_log(api: Api) -> None:
    """Who, what, to which thing; also what failed. Of one tenant only."""
    linked = await api.link("acme")
    await api.data("DELETE", f"/integrated-account/{linked['id']}", headers={"X-Request-Id": "mine-1"})
    listed = await api.data("GET", "/log?tenant_id=acme")
    assert [(row["tool"], row["outcome"]) for row in listed["result"]] == [
        ("delete_integrated_account", "ok"),
        ("create_integrated_account", "ok"),
    ]
    newest = listed["result"][0]
    assert (newest["principal"], newest["subject"], newest["via"]) == ("operator", "anna", "api")
    assert (newest["request_id"], newest["resource_id"]) == ("mine-1", linked["id"])
    assert (await api.data("GET", "/log?tenant_id=globex"))["result"] == []
    filtered = await api.data("GET", "/log?tenant_id=acme&request_id=mine-1&outcome=ok")
    assert [row["id"] for row in filtered["result"]] == [newest["id"]]
    after = {"tenant_id": "acme", "created_at[gt]": "2100-01-01T00:00:00Z"}
    assert (await api.data("GET", "/log", params=after))["result"] == []
    first = await api.data("GET", "/log?tenant_id=acme&limit=1")
    cursor = {"tenant_id": "acme", "next_cursor": first["next_cursor"], "limit": 1}
    rest = await api.data("GET", "/log", params=cursor)
    assert [row["tool"] for row in rest["result"]] == ["create_integrated_account"]
    await api.failure(404, "GET", "/log?tenant_id=nobody")


async def test_the_audit_log_is_exported_whole(api: Api) -> None:
    """All rows that fit as JSON Lines or CSV, whatever their number; of one tenant only."""
    linked = await api.link("acme")
    rows = [
        AuditRow(
            **{
                **asdict(OLD_ROW),
                "request_id": f"r{number}",
                "upstream_status": 404 if number % 2 else 200,
                "thread_id": "thread-1",
            }
        )
        for number in range(1100)
    ]
    for row in rows:
        api.app.audit.write_behind(row)
    lines = (await api("GET", "/log/export?tenant_id=acme")).text.splitlines()
    assert len(lines) == 1101
    last = json.loads(lines[-1])
    assert (last["tool"], last["resource_id"]) == ("create_integrated_account", linked["id"])
    chosen = await api("GET", "/log/export?tenant_id=acme&upstream_status=404&thread_id=thread-1&via=mcp")
    assert chosen.headers["content-type"] == "application/x-ndjson"
    assert len(chosen.text.splitlines()) == 550
    table = await api("GET", "/log/export?tenant_id=acme&format=csv&upstream_status=200")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    read = list(csv.DictReader(io.StringIO(table.text)))
    assert len(read) == 550
    assert (read[0]["tool"], read[0]["resource_id"]) == ("get_ticket", "'=1+1")
    assert (await api("GET", "/log/export?tenant_id=globex")).text == ""
    await api.failure(400, "GET", "/log/export?tenant_id=acme&format=xml")
    await api.failure(404, "GET", "/log/export?tenant_id=nobody")
    await api.failure(401, "GET", "/log/export?tenant_id=acme", key=None)


async def test_the_audit_log_is_kept_for_as_long_as_the_operator_says(api: Api) -> None:
    """Older rows go, of every tenant, many at a time; younger ones and the default keep everything."""
    for tenant in ("acme", "globex"):
        for number in range(600):
            stamped = {**asdict(OLD_ROW), "tenant": tenant, "time": 1000.0 + number, "request_id": "x"}
            api.app.audit.write_behind(AuditRow(**stamped))
    await api.app.audit.flush()
    for keep, gone, left in ((None, 0, 600), (5000.0, 0, 600), (3600.0, 1190, 5), (3600.0, 0, 5)):
        keeper = TrailKeeper(api.app.database, keep=keep, clock=lambda: 5195.0)
        assert await keeper.look() == gone
        for tenant in ("acme", "globex"):
            assert len(await audit.find(api.app.database, tenant, limit=1000)) == left


async def test_every_fault_is_named_at_once_and_no_value_is_repeated(api: Api) -> None:
    """With its place; a credential in the wrong field is not told back."""
    body: dict[str, Any] = {
        "tenant_id": "NOT A NAME",
        "integration": 7,
        "secret": "canary-1",
        "secrets": {"token": {"canary-2": 1}},
        "settings": {"site": ["canary-3"]},
    }
    answer = await api("POST", "/integrated-account", json=body)
    assert answer.status_code == 400
    paths = {fault["path"] for fault in answer.json()["error"]["details"]}
    assert paths == {"tenant_id", "integration", "secret", "secrets.token", "settings.site"}
    assert not [word for word in ("canary-1", "canary-2", "canary-3") if word in answer.text]
    error = await api.failure(400, "GET", "/integrated-account?limit=0&status=odd&x=1&limit=1")
    assert {fault["path"] for fault in error["details"]} == {"limit", "status", "x"}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"NaN", "application/json", 400),
        (b'{"id": "x"}', "text/plain", 415),
        (b'{"id": "x"}', "application/x-www-form-urlencoded", 415),
        (b'{"id": "%s"}' % (b"x" * 1_100_000), "application/json", 413),
        (b"[" * 100_000, "application/json", 400),
    ],
)
async def test_a_body_that_is_none(content: bytes, kind: str, status: int, api: Api) -> None:
    """Each told for what it is."""
    await api.failure(status, "POST", "/tenant", content=content, headers={"Content-Type": kind})


async def test_a_method_that_is_not_there(api: Api) -> None:
    """405, with those that are."""
    await api.failure(405, "PUT", "/tenant")
    answer = await api("PUT", "/tenant")
    assert answer.headers["allow"] == "GET, POST"


async def test_no_page_of_another_origin_comes_in(api: Api) -> None:
    """CORS is off: no header allows it, and a foreign Origin is refused outright."""
    answer = await api("GET", "/tenant", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    answer = await api("GET", "/tenant")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cache-control"] == "no-store"


async def test_the_callers_request_id_is_kept_if_it_is_one(api: Api) -> None:
    """In the header and in the error; otherwise one is made."""
    answer = await api("GET", "/tenant", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    answer = await api("GET", "/tenant", headers={"X-Request-Id": "a b"})
    assert len(answer.headers["x-request-id"]) == 32


async def test_a_fault_of_ours_tells_nothing_but_its_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the rest."""

    async def broken() -> None:
        raise RuntimeError("our insides")

    monkeypatch.setattr(api.app.tenants, "list", broken)
    answer = await api("GET", "/tenant")
    assert answer.status_code == 500
    assert "insides" not in answer.text
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_no_secret_is_ever_answered(api: Api) -> None:
    """A canary in every credential, and each secret of ours after it was shown once: in no later answer."""
    api.tracker.tokens["canary-key-acme"] = "acme"
    linked = await api.link("acme", secrets={"token": "canary-key-acme"})
    made = await api.data("POST", "/token", json={"tenant_id": "acme", "subject": "ci"})
    webhook = await api.data("POST", "/webhook", json={"target_url": "https://hooks.example/x"})
    person = await api.data("POST", "/person", json={"tenant_id": "acme", "name": "bo"})
    secrets = [
        "canary-key-acme",
        made["token"].split("_", 3)[3],
        webhook["secret"].removeprefix("whsec_"),
        person["invitation_url"].partition("#")[2].split("_", 3)[3],
        api.key.split("_", 3)[3],
    ]
    seen = [json.dumps(linked)]
    await api("POST", f"/integrated-account/{linked['id']}/verify")
    asked = ["/tenant", "/integrated-account", "/webhook", "/webhook-delivery", "/openapi.json"]
    asked += [f"{path}?tenant_id=acme" for path in ("/log", "/token", "/person")]
    seen += [(await api("GET", path)).text for path in asked]
    seen.append((await api("DELETE", "/tenant/acme")).text)
    for secret in secrets:
        assert len(secret) > 10
        assert not [text for text in seen if secret in text]
