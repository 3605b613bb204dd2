"""The composition root: everything is made here once and handed down."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linkspan import spec
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.admins import Admins
from linkspan.accounts.client_documents import ClientDocuments
from linkspan.accounts.clients import Clients
from linkspan.accounts.consent import Consents
from linkspan.accounts.console_sessions import ConsoleSessions
from linkspan.accounts.grants import Grants
from linkspan.accounts.hook_secrets import HookSecrets
from linkspan.accounts.keeping import Keeper
from linkspan.accounts.link_attempts import LinkAttempts
from linkspan.accounts.link_sessions import LinkSessions
from linkspan.accounts.offboarding import Offboarding
from linkspan.accounts.openid import OpenIdProvider
from linkspan.accounts.outbox import Outbox
from linkspan.accounts.people import People
from linkspan.accounts.principal import Tenant
from linkspan.accounts.rotation import MasterKey, master_keys
from linkspan.accounts.sessions import Sessions
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens
from linkspan.accounts.unlock import read_ring, unlock
from linkspan.accounts.webhooks import Webhooks
from linkspan.codex.model_proxy import ModelProxy
from linkspan.errors import ConfigurationError
from linkspan.gateway.call import Gateway
from linkspan.gateway.cursor import Cursors
from linkspan.gateway.govern import Governor
from linkspan.gateway.log_bodies import LogBodies
from linkspan.gateway.once import Once
from linkspan.gateway.relay import Relay
from linkspan.gateway.replicas import Replicas
from linkspan.gateway.trail import TrailKeeper, Trails
from linkspan.gateway.verify import Verifier
from linkspan.net.client import Client
from linkspan.net.egress import EgressGuard
from linkspan.net.messages import Request, StreamingTransport
from linkspan.net.pacing import Paces
from linkspan.net.transport import AiohttpTransport
from linkspan.net.urls import origin_of
from linkspan.net.watched import WatchedTransport
from linkspan.runs.arrivals import Arrivals
from linkspan.runs.calls import RunCalls
from linkspan.runs.history import History
from linkspan.runs.hooks import Hooks
from linkspan.runs.kept import Kept
from linkspan.runs.polling import Poller
from linkspan.runs.recipes import Recipes
from linkspan.runs.runs import Runs
from linkspan.runs.schedules import Schedules
from linkspan.runs.threads import Threads
from linkspan.runs.tokens import RunTokens
from linkspan.runs.views import Views
from linkspan.runs.watching import Watches
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog
from linkspan.spec.recipe import RunsPolicy
from linkspan.store.audit import AuditWriter
from linkspan.store.copies import refuse_if_moved
from linkspan.store.database import Database
from linkspan.store.engines import open_database, password_in
from linkspan.store.migrations import migrate
from linkspan.telemetry import SILENT, Telemetry
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import Vault
from linkspan.vault.secret import Secret
from linkspan.vault.transit import TransitKey


@dataclass(frozen=True, slots=True)
class App:
    """Everything that one process works with. `gateway` is None where no tools.yaml was needed."""

    settings: Settings
    database: Database
    tenants: Tenants
    tokens: Tokens
    accounts: Accounts
    audit: AuditWriter
    client: Client
    verifier: Verifier
    gateway: Gateway
    vault: Vault
    people: People
    sessions: Sessions
    clients: Clients
    grants: Grants
    provider: OpenIdProvider | None
    """Who says who somebody is, where that is not done by invitation."""
    admins: Admins
    console_sessions: ConsoleSessions
    webhooks: Webhooks
    outbox: Outbox
    keeper: Keeper
    """Looks after accounts that nobody uses, where it is run."""
    log_bodies: LogBodies
    """Keeps bodies beside the audit log, where an operator wants it."""
    trail_keeper: TrailKeeper
    replicas: Replicas
    """Deletes old rows of the audit log, where it is run."""
    offboarding: Offboarding
    link_sessions: LinkSessions
    link_attempts: LinkAttempts
    recipes: Recipes
    runs: Runs
    views: Views
    """Lets products' pages show runs."""
    threads: Threads
    """Lets people talk with Codex in them."""
    kept: Kept
    """What runs made."""
    run_tokens: RunTokens
    hook_secrets: HookSecrets
    hooks: Hooks
    """Takes what products deliver."""
    arrivals: Arrivals
    """Works it."""
    relay: Relay
    """Hands requests through to products."""
    once: Once
    """Does a write once that comes twice."""
    governor: Governor
    """Says how many calls there may be."""
    watches: Watches
    """Looks at lists and listens to streams of products that tell nothing by themselves."""
    schedules: Schedules
    """Starts what is due at a time."""
    models: ModelProxy
    """Where the Codex of a run finds its model."""
    telemetry: Telemetry
    """What the operator's own tools are told."""

    @property
    def catalog(self) -> Catalog:
        """The catalog that is served now."""
        return self.gateway.catalog

    @property
    def history(self) -> History:
        """What was, for whoever looks it up."""
        return History(self.database, self.runs)

    async def master_keys(self) -> list[MasterKey]:
        """Answer the master keys there are, and what depends on each."""
        ring = await read_ring(
            self.database,
            keys=self.settings.keys,
            keys_path=self.settings.keys_path,
            random=os.urandom,
            service=key_service(self.settings, self.client),
        )
        return await master_keys(self.database, ring.all)

    async def aclose(self) -> None:
        """Finish what is queued, then close connections and the store."""
        await self.accounts.aclose()
        await self.log_bodies.flush()
        await self.audit.aclose()
        await self.client.aclose()
        await self.database.aclose()


