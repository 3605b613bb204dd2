"""Accounts that nobody uses stay good, or say that they are not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse

from linkspan.accounts.keeping import DAY, HOUR, Keeper
from linkspan.store.database import Database
from linkspan.vault.seal import Vault
from tests.fakes.authority import Authority
from tests.fakes.cloud import ACME, Cloud, Time


async def no_sleep(_seconds: float) -> None:
    return None


def keeper_of(cloud: Cloud) -> Keeper:
    return Keeper(
        cloud.db,
        cloud.accounts,
        cloud.verifier,
        lambda: cloud.catalog,
        clock=cloud.clock,
        random=os.urandom,
        sleep=no_sleep,
    )


@pytest.fixture
async def cloud(db: Database, vault: Vault) -> AsyncIterator[Cloud]:
    """A product that nobody has linked yet."""
    clock = Time()
    cloud = Cloud.over(db, vault, clock, Authority(clock))
    yield cloud
    await cloud.aclose()


async def test_an_idle_grant_is_renewed_once_a_day(cloud: Cloud, other_db: Database, vault: Vault) -> None:
    """By one replica of several; and one that was renewed by calls is left alone."""
    await cloud.link()
    other = Cloud.over(other_db, vault, cloud.clock, cloud.authority, cloud.catalog)
    for day in range(1, 4):
        cloud.clock.now += DAY + 1
        assert [await keeper_of(each).look() for each in (cloud, other, cloud)] == [1, 0, 0]
        assert cloud.authority.refreshes == day
    cloud.clock.now += DAY + 1
    await cloud.token()
    assert await keeper_of(other).look() == 0
    await other.aclose()


async def test_a_key_is_verified_once_a_day(cloud: Cloud) -> None:
    """One that was revoked says so before anybody needs it, and is then left alone."""
    cloud.authority.access["key"] = (None, 1e12)
    connector = cloud.connector()
    linked = await cloud.accounts.link(
        ACME, connector, method="bearer", secrets={"token": "key"}, verify=cloud.verifier
    )
    assert await keeper_of(cloud).look() == 0
    cloud.clock.now += DAY + 1
    assert await keeper_of(cloud).look() == 1
    assert (await cloud.only()).verified == cloud.clock.now
    cloud.authority.end_access()
    cloud.clock.now += DAY + 1
    assert await keeper_of(cloud).look() == 1
    assert (await cloud.only()).state == "needs_reauth"
    cloud.clock.now += DAY + 1
    assert await keeper_of(cloud).look() == 0
    assert (await cloud.only()).id == linked.id


async def test_a_product_that_is_down_changes_nothing(cloud: Cloud) -> None:
    """A day later it is asked again."""
    cloud.authority.access["key"] = (None, 1e12)
    connector = cloud.connector()
    await cloud.accounts.link(
        ACME, connector, method="bearer", secrets={"token": "key"}, verify=cloud.verifier
    )
    before = await cloud.only()
    cloud.clock.now += DAY + 1
    cloud.authority.api_faults += [JSONResponse({}, 500)]
    assert await keeper_of(cloud).look() == 1
    assert (await cloud.only()).state == before.state
    assert (await cloud.only()).verified == before.verified
    assert await keeper_of(cloud).look() == 0


async def test_what_could_not_be_verified_is_tried_every_hour(cloud: Cloud) -> None:
    """An account that was linked while the product was down becomes active by itself."""
    cloud.authority.api_faults.append(JSONResponse({}, 400))
    assert (await cloud.link()).state == "validation_error"
    assert await keeper_of(cloud).look() == 1
    assert (await cloud.only()).state == "active"
    cloud.authority.api_faults += [JSONResponse({}, 400), JSONResponse({}, 400)]
    again = await cloud.link("sites")
    assert again.state == "post_install_error"
    assert await keeper_of(cloud).look() == 1
    assert await keeper_of(cloud).look() == 0
    cloud.clock.now += HOUR + 1
    assert await keeper_of(cloud).look() == 1
    states = {account.connector: account.state for account in await cloud.accounts.list(ACME)}
    assert states == {"cloud": "active", "sites": "active"}
