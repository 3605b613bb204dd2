"""Which programs there are (statements 24 and 25 of the security checklist)."""

from __future__ import annotations

import os
from typing import Any

import pytest
from starlette.responses import JSONResponse

from linkspan.accounts.client_documents import ClientDocuments
from linkspan.accounts.clients import MOST_REGISTERED, Client, Clients, codex_client
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.principal import Tenant
from linkspan.errors import RateLimited
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.fakes.asgi import AsgiTransport

CODEX = "https://chatgpt.com/oauth/codex/client.json"
METADATA = {
    "client_name": "Codex",
    "redirect_uris": ["http://127.0.0.1:38109/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "none",
    "response_types": ["code"],
    "scope": "read write",
    "application_type": "native",
}


def nobody() -> AsgiTransport:
    """A network on which nobody answers with a document."""
    return AsgiTransport(JSONResponse({}, 404))


@pytest.fixture
def clients(db: Database, clock: Clock) -> Clients:
    """Clients that may register themselves."""
    documents = ClientDocuments(nobody(), clock=clock)
    return Clients(db, documents, clock=clock, random=os.urandom, registration=True)


def test_24_codex_is_known_by_heart_under_both_of_its_names() -> None:
    """With the redirect that goes with each: `/callback` where we send `iss`, else one with its id."""
    plain = codex_client(CODEX)
    assert plain is not None
    assert plain.redirect("http://127.0.0.1:38109/callback").port == ":38109"
    named = codex_client("https://chatgpt.com/oauth/codex/AbC-_9012345/client.json")
    assert named is not None
    assert named.redirect("http://127.0.0.1:1/callback/AbC-_9012345").is_loopback
    for client, uri in (
        (plain, "http://127.0.0.1:1/callback/AbC-_9012345"),
        (named, "http://127.0.0.1:1/callback"),
        (named, "http://127.0.0.1:1/callback/other0000000"),
        (plain, "https://chatgpt.com/callback"),
    ):
        with pytest.raises(OAuthRefused):
            client.redirect(uri)


@pytest.mark.parametrize(
    "client_id",
    [
        "https://chatgpt.com/oauth/codex/short/client.json",
        "https://chatgpt.com/oauth/codex/AbC-_9012345/x/client.json",
        "https://chatgpt.com/oauth/codex//client.json",
        "https://chatgpt.com.evil.example/oauth/codex/client.json",
        "http://chatgpt.com/oauth/codex/client.json",
        f"{CODEX}\n",
    ],
)
def test_24_nothing_else_is_taken_for_codex(client_id: str) -> None:
    """A pinned name is exactly that name."""
    assert codex_client(client_id) is None


async def test_24_codex_needs_no_network(clients: Clients) -> None:
    """An installation that cannot reach chatgpt.com lets Codex sign in."""
    found = await clients.find(ACME, CODEX)
    assert found is not None and (found.name, found.host, found.known_by) == (
        "Codex",
        "chatgpt.com",
        "pinned",
    )


async def test_24_another_document_must_be_fetched_and_an_unknown_id_is_refused(clients: Clients) -> None:
    """Finding a client never asks the network; whoever is nobody is an invalid client."""
    assert await clients.find(ACME, "https://app.example/client.json") is None
    for client_id in ("client_abcdefabcdef", "codex", "https://app.example/", ""):
        with pytest.raises(OAuthRefused) as told:
            await clients.find(ACME, client_id)
        assert told.value.error == "invalid_client"


async def test_25_a_registered_client_is_found_at_its_tenant(clients: Clients) -> None:
    """Public, with what it gave; nowhere else."""
    made = await clients.register(ACME, METADATA)
    found = await clients.find(ACME, made.id)
    assert found == Client(made.id, "Codex", ("http://127.0.0.1:38109/callback",), "registration")
    assert found.redirect("http://127.0.0.1:4/callback").port == ":4"
    with pytest.raises(OAuthRefused):
        await clients.find(BOLT, made.id)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["cursor://cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
    ],
)
async def test_25_what_cannot_be_registered(changes: dict[str, Any], error: str, clients: Clients) -> None:
    """Dangerous redirects, secrets, and ways to a token that are none here."""
    with pytest.raises(OAuthRefused) as told:
        await clients.register(ACME, {**METADATA, **changes})
    assert told.value.error == error


async def test_25_registrations_that_nobody_uses_end_and_used_ones_stay(
    clients: Clients, clock: Clock
) -> None:
    """A day, or as long as any sign-in lasts."""
    unused, used = await clients.register(ACME, METADATA), await clients.register(ACME, METADATA)
    client = await clients.find(ACME, used.id)
    assert client is not None
    await clients.used(ACME, client)
    clock.now += 86_400
    with pytest.raises(OAuthRefused):
        await clients.find(ACME, unused.id)
    assert await clients.find(ACME, used.id) == client


async def test_25_a_tenant_has_only_so_many(clients: Clients, db: Database, clock: Clock) -> None:
    """Full is told as such, with a time; another tenant is not full by it."""
    first = await clients.register(ACME, METADATA)
    another = (
        "INSERT INTO oauth_clients SELECT tenant, :id, name, redirect_uris, created, expires"
        " FROM oauth_clients WHERE id = :first"
    )
    for number in range(MOST_REGISTERED - 1):
        await db.execute(another, {"id": f"c{number}", "first": first.id})
    with pytest.raises(RateLimited) as told:
        await clients.register(ACME, METADATA)
    assert told.value.retry_after is not None
    await clients.register(BOLT, METADATA)


async def test_25_nobody_learns_which_tenants_there_are(clients: Clients, db: Database) -> None:
    """A tenant that is not there answers the same, and nothing is kept."""
    made = await clients.register(Tenant("nobody"), METADATA)
    assert made.id.startswith("client_")
    assert await db.query("SELECT * FROM oauth_clients") == []


async def test_25_a_registration_is_worth_nothing_once_it_is_switched_off(
    clients: Clients, db: Database, clock: Clock
) -> None:
    """The operator's switch is for the clients that are there, too."""
    made = await clients.register(ACME, METADATA)
    documents = ClientDocuments(nobody(), clock=clock)
    off = Clients(db, documents, clock=clock, random=os.urandom, registration=False)
    with pytest.raises(OAuthRefused):
        await off.find(ACME, made.id)
