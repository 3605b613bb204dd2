"""The security checklist of an MCP server, one test a statement, each at the public door: 19 to 28.

`tests/web/oauth` holds each of them in depth; here each statement can be looked up.
"""

from __future__ import annotations

import re
from dataclasses import replace

import httpx2
import pytest

from linkspan.accounts.client_documents import ClientDocuments
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.settings import SignIn
from tests.web.oauth.conftest import (
    ACME,
    APP,
    BASE,
    BOLT,
    BY_PROVIDER,
    CODEX,
    LOOPBACK,
    Person,
    World,
    fields,
    signed_in,
    told,
)
from tests.web.oauth.test_provider import there
from tests.web.oauth.test_register import CODEX as REGISTRATION
from tests.web.oauth.test_register import REGISTER

AT_APP = {"client_id": APP, "redirect_uri": "https://app.example/cb"}
ISSUER = f"{BASE}/t/acme"


async def word(answer: httpx2.Response) -> str:
    """OAuth's word for a refusal."""
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


async def test_19_metadata_and_iss(anna: Person) -> None:
    """Where clients look, with the exact issuer; and `iss` comes with a yes and with a no."""
    places = ("oauth-authorization-server", "openid-configuration")
    async with anna.world.client() as program:
        found = [(await program.get(f"/.well-known/{place}/t/acme")).json() for place in places]
    assert found[0] == found[1]
    assert found[0]["issuer"] == ISSUER
    assert found[0]["code_challenge_methods_supported"] == ["S256"]
    assert "none" in found[0]["token_endpoint_auth_methods_supported"]
    assert found[0]["client_id_metadata_document_supported"] is True
    assert found[0]["authorization_response_iss_parameter_supported"] is True
    for decision in ("allow", "deny"):
        answer = await anna.decide(await anna.ask(), decision)
        assert told(answer.headers["location"])["iss"] == ISSUER


async def test_20_pkce_and_codes(anna: Person, eve: Person) -> None:
    """PKCE with S256 alone; a code is good once, for a minute, for its client, redirect, resource, tenant."""
    for changes in (
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
    ):
        assert told((await anna.ask(**changes)).headers["location"])["error"] == "invalid_request"
    wrong = (
        {"code_verifier": "w" * 43},
        {"client_id": "https://chatgpt.com/oauth/codex/AbC-_9012345/client.json"},
        {"redirect_uri": "http://127.0.0.1:38110/callback"},
    )
    for changes in wrong:
        assert await word(await anna.exchange(await anna.code(), **changes)) == "invalid_grant"
    assert (
        await word(await anna.exchange(await anna.code(), resource=f"{BASE}/t/bolt/mcp")) == "invalid_target"
    )
    assert await word(await eve.exchange(await anna.code())) == "invalid_grant"
    code = await anna.code()
    token = (await anna.exchange(code)).json()["access_token"]
    assert (await anna.world.rpc(token)).status_code == 200
    assert await word(await anna.exchange(code)) == "invalid_grant"
    assert (await anna.world.rpc(token)).status_code == 401
    late = await anna.code()
    anna.world.clock.now += 60
    assert await word(await anna.exchange(late)) == "invalid_grant"


async def test_21_redirects(anna: Person) -> None:
    """Exactly as registered, but for the port on this machine; else a page and never a redirect."""
    for port in ("1", "65535"):
        where = f"http://127.0.0.1:{port}/callback"
        answer = await anna.decide(await anna.ask(redirect_uri=where))
        assert answer.headers["location"].startswith(f"{where}?code=")
    strange = (
        *("https://evil.example/callback", "http://127.0.0.1:38109/other", "http://127.0.0.2:38109/callback"),
        *(
            "https://127.0.0.1:38109/callback",
            "http://localhost.evil.example/callback",
            "javascript:alert(1)",
        ),
        *("codex://callback", "http://user@127.0.0.1:38109/callback", f"{LOOPBACK}?x=y", f"{LOOPBACK}#x"),
    )
    for where in strange:
        answer = await anna.ask(redirect_uri=where)
        assert answer.status_code == 400, where
        assert "location" not in answer.headers
    assert (await anna.ask(client_id=APP, redirect_uri="https://app.example:444/cb")).status_code == 400


