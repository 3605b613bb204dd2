"""Tenants and what leaves with them."""

from __future__ import annotations

from functools import partial

from linkspan.store import (
    accounts,
    approvals,
    artifacts,
    audit,
    calls,
    data_keys,
    deliveries,
    grants,
    link_sessions,
    log_bodies,
    oauth_clients,
    people,
    recipes,
    run_events,
    run_terms,
    schedules,
    session_threads,
    starts,
    tenants,
    usage,
    view_tokens,
    watches,
    webhooks,
)
from linkspan.store.approvals import Approval
from linkspan.store.artifacts import Artifact
from linkspan.store.data_keys import StoredKey
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, HookSecret
from linkspan.store.people import Session
from linkspan.store.recipes import RecipeSettings
from linkspan.store.schedules import Due
from tests.store.engines import Engine
from tests.store.rows import (
    account,
    call,
    client,
    domain,
    entry,
    grant,
    invitation,
    link_consent,
    link_session,
    pair,
    person,
    run,
    session,
    session_thread,
    view_token,
    webhook,
)


def arrival(tenant: str) -> Arrival:
    """Answer an event that came in."""
    return Arrival(
        tenant, "arr_1", "desk", "acc_1", "ticket.assigned", "ticket", "HC-1", 1.0, "pending", 0, 1.0
    )


async def test_a_name_is_taken_once(db: Database) -> None:
    """The second one is told so."""
    assert await tenants.add(db, "acme", 1.0)
    assert not await tenants.add(db, "acme", 2.0)
    assert await tenants.everyone(db) == [("acme", 1.0)]


async def test_removal_takes_every_row_and_no_others(db: Database, engine: Engine) -> None:
    """All tables are empty of the tenant afterwards, whichever there are; another tenant keeps all it has."""
    writer = audit.AuditWriter(db)
    for name in ("acme", "bolt"):
        await tenants.add(db, name, 1.0)
        await webhooks.insert(db, webhook(name))
        await data_keys.keep_first(db, StoredKey(name, b"1234", b"wrapped", 1.0))
        await accounts.insert(db, account(name, id=f"acc_{name}"))
        await people.keep(db, person(name), invitation(name))
        await people.welcome(db, person(name), partial(_session, name))
        await people.allow(db, domain(name))
        await oauth_clients.insert(db, client(name), most=1)
        await grants.insert(db, grant(name))
        await grants.redeem(db, name, "gr", judge=lambda _grant: "issue", pair=pair, now=1.0)
        await link_sessions.insert(db, link_session(name))
        await link_sessions.send(db, link_consent(name))
        await view_tokens.insert(db, view_token(name))
        await log_bodies.turn_on(db, log_bodies.Keeping(name, "acc_1", 1.0, 2.0, "anna"))
        await log_bodies.insert(db, name, "lb_1", 1.0, b"sealed")
        await session_threads.insert(db, session_thread(name))
        await session_threads.begin_turn(db, session_thread(name), 1, "run_1", now=1.0)
        await calls.begin(db, call(name), owner="o", now=1.0, lease=60.0)
        of_the_api = call(name, caller=name, table="api_calls")
        await calls.begin(db, of_the_api, owner="o", now=1.0, lease=60.0)
        await writer.write(entry(name))
        await starts.add(db, run(name), readers=["bo"])
        await run_events.append(db, name, "run_1", [(1.0, "state", {})], epoch=None)
        await run_events.say(db, name, "run_1", kind="steer", words="Go on.", who="person:bo", now=1.0)
        await approvals.ask(
            db, Approval(name, "apr_1", "run_1", "publish", "Publish?", {}, 1.0, 2.0), epoch=0
        )
        assert await run_terms.put(db, name, "run_1", ["till"], epoch=0)
        await artifacts.put(db, Artifact(name, "run_1", "diff", "text/x-diff", 1, 1.0, 1.0), epoch=None)
        await recipes.keep(db, RecipeSettings(name, "fix_ticket", True, {}, "person", "bo", 1.0))
        await deliveries.put_secret(db, HookSecret(f"acc_{name}", name, b"sealed", 1.0))
        await deliveries.add(db, [arrival(name)])
        await watches.add(db, (name, f"acc_{name}", "watch:changes"), now=1.0)
        await schedules.put(db, Due(name, "tidy", "7d", "UTC", 1.0, 2.0), before=None)
        await usage.spend(db, name, "run_1", model="m", tokens={}, cost=None, now=1.0)
    gone = await tenants.remove(db, "acme")
    assert gone == dict.fromkeys(("tenants", *tenants.OWNED), 1)
    left = await _tenants_by_table(db, engine)
    assert left == {table: {"bolt"} for table in gone}


def _session(tenant: str, _person: str) -> Session:
    return session(tenant)


async def test_a_tenant_that_is_not_there_cannot_be_removed(db: Database) -> None:
    """Removing it says that there was none."""
    assert await tenants.remove(db, "acme") is None


async def test_the_list_of_owned_tables_is_complete(db: Database, engine: Engine) -> None:
    """A new table with a tenant must be named where tenants are removed."""
    assert set(await _tenants_by_table(db, engine)) == {"tenants", *tenants.OWNED}


async def _tenants_by_table(db: Database, engine: Engine) -> dict[str, set[str]]:
    return {
        table: {left["tenant"] for left in await db.query(f"SELECT tenant FROM {table}")}
        for table, columns in (await engine.columns(db)).items()
        if "tenant" in columns
    }
