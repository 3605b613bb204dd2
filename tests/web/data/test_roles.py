"""What an admin key opens: by its role, by the tenant that it is bound to, at every door of programs."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.store.admins import ROLES, Role
from tests.web.data.conftest import Desk

READS = (
    "/proxy/tracker/me?tenant_id={tenant}",
    "/custom/me?integrated_account_id={account}",
    "/proxy/tickets/1?tenant_id={tenant}",
    "/unified/ticketing/tickets/1?tenant_id={tenant}",
    "/unified/ticketing/tickets/1?integrated_account_id={account}",
    "/integrated-account?tenant_id={tenant}",
    "/runs?tenant_id={tenant}",
)
WRITES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("/proxy/tracker/tickets?tenant_id={tenant}", {"subject": "x"}, 201),
    ("/custom/tickets?integrated_account_id={account}", {"subject": "x"}, 201),
    ("/proxy/tickets?tenant_id={tenant}", {"title": "x"}, 201),
    ("/unified/ticketing/tickets?tenant_id={tenant}", {"title": "x"}, 201),
    ("/integrated-account/{account}/verify", {}, 200),
)


def batch_of(method: str, tenant: str) -> dict[str, Any]:
    """Answer a batch of one call."""
    given = {"id": "1"} if method == "get" else {"body": {"title": "x"}}
    return {"tenant_id": tenant, "resources": [{"resource": "tickets", "method": method, **given}]}


async def key_of(desk: Desk, role: Role, only: str | None = None) -> str:
    """Make a key."""
    return (await desk.app.admins.create("x", role=role, only=only)).text.reveal()


@pytest.mark.parametrize("role", ROLES)
async def test_a_key_of_all_tenants_does_what_its_role_may(desk: Desk, role: Role) -> None:
    """A viewer reads and nothing else, whichever door, tenant and way of naming it."""
    key = await key_of(desk, role)
    is_operator = role != "viewer"
    for tenant, account in desk.accounts.items():
        names = {"tenant": tenant, "account": account}
        for path in READS:
            assert (await desk("GET", path.format(**names), key=key)).status_code == 200, path
        desk.transport.sent.clear()
        for path, body, done in WRITES:
            answer = await desk("POST", path.format(**names), key=key, json=body)
            assert answer.status_code == (done if is_operator else 403), path
        read = await desk.data("POST", "/batch-request", key=key, json=batch_of("get", tenant))
        assert read["result"]["tickets"][0]["title"] == f"{tenant} ticket 1"
        made = await desk.data("POST", "/batch-request", key=key, json=batch_of("create", tenant))
        assert [each["code"] for each in made["errors"].get("tickets", [])] == ["forbidden"] * (
            not is_operator
        )
        assert any(sent.method == "POST" for sent in desk.transport.sent) is is_operator
        answer = await desk("DELETE", f"/proxy/tracker/tickets/9?tenant_id={tenant}", key=key)
        assert answer.status_code == (405 if is_operator else 403)  # 405 is the product's own
        made = await desk("POST", "/token", key=key, json={"tenant_id": tenant, "subject": "x"})
        assert made.status_code == (201 if role == "admin" else 403)
        assert (await desk("POST", f"/t/{tenant}/mcp", key=key, json={})).status_code == 401


@pytest.mark.parametrize("role", ROLES)
async def test_a_key_of_one_tenant_is_the_consoles_alone(desk: Desk, role: Role) -> None:
    """Neither its own tenant nor another, nor what is not there; no product is asked."""
    key = await key_of(desk, role, "acme")
    desk.transport.sent.clear()
    for tenant, account in {**desk.accounts, "nobody": "acc_nothing"}.items():
        names = {"tenant": tenant, "account": account}
        for path in READS:
            told = await desk.failure(403, "GET", path.format(**names), key=key)
            assert "for tenant acme alone" in told["error"]["message"], path
        for path, body, _ in WRITES:
            await desk.failure(403, "POST", path.format(**names), key=key, json=body)
        for method in ("get", "create"):
            await desk.failure(403, "POST", "/batch-request", key=key, json=batch_of(method, tenant))
        await desk.failure(403, "POST", "/token", key=key, json={"tenant_id": tenant, "subject": "x"})
        assert (await desk("POST", f"/t/{tenant}/mcp", key=key, json={})).status_code == 401
    await desk.failure(403, "GET", "/proxy/tracker/me", key=key)
    assert desk.transport.sent == []


async def test_an_account_of_a_persons_own_is_not_for_who_only_looks(desk: Desk) -> None:
    """As its runs are not: it is not there."""
    tracked, acme = desk.app.catalog.connectors["tracker"], Tenant("acme")
    own = await desk.app.accounts.link(acme, tracked, secrets={"token": "canary-acme"}, subject="anna")
    named = f"integrated_account_id={own.id}"
    for role in ROLES:
        status = 404 if role == "viewer" else 200
        key = await key_of(desk, role)
        for path in (
            f"/proxy/tracker/me?{named}",
            f"/custom/me?{named}",
            f"/unified/ticketing/tickets/1?{named}",
        ):
            assert (await desk("GET", path, key=key)).status_code == status, (role, path)