async def test_22_resource_and_scope(anna: Person) -> None:
    """`resource` is required, and one of this tenant; the token is good there alone; nothing widens."""
    for resource in (None, f"{BASE}/t/bolt/mcp", f"{BASE}/t/acme", "https://evil.example/t/acme/mcp"):
        assert told((await anna.ask(resource=resource)).headers["location"])["error"] == "invalid_target"
    found = await anna.tokens(scope="read")
    assert (await anna.world.rpc(found["access_token"], tenant=BOLT)).status_code == 401
    assert await word(await anna.refresh(found["refresh_token"], scope="read write")) == "invalid_scope"
    other = await anna.refresh(found["refresh_token"], resource=f"{BASE}/t/bolt/mcp")
    assert await word(other) == "invalid_target"


async def test_23_consent(world: World, anna: Person) -> None:
    """Everybody is asked about each client, on a page that says who, where and what, and cannot be forged."""
    await anna.tokens()
    page = await anna.ask()
    words = " ".join(re.sub(r"<[^>]+>", " ", page.text).split())
    for expected in (
        "Codex, of chatgpt.com",
        "127.0.0.1:38109",
        "Read tickets",
        "Any program on this computer",
    ):
        assert expected in words
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    for changes in ({"seal": ""}, {"seal": "A" * 43}, {"client_id": APP}, {"scope": "write"}):
        answer = await anna.decide(page, **changes)
        assert answer.status_code in {400, 403}
        assert "location" not in answer.headers
    async with world.client() as other:
        stolen = {**fields(page.text), "decision": "allow"}
        await signed_in(world, other, "bo")
        assert (await other.post("/t/acme/oauth/authorize", data=stolen)).status_code == 403
        fresh = await other.get("/t/acme/sign-in")
        cookies = fresh.headers.get_list("set-cookie") or [f"{name}=" for name in other.cookies]
    assert all(cookie.startswith("__Host-") for cookie in cookies)
    async with world.client() as new:
        (cookie,) = (await new.get("/t/acme/sign-in")).headers.get_list("set-cookie")
    assert cookie.startswith("__Host-")
    for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute.lower() in cookie.lower()


async def test_24_client_documents(world: World, anna: Person) -> None:
    """Https with a path, no address, its own `client_id`, small, JSON, from where the operator allows."""
    assert (await anna.ask(**AT_APP)).status_code == 200
    ids = (
        *("http://app.example/client.json", "https://app.example", "https://127.0.0.1/client.json"),
        *("https://u:p@app.example/client.json", "https://app.example/client.json#x", "https://[::1]/c.json"),
    )
    for client_id in ids:
        answer = await anna.ask(**{**AT_APP, "client_id": client_id})
        assert answer.status_code == 400, client_id
        assert "location" not in answer.headers
    changed = {"client_id": "https://app.example/else.json"}, {"client_name": "x" * 10_000}
    for number, change in enumerate(changed):
        place = f"https://app.example/{number}.json"
        world.documents[place] = {**world.documents[APP], "client_id": place, **change}
        assert (await anna.ask(**{**AT_APP, "client_id": place})).status_code == 400
    limited = ClientDocuments(world.outside, clock=world.clock, hosts=frozenset({"other.example"}))
    with pytest.raises(OAuthRefused, match="may not sign in here"):
        await limited.fetch(APP)


@pytest.mark.parametrize("sign_in", [SignIn(dynamic_registration=True)])
async def test_25_registration(world: World, browser: httpx2.AsyncClient) -> None:
    """Where the operator allows it: public clients with sound redirects, so many an address, for a while."""
    made = await browser.post(REGISTER, json=REGISTRATION)
    assert made.status_code == 201
    assert "client_secret" not in made.json()
    for uri in ("javascript:alert(1)", "data:text/html,x", "http://app.example/cb"):
        refused = await browser.post(REGISTER, json={**REGISTRATION, "redirect_uris": [uri]})
        assert await word(refused) == "invalid_redirect_uri"
    grants = ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert await word(await browser.post(REGISTER, json={**REGISTRATION, "grant_types": grants}))
    statuses = {(await browser.post(REGISTER, json=REGISTRATION)).status_code for _each in range(12)}
    assert statuses == {201, 429}
    (before,) = await world.app.database.query("SELECT count(*) AS number FROM oauth_clients")
    assert before["number"] > 0
    world.clock.now += 86_401
    async with world.client(address="203.0.113.99") as later:
        assert (await later.post(REGISTER, json=REGISTRATION)).status_code == 201
    (after,) = await world.app.database.query("SELECT count(*) AS number FROM oauth_clients")
    assert after["number"] == 1


