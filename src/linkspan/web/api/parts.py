"""What the management API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.admins import Admins
from linkspan.accounts.link_sessions import LinkSessions
from linkspan.accounts.offboarding import Offboarding
from linkspan.accounts.outbox import Outbox
from linkspan.accounts.overview import Overview
from linkspan.accounts.people import People
from linkspan.accounts.proving import Verifier
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens
from linkspan.accounts.webhooks import Webhooks
from linkspan.gateway.log_bodies import LogBodies
from linkspan.gateway.once import Once
from linkspan.gateway.throttle import Throttle
from linkspan.runs.feed import Feed
from linkspan.runs.history import History
from linkspan.runs.recipes import Recipes
from linkspan.runs.runs import Runs
from linkspan.runs.views import Views
from linkspan.spec.catalog import Catalog
from linkspan.store.audit import AuditWriter
from linkspan.store.database import Database
from linkspan.web.oauth.place import See


class Sealer(Protocol):
    """Protects what a client has to bring back."""

    def seal(self, purpose: str, tenant: str, record: str, data: bytes) -> bytes:
        """Seal `data` for one place."""
        ...

    def open(self, purpose: str, tenant: str, record: str, sealed: bytes) -> bytes:
        """Open what was sealed for exactly this place; raises `LinkspanError`."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that the doors of the management API need."""

    admins: Admins
    tenants: Tenants
    people: People
    tokens: Tokens
    accounts: Accounts
    overview: Overview
    link_sessions: LinkSessions
    webhooks: Webhooks
    outbox: Outbox
    offboarding: Offboarding
    runs: Runs
    history: History
    views: Views
    recipes: Recipes
    feed: Feed
    audit: AuditWriter
    log_bodies: LogBodies
    once: Once
    database: Database
    verifier: Verifier
    catalog: Callable[[], Catalog]
    sealer: Sealer
    clock: Callable[[], float]
    see: See
    max_body: int
    calls: Throttle = field(init=False)
    """How often one key may call: 500 at once, 50 a second in the long run."""
    failures: Throttle = field(init=False)
    """How often one address may show what is no key: 20 at once, one in two seconds in the long run."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", Throttle(rate=50.0, burst=500, clock=self.clock))
        object.__setattr__(self, "failures", Throttle(rate=0.5, burst=20, clock=self.clock))
