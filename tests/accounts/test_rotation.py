"""Keys are changed while everything runs, and what was interrupted goes on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.accounts.rotation import SPENT_AFTER, Rotation
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.unlock import read_ring, unlock
from linkspan.errors import ConfigurationError
from linkspan.runs.kept import Kept
from linkspan.store import accounts as account_rows
from linkspan.store import artifacts, calls, data_keys, starts, webhooks
from linkspan.store.database import Database, StoreFault
from linkspan.store.sealed import NOT_SEALED, SEALED
from linkspan.vault.keys import new_key
from linkspan.vault.seal import SealBroken, Vault, key_of
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.store.engines import Engine
from tests.store.rows import account, call, run, webhook


@dataclass
class House:
    """An installation with two tenants, and what they keep sealed."""

    db: Database
    home: Path
    clock: Clock
    vault: Vault

    async def rotation(self, keys: str | None = None, *, db: Any = None) -> Rotation:
        """Answer a rotation as another process runs it."""
        ring = await read_ring(self.db, keys=keys, keys_path=self.home / "keys", random=os.urandom)
        keys_path = self.home / "keys" if keys is None else None
        return Rotation(db or self.db, ring, keys_path=keys_path, clock=self.clock, random=os.urandom)

    async def restarted(self, keys: str | None = None) -> Vault:
        """Answer the vault of a process that starts now."""
        return await unlock(
            self.db, keys=keys, keys_path=self.home / "keys", random=os.urandom, clock=self.clock
        )

    async def keep(self, tenant: Tenant, number: int, secret: bytes) -> None:
        """Store a sealed account."""
        name = f"acc_{number}"
        sealed = await self.vault.seal_stored("credential", tenant, name, secret)
        assert await account_rows.insert(self.db, account(tenant, id=name, sealed=sealed))

    async def kept(self, vault: Vault, tenant: Tenant) -> list[bytes]:
        """Answer what the tenant's accounts keep, opened with a vault."""
        found = await account_rows.of_tenant(self.db, tenant)
        return [await vault.open_stored("credential", tenant, row.id, row.sealed) for row in found]

    async def sealed(self) -> list[bytes]:
        """Answer every sealed value."""
        rows = [
            row[column.column]
            for column in SEALED
            for row in await self.db.query(f"SELECT {column.column} FROM {column.table}")
        ]
        return [bytes(row) for row in rows if row is not None]


@pytest.fixture
async def house(db: Database, home: Path, clock: Clock) -> AsyncIterator[House]:
    """Three accounts of acme, one of bolt, an answer of a write, webhooks of a tenant and of the operator."""
    vault = await unlock(db, keys=None, keys_path=home / "keys", random=os.urandom, clock=clock)
    made = House(db, home, clock, vault)
    for number in range(3):
        await made.keep(ACME, number, b"secret %d" % number)
    await made.keep(BOLT, 7, b"bolts secret")
    first = await calls.begin(db, call(ACME), owner="o", now=1.0, lease=60.0)
    assert isinstance(first, calls.First)
    await calls.finish(db, call(ACME), first, await vault.seal_stored("call", ACME, "call_1", b"answer"))
    for tenant in (ACME, None):
        name = f"wh_{tenant}"
        sealed = await vault.seal_stored("webhook", tenant, name, b"whsec")
        await webhooks.insert(db, webhook(tenant, id=name, sealed=sealed))
    yield made


