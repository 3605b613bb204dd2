"""What clients read first (statements 3, 19 and 28 of the security checklist)."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from tests.web.oauth.conftest import ACME, BASE, World

WELL_KNOWN = (
    "/.well-known/oauth-authorization-server/t/{}",
    "/.well-known/openid-configuration/t/{}",
    "/t/{}/.well-known/openid-configuration",
)


@pytest.mark.parametrize("where", WELL_KNOWN)
async def test_19_the_metadata_stands_at_every_address_that_clients_look_at(
    where: str, browser: httpx2.AsyncClient
) -> None:
    """Its issuer is what the protected resource names; PKCE with S256, public clients, CIMD, `iss`."""
    answer = await browser.get(where.format("acme"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = answer.json()
    issuer = f"{BASE}/t/acme"
    assert found["issuer"] == issuer
    assert found["authorization_endpoint"] == f"{issuer}/oauth/authorize"
    assert found["token_endpoint"] == f"{issuer}/oauth/token"
    assert found["revocation_endpoint"] == f"{issuer}/oauth/revoke"
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    assert found["client_id_metadata_document_supported"] is True
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["response_types_supported"] == ["code"]
    assert found["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert "offline_access" in found["scopes_supported"]
    assert found["protected_resources"] == [f"{issuer}/mcp"]
    assert "registration_endpoint" not in found


async def test_3_the_protected_resource_names_its_authorization_server(browser: httpx2.AsyncClient) -> None:
    """`resource` is the very URL; few scopes, without `offline_access` and without a star."""
    found = (await browser.get("/.well-known/oauth-protected-resource/t/acme/mcp")).json()
    assert found["resource"] == f"{BASE}/t/acme/mcp"
    assert found["authorization_servers"] == [f"{BASE}/t/acme"]
    assert found["scopes_supported"] == ["read", "write"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_1_whoever_has_no_token_is_shown_the_way(method: str, browser: httpx2.AsyncClient) -> None:
    """401 before anything else, with the metadata's address and the scopes; the same for no such tenant."""
    answers = {}
    for tenant in ("acme", "nobody"):
        answer = await browser.request(method, f"/t/{tenant}/mcp")
        assert answer.status_code == 401
        challenge = answer.headers["www-authenticate"]
        where = f'resource_metadata="{BASE}/.well-known/oauth-protected-resource/t/{tenant}/mcp"'
        assert where in challenge and 'scope="read write"' in challenge and "error" not in challenge
        told = answer.text.replace(answer.headers["x-request-id"], "N")
        answers[tenant] = (challenge + told).replace(tenant, "T")
    assert answers["acme"] == answers["nobody"]


async def test_1_a_tenant_that_is_not_there_has_the_same_metadata(browser: httpx2.AsyncClient) -> None:
    """Nobody learns which tenants there are."""
    for where in (*WELL_KNOWN, "/.well-known/oauth-protected-resource/t/{}/mcp"):
        there, not_there = [
            (await browser.get(where.format(name))).text.replace(name, "T") for name in ("acme", "nobody")
        ]
        assert there == not_there


async def test_19_what_can_be_no_tenant_has_none(browser: httpx2.AsyncClient) -> None:
    """A name that is none is nowhere."""
    for name in ("Acme", "a.b", "-x", "x" * 64):
        assert (await browser.get(WELL_KNOWN[0].format(name))).status_code == 404


async def test_28_programs_in_a_browser_may_read_it_without_cookies(browser: httpx2.AsyncClient) -> None:
    """From any origin, and never with credentials; the same at the token endpoint, refused or not."""
    origin = {"Origin": "https://inspector.example"}
    answers = [
        await browser.get(WELL_KNOWN[0].format("acme"), headers=origin),
        await browser.request("OPTIONS", "/t/acme/oauth/token", headers=origin),
        await browser.post("/t/acme/oauth/token", headers=origin),
        await browser.post("/t/acme/oauth/revoke", headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [200, 204, 400, 400]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "set-cookie" not in answer.headers


async def test_9_a_page_of_another_origin_cannot_send_our_forms(browser: httpx2.AsyncClient) -> None:
    """Its Origin is refused where people answer."""
    for path in ("invitation", "sign-out", "oauth/authorize"):
        answer = await browser.post(f"/t/acme/{path}", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403


async def test_9_another_host_is_refused_everywhere(world: World) -> None:
    """A name that this server is not known by (DNS rebinding)."""
    async with world.client() as client:
        for path in (WELL_KNOWN[0].format("acme"), "/t/acme/sign-in", "/t/acme/oauth/authorize"):
            answer = await client.get(path, headers={"Host": "evil.example"})
            assert answer.status_code == 421


@pytest.mark.parametrize("public_url", ["http://linkspan.internal"])
async def test_28_nobody_signs_in_over_a_network_that_others_read(world: World) -> None:
    """No metadata, no page, no tokens, and no authorization server named; static tokens still work."""
    async with world.client() as client:
        for where in (*WELL_KNOWN, "/t/{}/sign-in", "/t/{}/oauth/authorize"):
            assert (await client.get(where.format("acme"))).status_code == 404
        assert (await client.post("/t/acme/oauth/token")).status_code == 404
        found = (await client.get("/.well-known/oauth-protected-resource/t/acme/mcp")).json()
    assert "authorization_servers" not in found
    token = (await world.app.tokens.create(ACME, subject="ci")).text
    assert (await world.rpc(token.reveal())).status_code == 200


@pytest.mark.parametrize("public_url", [None])
@pytest.mark.parametrize("base", ["http://127.0.0.1:8640", "http://localhost:8640", "http://[::1]:8640"])
async def test_28_this_machine_needs_no_tls(base: str, world: World) -> None:
    """The issuer is what the client calls us."""
    async with replace(world, base=base).client() as client:
        found = (await client.get(WELL_KNOWN[0].format("acme"))).json()
    assert found["issuer"] == f"{base}/t/acme"
