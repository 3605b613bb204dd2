"""A tenant leaves, and what is left of it is nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.offboarding import Offboarding, Parting
from linkspan.accounts.principal import Tenant
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.token_answers import Tokens as Granted
from linkspan.accounts.tokens import Tokens
from linkspan.errors import NotFound, Unauthenticated
from linkspan.net.client import Client
from linkspan.spec.catalog import Connector
from linkspan.store import accounts as rows
from linkspan.store import webhooks
from linkspan.store.database import Database
from linkspan.vault.seal import Vault
from linkspan.vault.secret import Secret
from tests.accounts.conftest import ACME, BOLT, TOOLS, Clock, load
from tests.fakes.asgi import AsgiTransport
from tests.store.engines import Engine
from tests.store.rows import webhook

OAUTH = """
    auth:
      - {type: oauth2, authorize_url: "https://id.example/authorize", token_url: "https://id.example/token",
         REVOKE client: {id: us, secret: ours}}
"""


@dataclass
class Vendor:
    """An authorization server that takes tokens back, unless it is told not to."""

    status: int = 200
    given_back: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(routes=[Route("/revoke", self._revoke, methods=["POST"])])

    async def _revoke(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        if self.status == 200:
            self.given_back += form["token"]
        return JSONResponse({}, self.status)


@dataclass
class Office:
    """Two tenants, ways to connect with and without an end, and a folder for each tenant."""

    accounts: Accounts
    tokens: Tokens
    offboarding: Offboarding
    vendor: Vendor
    connectors: Mapping[str, Connector]
    work: Path

    async def grant(self, tenant: Tenant, connector: str, token: str) -> str:
        """Link an account that somebody consented to in a browser."""
        granted = Granted(Secret(f"access-{token}"), Secret(f"refresh-{token}"), None, None)
        linked = await self.accounts.link(
            tenant,
            self.connectors[connector],
            settings={"site": "s"} if connector == "desk" else {},
            tokens=granted,
        )
        return linked.id


@pytest.fixture
def office(db: Database, vault: Vault, clock: Clock, tmp_path: Path) -> Office:
    """All of it, the vendor reached in process."""
    parts = TOOLS.split("    auth:\n      - {type: bearer", 1)
    rest = parts[1].split("    verify:", 1)[1]
    desk = parts[0] + OAUTH.strip("\n").replace("REVOKE", 'revoke_url: "https://id.example/revoke",')
    text = f"{desk}\n    verify:{rest}"
    endless = OAUTH.strip("\n").replace("REVOKE", "")
    text = text.replace(
        "  bare:\n", f"  endless:\n    title: Endless\n    base_url: https://e.example\n{endless}\n  bare:\n"
    )
    vendor = Vendor()
    client = Client(AsgiTransport(vendor.app()), clock=clock)
    accounts = Accounts(db, vault, clock=clock, random=os.urandom, client=client)
    work = tmp_path / "work"
    offboarding = Offboarding(db, Tenants(db, clock=clock), accounts, clock=clock, work=work)
    tokens = Tokens(db, clock=clock, random=os.urandom)
    return Office(accounts, tokens, offboarding, vendor, load(tmp_path, text), work)


async def test_grants_are_given_back_and_everything_is_deleted(office: Office, db: Database) -> None:
    """The proof says what was done, table by table; another tenant keeps all it has."""
    ids = {name: await office.grant(name, "desk", name) for name in (ACME, BOLT)}
    for name in (ACME, BOLT):
        await office.tokens.create(name, subject="ci")
        (office.work / name / "run_1").mkdir(parents=True)
        (office.work / name / "run_1" / "diff").write_text("what was changed")
        (office.work / name / "link").symlink_to(office.work / BOLT)
    await webhooks.insert(db, webhook(ACME))
    done = await office.offboarding.remove(ACME, office.connectors)
    assert office.vendor.given_back == ["refresh-acme"]
    assert done.accounts == (Parting(ids[ACME], "desk", None, "revoked", None),)
    assert {name: count for name, count in done.deleted.items() if count} == {
        "accounts": 1, "tokens": 1, "webhooks": 1, "tenants": 1,
    }  # fmt: skip
    assert done.files == 2
    assert sorted(path.name for path in office.work.iterdir()) == [BOLT]
    assert (office.work / BOLT / "run_1" / "diff").exists()
    assert [row.id for row in await rows.of_tenant(db, BOLT)] == [ids[BOLT]]


async def test_what_could_not_be_given_back_is_told(office: Office, db: Database) -> None:
    """A product that fails, a fixed key, a connector that is gone: each by name; all are deleted."""
    desk = await office.grant(ACME, "desk", "one")
    endless = await office.grant(ACME, "endless", "two")
    bare = office.connectors["bare"]
    keyed = await office.accounts.link(
        ACME, bare, method="header", settings={"url": "https://x.example"}, secrets={"key": "k"}
    )
    free = await office.accounts.link(ACME, bare, method="none", settings={"url": "https://y.example"})
    office.vendor.status = 503
    known = {name: each for name, each in office.connectors.items() if name != "endless"}
    done = await office.offboarding.remove(ACME, known)
    told = {each.account: (each.outcome, each.why) for each in done.accounts}
    assert told == {
        desk: ("not_revoked", "Acme Desk did not take it back: revoke it there"),
        endless: ("not_revoked", "tools.yaml has no connector 'endless' any more: revoke it there"),
        keyed.id: ("no_grant", "a fixed credential: delete it at Bare"),
        free.id: ("no_grant", None),
    }
    assert done.deleted["accounts"] == 4
    assert await rows.of_tenant(db, ACME) == []


async def test_a_connector_without_revocation_says_so(office: Office) -> None:
    """It needs somebody at the product."""
    await office.grant(ACME, "endless", "two")
    (parting,) = (await office.offboarding.remove(ACME, office.connectors)).accounts
    assert (parting.outcome, parting.why) == (
        "not_revoked", "the connector declares no revoke_url: revoke it at Endless",
    )  # fmt: skip


async def test_its_tokens_are_over_before_anything_else(office: Office) -> None:
    """While products are asked, nobody acts for the tenant any more."""
    text = (await office.tokens.create(ACME, subject="ci")).text.reveal()
    await office.grant(ACME, "desk", "one")
    seen: list[bool] = []
    revoke = office.vendor._revoke

    async def look(request: Request) -> Response:
        with pytest.raises(Unauthenticated):
            await office.tokens.authenticate(text, ACME)
        seen.append(True)
        return await revoke(request)

    app = Starlette(routes=[Route("/revoke", look, methods=["POST"])])
    assert office.accounts.oauth is not None
    office.accounts.oauth._client = Client(AsgiTransport(app))
    await office.offboarding.remove(ACME, office.connectors)
    assert seen == [True]


async def test_nothing_of_its_secrets_is_left(office: Office, db: Database, engine: Engine) -> None:
    """Neither a word of the tenant nor anything sealed is found in the database."""
    await office.grant(ACME, "desk", "canary-one")
    sealed = (await rows.of_tenant(db, ACME))[0].sealed
    await office.offboarding.remove(ACME, office.connectors)
    for table in await engine.columns(db):
        for row in await db.query(f"SELECT * FROM {table}"):
            assert "acme" not in str(row)
            assert sealed not in row.values()


async def test_a_tenant_that_is_not_there(office: Office) -> None:
    """Is told so, and a second removal too."""
    await office.offboarding.remove(ACME, office.connectors)
    with pytest.raises(NotFound):
        await office.offboarding.remove(ACME, office.connectors)


async def test_a_folder_that_is_a_link_is_not_followed(office: Office, tmp_path: Path) -> None:
    """Only the link goes."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    office.work.mkdir()
    (office.work / ACME).symlink_to(elsewhere)
    assert (await office.offboarding.remove(ACME, office.connectors)).files == 1
    assert (elsewhere / "kept").exists()