async def test_25_registration_is_off_by_default(browser: httpx2.AsyncClient) -> None:
    """Nobody registers unless the operator says so."""
    assert (await browser.post(REGISTER, json=REGISTRATION)).status_code == 404


async def test_26_tokens_end(world: World, anna: Person) -> None:
    """They rotate with half a minute of grace, live a quarter of an hour, are hashed, and end at once."""
    answer = await anna.exchange(await anna.code())
    assert answer.headers["cache-control"] == "no-store"
    first = answer.json()
    assert first["expires_in"] <= 900
    second = (await anna.refresh(first["refresh_token"])).json()
    stored = str(
        [
            dict(row)
            for table in ("tokens", "refresh_tokens", "grants")
            for row in await world.app.database.query(f"SELECT * FROM {table}")
        ]
    )
    for token in (
        first["access_token"],
        first["refresh_token"],
        second["access_token"],
        second["refresh_token"],
    ):
        assert token.split("_", 3)[3] not in stored
    world.clock.now += 31
    assert await word(await anna.refresh(first["refresh_token"])) == "invalid_grant"
    assert await word(await anna.refresh(second["refresh_token"])) == "invalid_grant"
    assert (await world.rpc(second["access_token"])).status_code == 401
    third = await anna.tokens()
    assert (await world.rpc(third["access_token"])).status_code == 200
    await anna.post("revoke", {"token": third["refresh_token"], "client_id": CODEX})
    assert (await world.rpc(third["access_token"])).status_code == 401


@pytest.mark.parametrize("sign_in", [BY_PROVIDER])
async def test_27_state_of_a_provider(world: World, browser: httpx2.AsyncClient) -> None:
    """Good once, for ten minutes, in the browser and for the tenant that asked."""
    for tenant in (ACME, BOLT):
        await world.app.people.invite(tenant, "anna", link=False, email="anna@acme.example")
    async with world.client() as attacker:
        foreign = await there(world, attacker)
    assert (await browser.get(foreign)).status_code == 403
    back = await there(world, browser)
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 403
    late = await there(world, browser)
    world.clock.now += 601
    assert (await browser.get(late)).status_code == 403
    mine = await there(world, browser)
    await there(world, browser, f"/t/{BOLT}/sign-in/provider")
    assert (await browser.get(mine)).status_code == 403


async def test_28_https_cors_and_where_a_sign_in_leads(world: World, anna: Person) -> None:
    """The token endpoint takes no cookies from other origins; after signing in nobody is sent elsewhere."""
    async with world.client() as program:
        answer = await program.options("/t/acme/oauth/token", headers={"Origin": "https://else.example"})
        assert answer.headers.get("access-control-allow-credentials") is None
    async with world.client() as browser:
        page = await browser.get("/t/acme/sign-in", params={"after": "https://evil.example/"})
        form = {**fields(page.text), "invitation": await world.invitation("bo")}
        sent = await browser.post("/t/acme/invitation", data=form)
        assert sent.headers.get("location", "/").startswith("/t/acme/")
        form = {**fields((await browser.get("/t/acme/invitation")).text), "after": "//evil.example"}
        sent = await browser.post(
            "/t/acme/invitation", data={**form, "invitation": await world.invitation("bo")}
        )
        assert "evil" not in sent.headers.get("location", "")


@pytest.mark.parametrize("public_url", ["http://linkspan.example"])
async def test_28_nobody_signs_in_where_others_read_along(world: World) -> None:
    """Without TLS there is no signing in but on this machine."""
    async with replace(world, base="http://linkspan.example").client() as program:
        assert (await program.get("/.well-known/oauth-authorization-server/t/acme")).status_code == 404
        assert (await program.post("/t/acme/oauth/token")).status_code == 404
