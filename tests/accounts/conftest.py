"""Two tenants, connectors from a real tools.yaml, a clock set by hand, and a product that verifies."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.accounts.accounts import Accounts, Identity
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens
from linkspan.errors import Forbidden, LinkspanError, NeedsReauth
from linkspan.spec.catalog import Connector
from linkspan.store.database import Database
from linkspan.vault.credential import Credential
from linkspan.vault.keys import Key, Keys
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import Vault
from tests.store.engines import Engine

ACME, BOLT = Tenant("acme"), Tenant("bolt")
BO = Principal(ACME, "person", "bo")
EVE = Principal(ACME, "person", "eve")
CI = Principal(ACME, "service", "ci")
TOOLS = """
linkspan: 1
name: acme
instructions: List the tickets of Acme Desk for this customer.
connectors:
  desk:
    title: Acme Desk
    base_url: https://{settings.site}.desk.example/api/v2
    settings:
      site: {title: Site, pattern: "[a-z0-9-]+"}
    auth:
      - {type: bearer, title: API token}
      - {type: basic, title: User and password}
    verify: {request: GET /me, id: id, label: email}
  bare:
    title: Bare
    base_url: "{settings.url}/rest"
    settings:
      url: {title: Address, type: origin}
      team: {title: Team, required: false, default: blue}
      note: {title: Note, required: false}
    auth: [{type: header, name: X-Key}, {type: query, name: key}, {type: none}]
entities:
  ticket:
    model: ticket
    sources:
      desk:
        identity: "{id}"
        fields: {id: id, title: subject}
        operations:
          list: {description: List tickets, request: GET /tickets, items: tickets}
"""


@dataclass
class Clock:
    """A clock that stands until it is set."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Product:
    """What a product says to its verify request, and the credentials that were shown to it."""

    people: Mapping[str, Identity] = field(
        default_factory=lambda: {
            "bos-key": Identity("7", "bo@acme.example"),
            "bos-new-key": Identity("7", "bo@acme.example"),
            "eves-key": Identity("8", "eve@acme.example"),
        }
    )
    fault: LinkspanError | None = None
    seen: list[Credential] = field(default_factory=list)

    async def __call__(self, connector: Connector, credential: Credential) -> Identity | None:
        self.seen.append(credential)
        if self.fault is not None:
            raise self.fault
        key = credential.secrets["token"].reveal()
        if key == "weak-key":
            raise Forbidden("may not read /me")
        if key not in self.people:
            raise NeedsReauth("the product refused the credential", upstream_status=401)
        return self.people[key]


def load(folder: Path, text: str = TOOLS) -> Mapping[str, Connector]:
    """Compile a tools.yaml and answer its connectors."""
    path = folder / "tools.yaml"
    path.write_text(text)
    return spec.load(path, {}).connectors


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the key file is."""
    return tmp_path / "home"


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    """A database with two tenants, on each engine."""
    database = await engine.migrated()
    tenants = Tenants(database, clock=Clock())
    for name in (ACME, BOLT):
        await tenants.add(name)
    yield database
    await database.aclose()


@pytest.fixture
async def other_db(db: Database, engine: Engine) -> AsyncIterator[Database]:
    """The same database as another process has it."""
    database = engine.open()
    yield database
    await database.aclose()


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()


@pytest.fixture
def vault() -> Vault:
    """A vault with one key."""
    return Vault(Keys((Key(bytes(32)),), "LINKSPAN_KEYS"))


@pytest.fixture
def redactor() -> Redactor:
    """What masks secrets in logs."""
    return Redactor()


@pytest.fixture
def accounts(db: Database, vault: Vault, clock: Clock, redactor: Redactor) -> Accounts:
    """The accounts of this process."""
    return Accounts(db, vault, clock=clock, random=os.urandom, redactor=redactor)


@pytest.fixture
def other_accounts(other_db: Database, vault: Vault, clock: Clock) -> Accounts:
    """The accounts as another process has them."""
    return Accounts(other_db, vault, clock=clock, random=os.urandom)


@pytest.fixture
def tokens(db: Database, clock: Clock) -> Tokens:
    """The tokens of this process."""
    return Tokens(db, clock=clock, random=os.urandom)


@pytest.fixture
def other_tokens(other_db: Database, clock: Clock) -> Tokens:
    """The tokens as another process has them."""
    return Tokens(other_db, clock=clock, random=os.urandom)


@pytest.fixture(scope="session")
def connectors(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Connector]:
    """The connectors of the file above."""
    return load(tmp_path_factory.mktemp("spec"))


@pytest.fixture
def desk(connectors: Mapping[str, Connector]) -> Connector:
    """A connector that is verified, by key or password."""
    return connectors["desk"]


@pytest.fixture
def bare(connectors: Mapping[str, Connector]) -> Connector:
    """A connector at an address of the tenant's own, without verification."""
    return connectors["bare"]


@pytest.fixture
def product() -> Product:
    """The product behind `desk`."""
    return Product()
