"""The built-in connector `openai`: the account that pays for a tenant's Codex runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linkspan import spec
from linkspan.accounts.accounts import Accounts
from linkspan.errors import Forbidden, InvalidArgument, NeedsReauth
from linkspan.gateway.verify import Verifier
from linkspan.net.client import Client
from linkspan.spec.catalog import Connector
from linkspan.store.database import Database
from linkspan.vault.seal import Vault
from tests.accounts.conftest import ACME, Clock
from tests.fakes.asgi import AsgiTransport

KEY = "key-canary-of-acme"
TOOLS = """
linkspan: 1
name: openai
instructions: Nothing is listed here, so list nothing.
connectors:
  openai: {use: openai}
"""


async def models(request: Request) -> Response:
    """Answer as the models endpoint does."""
    if request.headers.get("authorization") == "Bearer restricted-canary":
        message = "You have insufficient permissions. Missing scopes: api.model.read."
        return JSONResponse({"error": {"message": message}}, 403)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return JSONResponse({"error": {"message": "Incorrect API key provided."}}, 401)
    return JSONResponse({"object": "list", "data": []})


@pytest.fixture
def transport() -> AsgiTransport:
    """The product."""
    return AsgiTransport(Starlette(routes=[Route("/v1/models", models)]))


@pytest.fixture
def openai(tmp_path: Path) -> Connector:
    """The connector, with nothing but its name in the file."""
    (tmp_path / "tools.yaml").write_text(TOOLS)
    return spec.load([tmp_path / "tools.yaml"], {}).connectors["openai"]


@pytest.fixture
def accounts(db: Database, vault: Vault, clock: Clock, transport: AsgiTransport) -> Accounts:
    """The accounts of this process."""
    return Accounts(db, vault, clock=clock, random=os.urandom, client=Client(transport))


async def test_a_key_is_checked_against_the_models(
    accounts: Accounts, openai: Connector, transport: AsgiTransport
) -> None:
    """Without settings no header of theirs is sent; with them both are."""
    verify = Verifier(Client(transport))
    linked = await accounts.link(ACME, openai, secrets={"token": KEY}, verify=verify)
    assert (linked.state, linked.verified is not None) == ("active", True)
    assert transport.sent[-1].url == "https://api.openai.com/v1/models"
    assert not any(name.lower().startswith("openai") for name in transport.sent[-1].headers)
    settings = {"organization": "org-acme", "project": "proj_1"}
    await accounts.link(ACME, openai, settings=settings, secrets={"token": KEY}, verify=verify)
    sent = transport.sent[-1].headers
    assert (sent["OpenAI-Organization"], sent["OpenAI-Project"]) == ("org-acme", "proj_1")


async def test_a_key_that_is_no_good_is_told(
    accounts: Accounts, openai: Connector, transport: AsgiTransport
) -> None:
    """Wrong, restricted, or with an organization that is none; and nothing is linked."""
    verify = Verifier(Client(transport))
    with pytest.raises(NeedsReauth, match="Incorrect API key"):
        await accounts.link(ACME, openai, secrets={"token": "wrong-canary"}, verify=verify)
    with pytest.raises(Forbidden, match=r"api\.model\.read"):
        await accounts.link(ACME, openai, secrets={"token": "restricted-canary"}, verify=verify)
    with pytest.raises(InvalidArgument, match="org-"):
        await accounts.link(
            ACME, openai, settings={"organization": "acme"}, secrets={"token": KEY}, verify=verify
        )
    assert await accounts.list(ACME) == []
