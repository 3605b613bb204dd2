"""Making link tokens: what they are bound to, over the management API and on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from linkspan.store.audit import find
from tests.web.link.conftest import ACME, BASE, BOLT, SITE, Place


@pytest.fixture
async def key(place: Place) -> str:
    """An admin key."""
    return (await place.app.admins.create("anna")).text.reveal()


async def make(place: Place, key: str, **body: Any) -> Any:
    """Ask for a token."""
    http = place.browser().http
    return await http.post("/link-token", json=body, headers={"Authorization": f"Bearer {key}"})


async def test_a_token_is_bound_to_what_was_said(place: Place, key: str) -> None:
    """And to nothing else; the address has it behind the #."""
    answer = await make(
        place,
        key,
        tenant_id="acme",
        person="bo",
        integrations=["tracker", "cloud"],
        scopes=["read"],
        allowed_origins=["https://APP.acme.example:443/", "http://localhost:3000", SITE],
        redirect_uri=f"{SITE}/done",
        context={"team": "red"},
        is_sandbox=True,
        expires_in=3600,
    )
    assert answer.status_code == 201
    made = answer.json()["result"]
    assert set(made) == {"id", "link_token", "url", "expires_at"}
    assert made["url"] == f"{BASE}/connect-account#link_token={made['link_token']}"
    session = await place.app.link_sessions.find(made["link_token"].split("_")[2])
    assert session is not None
    assert {
        name: value
        for name, value in asdict(session).items()
        if name not in {"id", "hash", "browser", "busy", "linked", "failure", "created"}
    } == {
        "tenant": "acme",
        "subject": "bo",
        "connectors": ("tracker", "cloud"),
        "scopes": ("read",),
        "origins": (SITE, "http://localhost:3000"),
        "redirect_uri": f"{SITE}/done",
        "settings": {"team": "red"},
        "account": None,
        "keep_settings": True,
        "allow_identity_change": False,
        "sandbox": True,
        "expires": place.clock.now + 3600,
    }
    (entry,) = await find(place.app.database, ACME)
    assert (entry.row.tool, entry.row.entity, entry.row.entity_id) == (
        "create_link_token",
        "link_token",
        session.id,
    )


async def test_a_token_for_an_account_that_is_there(place: Place, key: str) -> None:
    """It says whose it is and where; a tenant beside it is refused, and so is another tenant's account."""
    place.know_keys()
    await (await place.opened("tracker", person="bo")).link()
    account = (await place.only()).id
    made = await make(place, key, integrated_account_id=account)
    session = await place.app.link_sessions.find(made.json()["result"]["link_token"].split("_")[2])
    assert session is not None
    assert (session.tenant, session.subject, session.connectors, session.account) == (
        "acme",
        "bo",
        ("tracker",),
        account,
    )
    for body in (
        {"tenant_id": "acme", "integrated_account_id": account},
        {"tenant_id": "bolt", "integrated_account_id": account},
        {},
        {"integrated_account_id": account, "person": "eve"},
        {"integrated_account_id": account, "integrations": ["cloud"]},
    ):
        assert (await make(place, key, **body)).status_code == 400, body
    assert (await make(place, key, integrated_account_id="acc_other")).status_code == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"integrations": ["nothing"]}, "integrations"),
        ({"integrations": ["own"]}, "integrations"),
        ({"allowed_origins": ["https://*.acme.example"]}, "allowed_origins"),
        ({"allowed_origins": ["*"]}, "allowed_origins"),
        ({"allowed_origins": ["http://app.acme.example"]}, "allowed_origins"),
        ({"allowed_origins": ["https://app.acme.example/path"]}, "allowed_origins"),
        ({"allowed_origins": ["https://a.example; script-src *"]}, "allowed_origins"),
        ({"allowed_origins": ["https://[::1]"]}, "allowed_origins"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"redirect_uri": "http://app.acme.example/"}, "redirect_uri"),
        ({"redirect_uri": "https://app.acme.example/#x"}, "redirect_uri"),
        ({"scopes": ["two words"]}, "scopes"),
        ({"context": {"nothing": "x"}}, "context.nothing"),
        ({"context": {"team": "NO"}}, "context.team"),
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 604_801}, "expires_in"),
        ({"evil": 1}, "evil"),
    ],
    ids=str,
)
async def test_what_does_not_fit_is_told(place: Place, key: str, body: dict[str, Any], path: str) -> None:
    """Where it stands in what was sent."""
    answer = await make(place, key, tenant_id="acme", **body)
    assert answer.status_code == 400
    assert path in {fault["path"] for fault in answer.json()["error"]["details"]}


async def test_who_may_make_one(place: Place, key: str) -> None:
    """An admin, for a tenant that is there."""
    assert (await make(place, "lsk_admin_x", tenant_id="acme")).status_code == 401
    assert (await make(place, key, tenant_id="nobody")).status_code == 404
    token = await place.app.tokens.create(BOLT, subject="codex")
    assert (await make(place, token.text.reveal(), tenant_id="bolt")).status_code == 401


async def test_a_token_that_went_astray_is_ended(place: Place, key: str) -> None:
    """At once, opened or not, by its tenant; what it has linked stays, and it ends once."""
    place.know_keys()
    token = await place.token("tracker")
    browser = await place.opened("tracker")
    http, headers = place.browser().http, {"Authorization": f"Bearer {key}"}

    async def end(session: str, tenant: str = "acme") -> int:
        answer = await http.delete(f"/link-token/{session}", params={"tenant_id": tenant}, headers=headers)
        return answer.status_code

    assert await end(token.split("_")[2], "bolt") == 404
    assert await end(token.split("_")[2]) == 200
    assert await end(token.split("_")[2]) == 404
    assert (await place.browser().open(token)).status_code == 401
    assert await end(browser.session) == 200
    assert (await browser.link()).status_code == 403
    browser = await place.opened("tracker")
    await browser.link()
    assert await end(browser.session) == 404
    assert (await place.only()).state == "active"


async def test_a_link_token_opens_nothing_else(place: Place, key: str) -> None:
    """Neither the management API nor a tenant's endpoint."""
    token = (await make(place, key, tenant_id="acme")).json()["result"]["link_token"]
    http = place.browser().http
    headers = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/tenant", headers=headers)).status_code == 401
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    assert (await http.post("/t/acme/mcp", json=call, headers=headers)).status_code == 401


async def test_a_tenant_that_leaves_takes_its_links_along(place: Place, key: str) -> None:
    """What was opened shows nothing any more."""
    browser = await place.opened("tracker")
    http = place.browser().http
    gone = await http.delete("/tenant/acme", headers={"Authorization": f"Bearer {key}"})
    assert gone.json()["result"]["deleted"]["link_sessions"] == 1
    assert (await browser.http.get(f"/link-session/{browser.session}")).status_code == 401
    assert "lsk_" not in json.dumps(gone.json())
