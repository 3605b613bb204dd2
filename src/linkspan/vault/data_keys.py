"""Data keys: one for each tenant, random, stored wrapped, and held unwrapped for an hour.

What a tenant stores is sealed with its own data key. When the tenant goes its data key goes, and copies of
its sealed values that lie elsewhere open no more, whoever has the master key.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkspan.vault.keys import KEY_BYTES, Key, Random
from linkspan.vault.ring import KeyRing, SealBroken, context

HELD = 3600.0
"""Seconds that an unwrapped data key stays in memory: after that the master key is asked again."""
_MOST_HELD = 10_000


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key as it is stored. `id` is the first four bytes of its SHA-256."""

    tenant: str
    id: bytes
    wrapped: bytes


class DataKeyRows(Protocol):
    """Where data keys are kept."""

    async def current(self, tenant: str) -> DataKey | None:
        """Answer the data key that seals for the tenant now."""
        ...

    async def find(self, tenant: str, key_id: bytes) -> DataKey | None:
        """Answer a data key of the tenant, also one that seals no more."""
        ...

    async def keep_first(self, key: DataKey) -> DataKey | None:
        """Keep a data key unless the tenant has one that seals; answer the one that does then.

        None when there is no such tenant.
        """
        ...


class DataKeys:
    """Ciphers of the tenants' data keys."""

    def __init__(
        self,
        ring: KeyRing,
        rows: DataKeyRows,
        *,
        clock: Callable[[], float] = time.time,
        random: Random = os.urandom,
    ) -> None:
        self._ring = ring
        self._rows = rows
        self._clock = clock
        self._random = random
        self._held: dict[tuple[str, bytes], tuple[float, AESGCM]] = {}
        self._under_way: dict[tuple[str, bytes], asyncio.Task[AESGCM]] = {}

    async def sealing(self, tenant: str) -> tuple[bytes, AESGCM]:
        """Answer the key that seals for a tenant, and make it if there is none.

        It is looked up each time, since another process may have changed it, or removed the tenant. Raises
        `SealBroken` when there is no such tenant.
        """
        found = await self._rows.current(tenant)
        if found is None:
            made, _ = await make(self._ring, tenant, random=self._random)
            found = await self._rows.keep_first(made)
        if found is None:
            raise SealBroken(f"There is no tenant {tenant!r} to seal for", hint="See: linkspan tenant list")
        return found.id, self._look_up(tenant, found.id) or await self._unwrapped(found)

    async def opening(self, tenant: str, key_id: bytes) -> AESGCM | None:
        """Answer a data key of a tenant, or None when the tenant has none of that id."""
        held = self._look_up(tenant, key_id)
        if held is not None:
            return held
        found = await self._rows.find(tenant, key_id)
        return await self._unwrapped(found) if found is not None else None

    def _look_up(self, tenant: str, key_id: bytes) -> AESGCM | None:
        until, cipher = self._held.get((tenant, key_id), (0.0, None))
        return cipher if self._clock() < until else None

    async def _unwrapped(self, key: DataKey) -> AESGCM:
        """Unwrap a key, once for all who ask at the same time."""
        name = (key.tenant, key.id)
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._unwrap(key))
            self._under_way[name] = task
            task.add_done_callback(lambda done: self._done(name, done))
        return await asyncio.shield(task)

    async def _unwrap(self, key: DataKey) -> AESGCM:
        cipher = AESGCM(await unwrap(self._ring, key))
        if len(self._held) >= _MOST_HELD:
            self._held.clear()
        self._held[key.tenant, key.id] = (self._clock() + HELD, cipher)
        return cipher

    def _done(self, name: tuple[str, bytes], done: asyncio.Task[AESGCM]) -> None:
        del self._under_way[name]
        if not done.cancelled():
            done.exception()  # whoever asked has it; nobody may be left


async def make(ring: KeyRing, tenant: str, *, random: Random = os.urandom) -> tuple[DataKey, Key]:
    """Answer a new data key, wrapped and as it is."""
    key = Key(random(KEY_BYTES))
    return DataKey(tenant, key.id, await ring.wrap(key.material, _context(tenant, key.id))), key


async def unwrap(ring: KeyRing, key: DataKey) -> bytes:
    """Answer a data key as it is. Raises `SealBroken` and `KeyUnavailable`."""
    return await ring.unwrap(key.wrapped, _context(key.tenant, key.id))


async def rewrap(ring: KeyRing, key: DataKey) -> DataKey:
    """Answer the same data key, wrapped by the provider that wraps now."""
    wrapped = await ring.wrap(await unwrap(ring, key), _context(key.tenant, key.id))
    return DataKey(key.tenant, key.id, wrapped)


def _context(tenant: str, key_id: bytes) -> bytes:
    return context("data key", tenant, key_id.hex())
