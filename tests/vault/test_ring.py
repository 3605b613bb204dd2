"""Master keys wrap data keys, each for its tenant, and data keys are held for an hour."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linkspan.vault.data_keys import HELD, DataKey, DataKeys, make, unwrap
from linkspan.vault.ring import KeyRing, LocalKey, SealBroken, context, provider_of
from linkspan.vault.seal import Vault, key_of
from tests.vault.some_keys import key, keys


@dataclass
class Counted:
    """A provider that counts how often it is asked."""

    inner: LocalKey
    wrapped: int = 0
    unwrapped: int = 0

    @property
    def id(self) -> bytes:
        return self.inner.id

    @property
    def name(self) -> str:
        return "counted"

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        self.wrapped += 1
        return await self.inner.wrap(data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        self.unwrapped += 1
        await asyncio.sleep(0)
        return await self.inner.unwrap(wrapped, context)


@dataclass
class Rows:
    """Data keys in memory; the first of a tenant is the one that seals."""

    kept: list[DataKey] = field(default_factory=list)
    looked_up: int = 0

    async def current(self, tenant: str) -> DataKey | None:
        return next((each for each in self.kept if each.tenant == tenant), None)

    async def find(self, tenant: str, key_id: bytes) -> DataKey | None:
        self.looked_up += 1
        return next((each for each in self.kept if (each.tenant, each.id) == (tenant, key_id)), None)

    async def keep_first(self, key: DataKey) -> DataKey | None:
        there = await self.current(key.tenant)
        if there is None and key.tenant != "nobody":
            self.kept.append(key)
            return key
        return there


@dataclass
class Bench:
    """A vault over rows in memory."""

    provider: Counted = field(default_factory=lambda: Counted(LocalKey(key(1), "keys")))
    rows: Rows = field(default_factory=Rows)
    now: float = 1000.0

    def vault(self) -> Vault:
        """Answer the vault of a process that starts now."""
        data_keys = DataKeys(KeyRing([self.provider]), self.rows, clock=lambda: self.now)
        return Vault(keys(9), data_keys=data_keys)


@pytest.fixture
def bench() -> Bench:
    """Nothing is stored yet."""
    return Bench()


PARTS = st.lists(st.text(max_size=8), max_size=4)


@given(one=PARTS, other=PARTS)
def test_no_two_places_have_the_same_context(one: list[str], other: list[str]) -> None:
    """However their names run together."""
    assume(one != other)
    assert context(*one) != context(*other)


async def test_a_data_key_is_its_tenants(bench: Bench) -> None:
    """Wrapped under one tenant's name it does not unwrap under another's, nor under another id."""
    ring = KeyRing([LocalKey(key(1), "keys")])
    made, opened = await make(ring, "acme")
    assert await unwrap(ring, made) == opened.material
    assert provider_of(made.wrapped) == key(1).id
    for moved in (replace(made, tenant="bolt"), replace(made, id=b"abcd")):
        with pytest.raises(SealBroken, match="moved from another tenant"):
            await unwrap(ring, moved)


@given(data=st.data())
async def test_a_changed_wrapping_does_not_open(data: st.DataObject) -> None:
    """Not one bit may differ, and nothing may be cut off."""
    ring = KeyRing([LocalKey(key(1), "keys")])
    made, _ = await make(ring, "acme")
    wrapped = bytearray(made.wrapped)
    if data.draw(st.booleans()):
        bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
        wrapped[bit // 8] ^= 1 << bit % 8
    else:
        wrapped = wrapped[: data.draw(st.integers(0, len(wrapped) - 1))]
    with pytest.raises(SealBroken):
        await unwrap(ring, replace(made, wrapped=bytes(wrapped)))


async def test_a_missing_master_key_is_named() -> None:
    """The error says which one wrapped the data key, and which there are."""
    made, _ = await make(KeyRing([LocalKey(key(1), "keys")]), "acme")
    with pytest.raises(SealBroken, match=f"wrapped with key {key(1).id.hex()}.*only {key(2).id.hex()}"):
        await unwrap(KeyRing([LocalKey(key(2), "keys")]), made)


async def test_keys_that_were_added_meanwhile_are_found() -> None:
    """A running process reads the key file again when it meets a key that it does not know."""
    there = [LocalKey(key(1), "keys")]
    ring = KeyRing(there, again=lambda: there)
    there.insert(0, LocalKey(key(2), "keys"))
    made, opened = await make(KeyRing(there), "acme")
    assert await unwrap(ring, made) == opened.material
    assert provider_of((await make(ring, "acme"))[0].wrapped) == key(2).id


async def test_the_first_value_of_a_tenant_makes_its_key(bench: Bench) -> None:
    """And every other process uses the same one."""
    one, other = bench.vault(), bench.vault()
    sealed = [await vault.seal_stored("p", "acme", "r", b"secret") for vault in (one, other, one)]
    assert len({key_of(each) for each in sealed}) == 1
    for vault in (one, other, bench.vault()):
        assert [await vault.open_stored("p", "acme", "r", each) for each in sealed] == [b"secret"] * 3
    assert bench.provider.wrapped == 1


async def test_a_tenant_that_is_not_there_has_no_key(bench: Bench) -> None:
    """Nothing is sealed that would never open."""
    with pytest.raises(SealBroken, match="There is no tenant 'nobody'"):
        await bench.vault().seal_stored("p", "nobody", "r", b"secret")


async def test_a_value_opens_in_its_place_only(bench: Bench) -> None:
    """Another purpose, tenant or record does not open it."""
    vault = bench.vault()
    sealed = await vault.seal_stored("p", "acme", "r", b"secret")
    await vault.seal_stored("p", "bolt", "r", b"other")
    places: list[tuple[str, str | None, str]] = [
        ("q", "acme", "r"), ("p", "bolt", "r"), ("p", "acme", "s"), ("p", None, "r"),
    ]  # fmt: skip
    for purpose, tenant, record in places:
        with pytest.raises(SealBroken):
            await vault.open_stored(purpose, tenant, record, sealed)


async def test_the_master_key_is_asked_once_an_hour(bench: Bench) -> None:
    """A hundred tasks at once, and a thousand calls after them, cost one unwrapping and one look-up each."""
    sealed = await bench.vault().seal_stored("p", "acme", "r", b"secret")
    vault = bench.vault()
    bench.provider.unwrapped = bench.rows.looked_up = 0
    await asyncio.gather(*(vault.open_stored("p", "acme", "r", sealed) for _ in range(100)))
    assert bench.provider.unwrapped == 1
    bench.rows.looked_up = 0
    for _ in range(1000):
        await vault.open_stored("p", "acme", "r", sealed)
    assert (bench.provider.unwrapped, bench.rows.looked_up) == (1, 0)
    bench.now += HELD
    await vault.open_stored("p", "acme", "r", sealed)
    assert bench.provider.unwrapped == 2


async def test_a_key_service_that_fails_is_asked_again(bench: Bench) -> None:
    """A fault is told to everybody who waits, and to nobody after it."""
    sealed = await bench.vault().seal_stored("p", "acme", "r", b"secret")
    vault = bench.vault()
    right, bench.provider.inner = bench.provider.inner, LocalKey(key(5), "keys")
    (stored,) = bench.rows.kept
    told = await asyncio.gather(
        *(vault.open_stored("p", "acme", "r", sealed) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(each, SealBroken) for each in told)
    bench.provider.inner = right
    assert stored in bench.rows.kept
    assert await vault.open_stored("p", "acme", "r", sealed) == b"secret"


async def test_what_is_of_nobody_has_the_installations_key(bench: Bench) -> None:
    """As has what is handed out; tenants' keys are not asked for it."""
    vault = bench.vault()
    sealed = await vault.seal_stored("p", None, "r", b"secret")
    assert key_of(sealed) == key_of(vault.seal("p", "acme", "r", b"handed out")) == key(9).id
    assert await vault.open_stored("p", None, "r", sealed) == b"secret"
    assert bench.rows.kept == []
