"""Accounts at the product of authority.py: everything real but the socket and the time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from linkspan import spec
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.consent import Consents
from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.verify import Verifier
from linkspan.net.client import Client
from linkspan.spec.catalog import Catalog, Connector
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import Vault
from tests.fakes.asgi import AsgiTransport
from tests.fakes.authority import CLIENT_SECRET, Authority

FILE: Final = Path(__file__).with_name("authority.yaml")
REDIRECT: Final = "http://127.0.0.1:8641/oauth/callback"
ACME: Final = Tenant("acme")
BO: Final = Principal(ACME, "person", "bo")
PEM: Final = (
    generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
ENVIRONMENT: Final = {"CLOUD_SECRET": CLIENT_SECRET, "CLOUD_PEM": PEM}


def load(text: str | None = None, folder: Path | None = None) -> Catalog:
    """Compile authority.yaml, or another text in its place."""
    if text is None or folder is None:
        return spec.load([FILE], ENVIRONMENT)
    path = folder / "cloud.yaml"
    path.write_text(text)
    return spec.load([path], ENVIRONMENT)


@dataclass
class Time:
    """A clock that stands until it is set; sleeping sets it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Cloud:
    """One process's accounts, and the product behind them."""

    db: Database
    vault: Vault
    clock: Time
    authority: Authority
    transport: AsgiTransport
    client: Client
    redactor: Redactor
    accounts: Accounts
    consents: Consents
    verifier: Verifier
    catalog: Catalog

    @classmethod
    def over(
        cls, db: Database, vault: Vault, clock: Time, authority: Authority, catalog: Catalog | None = None
    ) -> Cloud:
        """Put it together, as one of several processes over the database."""
        transport = AsgiTransport(authority.app())

        async def sleep(seconds: float) -> None:
            clock.now += seconds

        client = Client(transport, clock=clock, sleep=sleep)
        redactor = Redactor()
        accounts = Accounts(db, vault, clock=clock, random=os.urandom, redactor=redactor, client=client)
        consents = Consents(accounts, clock=clock, random=os.urandom)
        return cls(
            db, vault, clock, authority, transport, client, redactor, accounts, consents, Verifier(client),
            catalog or load(),
        )  # fmt: skip

    def connector(self, name: str = "cloud") -> Connector:
        """Answer a connector of the file."""
        return self.catalog.connectors[name]

    async def link(
        self, name: str = "cloud", answer: Mapping[str, str] | None = None, **more: Any
    ) -> Account:
        """Link an account as a person who consents in a browser."""
        connector = self.connector(name)
        consent = self.consents.begin(ACME, connector, redirect_uri=REDIRECT, **more)
        brought = {**self.authority.consent(consent.url), **(answer or {})}
        return await self.consents.finish(consent, connector, brought, self.verifier)

    async def token(self, name: str = "cloud") -> str:
        """Answer the access token that a call would send now."""
        credential = await self.accounts.credential(BO, self.connector(name))
        return credential.secrets["access_token"].reveal()

    async def only(self) -> Account:
        """Answer the one account there is."""
        (found,) = await self.accounts.list(ACME)
        return found

    async def aclose(self) -> None:
        """Let renewals end."""
        await self.accounts.aclose()
        await self.client.aclose()