def config_path(settings: Settings) -> Path:
    """Answer the tools.yaml for what uses credentials; the current directory never counts."""
    if settings.config is None:
        raise ConfigurationError(
            f"there is no tools.yaml at {settings.home / 'tools.yaml'}",
            hint="Put one there, or name it with --config FILE or LINKSPAN_CONFIG.",
        )
    return settings.config


def load_catalog(settings: Settings) -> Catalog:
    """Read and compile the tools.yaml; raises `SpecError` with all its problems."""
    return spec.load([config_path(settings)], os.environ)


NO_CATALOG = Catalog("linkspan", "Linkspan", "", "", {}, {}, ())


def key_service(settings: Settings, client: Client | None) -> TransitKey | None:
    """Answer the key service of the settings; without a client it can be named and not asked."""
    if settings.transit_url is None:
        return None

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if client is None:
            raise ConfigurationError("there is no client to reach it with")
        reply = await client.send(
            Request("POST", url, headers, body),
            repeatable=True,
            origins=(origin_of(url),),
            sensitive_headers=("X-Vault-Token",),
            timeout=10.0,
            budget=5.0,
        )
        return reply.response.status, reply.response.body

    return TransitKey(settings.transit_url, Secret(settings.transit_token or ""), post)


async def build(
    settings: Settings,
    *,
    catalog: Catalog | None = None,
    transport: StreamingTransport | None = None,
    redactor: Redactor | None = None,
    paces: Paces | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
    telemetry: Telemetry = SILENT,
) -> App:
    """Open the store, the vault and the client, and wire everything.

    `catalog` is what is served; it may be left out by commands that need none. Raises `ConfigurationError`.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.database is not None and redactor is not None:
        redactor.register(password_in(settings.database) or "")
    wire = transport or AiohttpTransport(EgressGuard(settings.egress))
    if telemetry.watches:
        wire = WatchedTransport(wire, telemetry)
    meters = telemetry.meters
    client = Client(wire, clock=clock, meters=meters)
    database = open_database(settings.database or settings.database_path)
    try:
        await migrate(database)
        await refuse_if_moved(database)
        vault = await unlock(
            database,
            keys=settings.keys,
            keys_path=settings.keys_path,
            random=random,
            clock=clock,
            service=key_service(settings, client),
        )
    except BaseException:
        await database.aclose()
        await client.aclose()
        raise
    audit = AuditWriter(database)
    redactor = redactor or Redactor()
    bodies = LogBodies(database, vault, redactor, clock=clock, random=random)
    accounts = Accounts(database, vault, clock=clock, random=random, redactor=redactor, client=client)
    verifier = Verifier(client)
    cursors = Cursors(vault, clock)
    once = Once(database, vault, clock=clock, random=random)
    governor = Governor(settings.call_limits, clock=clock, meters=meters)
    paces = paces or Paces()
    gateway = Gateway(
        catalog or NO_CATALOG,
        accounts,
        client,
        cursors=cursors,
        once=once,
        trails=Trails(audit, telemetry, bodies=bodies),
        governor=governor,
        paces=paces,
        clock=clock,
    )
    sign_in = settings.sign_in
    webhooks = Webhooks(database, vault, clock=clock, random=random)
    tenants = Tenants(database, clock=clock)
    admins = Admins(database, clock=clock, random=random)
    link_sessions = LinkSessions(database, clock=clock, random=random, catalog=lambda: gateway.catalog)

    def policy() -> RunsPolicy:
        return gateway.catalog.runs

    recipes = Recipes(database, gateway, clock=clock, random=random)
    kept = Kept(database, vault, clock=clock)

    async def has_own(tenant: Tenant, person: str) -> bool:
        return await accounts.has_own(tenant, person, gateway.catalog.connectors.values())

    runs = Runs(
        database,
        kept,
        recipes,
        policy=policy,
        has_own=has_own,
        clock=clock,
        random=random,
        telemetry=telemetry,
    )
    gateway.answer_by("run", RunCalls(runs, cursors))
    run_tokens = RunTokens(database, runs, policy=policy, clock=clock, random=random, meters=meters)
    hook_secrets = HookSecrets(database, vault, clock=clock, random=random)
    relay = Relay(
        lambda: gateway.catalog,
        accounts,
        wire,
        audit=audit,
        paces=paces,
        clock=clock,
        telemetry=telemetry,
        bodies=bodies,
        most_open=settings.call_limits.streams,
    )
    return App(
        settings=settings,
        database=database,
        tenants=tenants,
        tokens=Tokens(database, clock=clock, random=random),
        accounts=accounts,
        audit=audit,
        client=client,
        verifier=verifier,
        gateway=gateway,
        vault=vault,
        people=People(database, clock=clock, random=random),
        sessions=Sessions(database, clock=clock, random=random),
        clients=Clients(
            database,
            ClientDocuments(wire, clock=clock, hosts=sign_in.client_hosts),
            clock=clock,
            random=random,
            registration=sign_in.dynamic_registration,
        ),
        grants=Grants(
            database,
            clock=clock,
            random=random,
            catalog=lambda: gateway.catalog,
            access_lifetime=sign_in.access_lifetime,
        ),
        provider=OpenIdProvider(sign_in.provider, wire, clock=clock) if sign_in.provider else None,
        admins=admins,
        console_sessions=ConsoleSessions(
            database, admins, people=settings.console_people, clock=clock, random=random
        ),
        webhooks=webhooks,
        outbox=Outbox(database, webhooks, client, clock=clock, random=random, meters=meters),
        keeper=Keeper(database, accounts, verifier, lambda: gateway.catalog, clock=clock, random=random),
        log_bodies=bodies,
        replicas=Replicas(database, paces, clock=clock, random=random),
        trail_keeper=TrailKeeper(database, keep=settings.log_keep, clock=clock, bodies=bodies),
        offboarding=Offboarding(database, tenants, accounts, clock=clock, work=settings.home / "work"),
        link_sessions=link_sessions,
        link_attempts=LinkAttempts(
            database,
            accounts,
            Consents(accounts, clock=clock, random=random),
            link_sessions,
            verifier,
            clock=clock,
            random=random,
        ),
        recipes=recipes,
        runs=runs,
        views=Views(database, runs, clock=clock, random=random),
        threads=Threads(database, runs, clock=clock, random=random),
        kept=kept,
        run_tokens=run_tokens,
        hook_secrets=hook_secrets,
        hooks=Hooks(
            database,
            hook_secrets,
            catalog=lambda: gateway.catalog,
            clock=clock,
            bell=runs.bell,
            meters=meters,
        ),
        arrivals=Arrivals(database, gateway, runs, clock=clock, random=random),
        relay=relay,
        once=once,
        governor=governor,
        watches=Watches(
            database,
            Poller(gateway, clock=clock, random=random),
            relay,
            catalog=lambda: gateway.catalog,
            bell=runs.bell,
            clock=clock,
            random=random,
        ),
        schedules=Schedules(database, runs, catalog=lambda: gateway.catalog, clock=clock),
        models=ModelProxy(run_tokens, relay, clock=clock),
        telemetry=telemetry,
    )