class Failing:
    """A database whose disk is full from its n-th write on."""

    def __init__(self, db: Database, writes: int) -> None:
        self._db = db
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._db, name)
        return self._counted(found) if name in ("execute", "transaction") else found

    def _counted(self, method: Any) -> Any:
        async def call(*arguments: Any, **how: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise StoreFault("The disk of Linkspan's database is full; nothing was written")
            return await method(*arguments, **how)

        return call


async def test_every_tenant_has_a_key_of_its_own(house: House) -> None:
    """Two tenants' values are sealed with two keys, and one opens nothing of the other."""
    acme = await account_rows.of_tenant(house.db, ACME)
    bolt = await account_rows.of_tenant(house.db, BOLT)
    assert len({key_of(row.sealed) for row in acme}) == 1
    assert key_of(acme[0].sealed) != key_of(bolt[0].sealed)
    with pytest.raises(SealBroken, match="which the tenant has not"):
        await house.vault.open_stored("credential", BOLT, acme[0].id, acme[0].sealed)


async def test_everything_is_sealed_anew(house: House) -> None:
    """A new master key, a new data key for each tenant, every value under it, and all of them open."""
    before = {key_of(value) for value in await house.sealed()}
    house.clock.now += 10
    done = await (await house.rotation()).run()
    assert (done.tenants, done.values, done.deleted, done.unreadable, done.resumed) == (2, 7, 0, 0, False)
    assert not before & {key_of(value) for value in await house.sealed()}
    first, old = await (await house.rotation()).list()
    assert (first.id, first.seals, first.values) == (done.key, True, 7)
    assert (old.seals, old.data_keys, old.values) == (False, 0, 0)
    for vault in (house.vault, await house.restarted()):
        assert await house.kept(vault, ACME) == [b"secret 0", b"secret 1", b"secret 2"]
        assert await house.kept(vault, BOLT) == [b"bolts secret"]


async def test_what_a_run_made_is_sealed_and_sealed_anew(house: House, engine: Engine) -> None:
    """A conversation with a model is nowhere in the clear, before and after, and opens with the new key."""
    await starts.add(house.db, run(ACME))
    kept = Kept(house.db, house.vault, clock=house.clock)
    made = (ACME, "run_1", "rollout")
    said = b"canary-rollout"
    assert await kept.put(*made, "application/jsonl", said, epoch=None)
    before = await artifacts.find(house.db, *made)
    assert before is not None
    house.clock.now += 10
    done = await (await house.rotation()).run()
    assert (done.values, done.unreadable) == (8, 0)
    after, opened = await Kept(house.db, await house.restarted(), clock=house.clock).take(*made)
    assert opened == said
    assert key_of(after.sealed) != key_of(before.sealed)
    assert b"run_1/rollout" in await engine.stored(house.db)
    assert said not in await engine.stored(house.db)


async def test_the_old_master_key_may_go_afterwards(house: House) -> None:
    """Nothing here needs it: the installation starts with the new one alone, and opens everything."""
    house.clock.now += 10
    await (await house.rotation()).run()
    path = house.home / "keys"
    head, new, _old = path.read_text().splitlines()
    path.write_text(f"{head}\n{new}\n")
    vault = await house.restarted()
    assert await house.kept(vault, ACME) == [b"secret 0", b"secret 1", b"secret 2"]
    assert len(await (await house.rotation()).list()) == 1


async def test_a_running_process_learns_of_the_new_key(house: House, db: Database) -> None:
    """It goes on sealing, for old tenants and new ones, and those who restart open what it sealed."""
    house.clock.now += 10
    done = await (await house.rotation()).run()
    await house.keep(ACME, 8, b"afterwards")
    carol = await Tenants(db, clock=house.clock).add("carol")
    await house.keep(carol, 9, b"carols secret")
    first, old = await (await house.rotation()).list()
    assert first.id == done.key
    assert (first.values, old.values, old.data_keys) == (9, 0, 0)
    assert await house.kept(await house.restarted(), carol) == [b"carols secret"]


async def test_what_was_handed_out_still_opens(house: House) -> None:
    """A cursor from before is good in processes that start after."""
    cursor = house.vault.seal("cursor", ACME, "ticket.list", b"position")
    house.clock.now += 10
    await (await house.rotation()).run()
    vault = await house.restarted()
    assert vault.open("cursor", ACME, "ticket.list", cursor) == b"position"
    assert key_of(vault.seal("cursor", ACME, "ticket.list", b"position")) != key_of(cursor)


async def test_whatever_stops_it_nothing_is_lost_and_it_goes_on(house: House) -> None:
    """Stopped at every single write in turn, everything opens all the time, and the last run is done."""
    house.clock.now += 10
    stops = 0
    while True:
        try:
            done = await (await house.rotation(db=Failing(house.db, writes=stops))).run()
            break
        except StoreFault:
            stops += 1
        for vault in (house.vault, await house.restarted()):
            assert await house.kept(vault, ACME) == [b"secret 0", b"secret 1", b"secret 2"]
            assert await house.kept(vault, BOLT) == [b"bolts secret"]
    assert stops >= 3
    assert done.resumed
    first, *others = await (await house.rotation()).list()
    assert first.values == 7
    assert [key.values + key.data_keys for key in others] == [0] * len(others)


async def test_it_is_begun_once_however_often_it_is_stopped(house: House) -> None:
    """The run that goes on makes no further master key."""
    house.clock.now += 10
    with pytest.raises(StoreFault):
        await (await house.rotation(db=Failing(house.db, writes=3))).run()
    assert (await (await house.rotation()).run()).resumed
    assert len(await (await house.rotation()).list()) == 2


async def test_a_data_key_outlives_its_successor_for_an_hour(house: House) -> None:
    """What a process sealed with it just before is still stored and opened; then the next run deletes it."""
    late = await house.vault.seal_stored("credential", ACME, "acc_9", b"late")
    house.clock.now += 10
    await (await house.rotation()).run()
    await account_rows.insert(house.db, account(ACME, id="acc_9", sealed=late))
    assert b"late" in await house.kept(await house.restarted(), ACME)
    house.clock.now += SPENT_AFTER
    done = await (await house.rotation()).run()
    assert done.deleted == 2
    assert b"late" in await house.kept(await house.restarted(), ACME)
    assert len(await data_keys.of_tenant(house.db, ACME)) == 2


async def test_keys_of_the_environment_are_given_by_the_operator(house: House, db: Database) -> None:
    """Without a new one in front nothing is done, and the error says what to set; with it everything is."""
    (old,) = [line for line in (house.home / "keys").read_text().splitlines() if not line.startswith("#")]
    house.clock.now += 10
    with pytest.raises(ConfigurationError, match="LINKSPAN_KEYS has no new key in front") as told:
        await (await house.rotation(old)).run()
    assert "LINKSPAN_KEYS=NEW,OLD" in told.value.for_model()
    assert old not in told.value.for_model()
    new = new_key()
    carol = await Tenants(db, clock=house.clock).add("carol")  # a process with the new key has sealed already
    await (await house.restarted(f"{new},{old}")).seal_stored("credential", carol, "acc_1", b"x")
    house.clock.now += 10
    done = await (await house.rotation(f"{new},{old}")).run()
    assert (done.tenants, done.values) == (3, 7)
    assert await house.kept(await house.restarted(new), BOLT) == [b"bolts secret"]


async def test_a_value_that_no_key_opens_is_counted_and_left(house: House, db: Database) -> None:
    """A damaged row does not stop the others."""
    await db.execute(
        "UPDATE accounts SET sealed = :damaged WHERE id = 'acc_1'", {"damaged": b"\1nope" + bytes(40)}
    )
    house.clock.now += 10
    done = await (await house.rotation()).run()
    assert (done.values, done.unreadable) == (6, 1)
    missing = [key for key in await (await house.rotation()).list() if key.source is None]
    assert [(key.id, key.values) for key in missing] == [(b"nope".hex(), 1)]


async def test_deleting_a_tenant_makes_copies_of_its_values_unreadable(house: House, db: Database) -> None:
    """Its data key goes with it: who kept the sealed value and has the master key opens nothing."""
    (copy, *_) = await account_rows.of_tenant(db, ACME)
    await Tenants(db, clock=house.clock).remove("acme")
    assert await data_keys.of_tenant(db, ACME) == []
    vault = await house.restarted()
    with pytest.raises(SealBroken, match="which the tenant has not"):
        await vault.open_stored("credential", ACME, copy.id, copy.sealed)
    await Tenants(db, clock=house.clock).add("acme")
    await vault.seal_stored("credential", ACME, copy.id, b"another life")
    with pytest.raises(SealBroken, match="which the tenant has not"):
        await vault.open_stored("credential", ACME, copy.id, copy.sealed)


async def test_a_running_process_forgets_a_deleted_tenants_key_within_an_hour(house: House) -> None:
    """And never seals with it: a tenant of the same name has another."""
    (copy, *_) = await account_rows.of_tenant(house.db, ACME)
    await Tenants(house.db, clock=house.clock).remove("acme")
    await Tenants(house.db, clock=house.clock).add("acme")
    assert key_of(await house.vault.seal_stored("credential", ACME, "acc_1", b"x")) != key_of(copy.sealed)
    house.clock.now += 3600
    with pytest.raises(SealBroken):
        await house.vault.open_stored("credential", ACME, copy.id, copy.sealed)


async def test_every_column_of_bytes_is_known(db: Database, engine: Engine) -> None:
    """A new sealed column must be named where keys are changed, or it is left behind by a rotation."""
    listed = {(column.table, column.column) for column in SEALED} | set(NOT_SEALED)
    assert await engine.byte_columns(db) == listed
