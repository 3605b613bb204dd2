"""Tenants by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.tenants import LOCAL, TenantInfo, Tenants, tenant_name
from linkspan.accounts.tokens import Tokens
from linkspan.errors import ConfigurationError, Conflict, InvalidArgument, NotFound
from linkspan.spec.catalog import Connector
from linkspan.store.database import Database
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.store.engines import Engine


@pytest.fixture
def tenants(db: Database, clock: Clock) -> Tenants:
    """The tenants of a database that has two."""
    return Tenants(db, clock=clock)


@pytest.fixture
async def none_yet(engine: Engine, clock: Clock) -> AsyncIterator[Tenants]:
    """The tenants of a new database."""
    database = await engine.migrated()
    yield Tenants(database, clock=clock)
    await database.aclose()


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True))
def test_good_names_are_taken(name: str) -> None:
    """Lower-case letters, digits and dashes, at most 63."""
    assert tenant_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "A", "a_b", "a.b", "a/b", "..", "a b", "ü", "a\n", "x" * 64, "\u0661"]
)
def test_bad_names_are_refused(name: str) -> None:
    """The error says the rule."""
    with pytest.raises(InvalidArgument, match="is not a tenant name") as told:
        tenant_name(name)
    assert "lower-case letters, digits and dashes" in told.value.for_model()


async def test_tenants_are_listed_by_name(tenants: Tenants, clock: Clock) -> None:
    """With the time they were added."""
    clock.now = 5.0
    await tenants.add("aaa")
    assert (await tenants.list())[0] == TenantInfo(name=tenant_name("aaa"), created=5.0)
    assert [tenant.name for tenant in await tenants.list()] == ["aaa", "acme", "bolt"]


async def test_a_name_is_taken_once(tenants: Tenants) -> None:
    """The second one is a conflict."""
    with pytest.raises(Conflict):
        await tenants.add("acme")


async def test_require_says_who_is_missing(tenants: Tenants) -> None:
    """A tenant that is not there is named, with the command that lists them."""
    assert await tenants.require("acme") == ACME
    with pytest.raises(NotFound, match=r"no tenant 'nobody'") as told:
        await tenants.require("nobody")
    assert "linkspan tenant list" in told.value.for_model()


async def test_a_removed_tenant_leaves_nothing(
    tenants: Tenants, accounts: Accounts, tokens: Tokens, desk: Connector
) -> None:
    """Accounts and tokens go too; those of the others stay; the name is free again and starts empty."""
    for tenant in (ACME, BOLT):
        await accounts.link(tenant, desk, settings={"site": "s"}, secrets={"token": "key"})
        await tokens.create(tenant, subject="ci")
    gone = await tenants.remove("acme")
    assert (gone["accounts"], gone["tokens"], gone["tenants"]) == (1, 1, 1)
    assert len(await accounts.list(BOLT)) == len(await tokens.list(BOLT)) == 1
    await tenants.add("acme")
    assert await accounts.list(ACME) == []
    assert await tokens.list(ACME) == []
    with pytest.raises(NotFound):
        await tenants.remove("nobody")


async def test_only_takes_the_one_that_is_named(tenants: Tenants) -> None:
    """A name wins; one that is not there is refused with the command that adds it."""
    assert await tenants.only("bolt") == BOLT
    with pytest.raises(ConfigurationError, match="no tenant 'nobody'") as told:
        await tenants.only("nobody")
    assert "linkspan tenant add nobody" in told.value.for_model()


async def test_only_refuses_to_choose(tenants: Tenants) -> None:
    """Several and none named: all are named, with the way to choose."""
    with pytest.raises(ConfigurationError, match="acme, bolt") as told:
        await tenants.only(None, make=True)
    assert "LINKSPAN_TENANT" in told.value.for_model()


async def test_only_makes_the_first_tenant(none_yet: Tenants) -> None:
    """Where there is none, `local` is made, once; after that it is the only one."""
    assert await none_yet.only(None, make=True) == await none_yet.only(None, make=True) == LOCAL
    assert [tenant.name for tenant in await none_yet.list()] == [LOCAL]
