"""Programs that register themselves (statement 25 of the security checklist)."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from linkspan.settings import SignIn
from tests.web.oauth.conftest import ACME, BASE, LOOPBACK, Person, World

OPEN = pytest.mark.parametrize("sign_in", [SignIn(dynamic_registration=True)])
REGISTER = "/t/acme/oauth/register"
CODEX = {
    "client_name": "Codex",
    "redirect_uris": [LOOPBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "none",
    "response_types": ["code"],
    "scope": "read write offline_access",
    "application_type": "native",
}


async def test_25_nobody_registers_unless_the_operator_says_so(browser: httpx2.AsyncClient) -> None:
    """Off by default, and not named in the metadata."""
    assert (await browser.post(REGISTER, json=CODEX)).status_code == 404
    found = (await browser.get("/.well-known/oauth-authorization-server/t/acme")).json()
    assert "registration_endpoint" not in found


@OPEN
async def test_25_codex_registers_and_signs_in(anna: Person) -> None:
    """As it does where it is told to: a public client, known by nobody but itself."""
    async with anna.world.client() as program:
        found = (await program.get("/.well-known/oauth-authorization-server/t/acme")).json()
        assert found["registration_endpoint"] == f"{BASE}{REGISTER}"
        answer = await program.post(REGISTER, json=CODEX)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    assert "client_secret" not in made
    assert made["token_endpoint_auth_method"] == "none"
    assert made["redirect_uris"] == [LOOPBACK]
    client = {"client_id": made["client_id"]}
    page = await anna.ask(**client, redirect_uri=LOOPBACK.replace("38109", "40000"))
    assert "as it calls itself; nobody has checked that" in page.text
    tokens = (await anna.exchange(await anna.code(**client), **client)).json()
    assert (await anna.world.rpc(tokens["access_token"])).status_code == 200
    assert (await anna.refresh(tokens["refresh_token"], **client)).status_code == 200


@OPEN
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        ({"grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]}, "invalid_client_metadata"),
    ],
)
async def test_25_what_may_not_be_is_refused(
    changes: dict[str, Any], error: str, browser: httpx2.AsyncClient
) -> None:
    """With OAuth's word for it."""
    answer = await browser.post(REGISTER, json={**CODEX, **changes})
    assert (answer.status_code, answer.json()["error"]) == (400, error)


@OPEN
async def test_25_what_cannot_be_read_is_refused(browser: httpx2.AsyncClient) -> None:
    """No JSON, no object, too much, too deep."""
    json = {"Content-Type": "application/json"}
    for content, headers, status in (
        (b"", json, 400),
        (b"[]", json, 400),
        (b"[" * 10_000, json, 400),
        (b"{}", {"Content-Type": "text/plain"}, 400),
        (b'{"x": "' + b"x" * 40_000 + b'"}', json, 413),
    ):
        assert (await browser.post(REGISTER, content=content, headers=headers)).status_code == status


@OPEN
async def test_25_an_address_registers_only_so_often(world: World, browser: httpx2.AsyncClient) -> None:
    """Ten in a row, then one a minute; others are not held up."""
    codes = [(await browser.post(REGISTER, json=CODEX)).status_code for _ in range(11)]
    assert codes == [201] * 10 + [429]
    async with world.client(address="203.0.113.8") as other:
        assert (await other.post(REGISTER, json=CODEX)).status_code == 201
    world.clock.now += 60
    assert (await browser.post(REGISTER, json=CODEX)).status_code == 201


@OPEN
async def test_25_what_nobody_uses_ends_within_a_day(anna: Person) -> None:
    """An unused registration is unknown after it; one that was used goes on."""
    async with anna.world.client() as program:
        unused, used = [(await program.post(REGISTER, json=CODEX)).json()["client_id"] for _ in range(2)]
    await anna.code(client_id=used)
    anna.world.clock.now += 86_400
    assert (await anna.ask(client_id=unused)).status_code == 400
    assert (await anna.ask(client_id=used)).status_code == 200


@OPEN
async def test_25_a_tenant_that_is_not_there_answers_the_same(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """And keeps nothing."""
    answers = [await browser.post(f"/t/{name}/oauth/register", json=CODEX) for name in ("acme", "nobody")]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert set(answers[0].json()) == set(answers[1].json())
    rows = await world.app.database.query("SELECT tenant FROM oauth_clients")
    assert [row["tenant"] for row in rows] == [ACME]
