"""Changing keys while everything runs: a new master key, new data keys, every sealed value sealed anew.

A rotation that began is noted with its time, and ends when nothing is older. Whatever stops it in between,
the next run goes on: what is to be done is read off the rows. Old and new keys open all the time. A data key
that was followed by another is deleted an hour later at the earliest, since a process may still be storing
what it sealed with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linkspan.accounts.unlock import (
    InstallationKey,
    installation_keys,
    open_vault,
    replace_installation_keys,
    sealing_since,
)
from linkspan.errors import ConfigurationError
from linkspan.store import data_keys as key_rows
from linkspan.store import meta, sealed, tenants
from linkspan.store.data_keys import StoredKey
from linkspan.store.database import Database, Reader
from linkspan.store.sealed import SEALED, SealedColumn
from linkspan.vault.data_keys import DataKey, make, rewrap
from linkspan.vault.keys import Random, add_key
from linkspan.vault.ring import KeyProvider, KeyRing, LocalKey, SealBroken, provider_of
from linkspan.vault.seal import Vault, key_of

SPENT_AFTER = 3600.0
"""Seconds that a data key is kept after another has followed it."""
OPENS_FOR = 90 * 86_400.0
"""Seconds that the installation's own keys open what they sealed, counted from when they were made."""
_STARTED = "rotation_started"
_BATCH = 100


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A master key, and what depends on it. `source` is None for one that is needed and not there."""

    id: str
    source: str | None
    seals: bool
    """It wraps what is made now."""
    since: float | None
    """When it first did here (epoch seconds)."""
    data_keys: int
    """How many data keys it wraps, the installation's own among them."""
    values: int
    """How many sealed values open only with it: those under these data keys, and those it sealed itself."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. `unreadable` counts values that no key opens: they stay as they are."""

    key: str
    resumed: bool
    tenants: int
    values: int
    deleted: int
    unreadable: int


class Rotation:
    """Lists and changes the keys of one installation.

    `keys_path` is the key file, if a new key may be put there: None where others must be given it too.
    """

    def __init__(
        self,
        db: Database,
        ring: KeyRing,
        *,
        keys_path: Path | None,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._db = db
        self._ring = ring
        self._keys_path = keys_path
        self._clock = clock
        self._random = random

    async def list(self) -> list[MasterKey]:
        """Answer the master keys in their order, then those that are missing."""
        return await master_keys(self._db, self._ring.all)

    async def run(self) -> Rotated:
        """Begin a rotation, or go on with the one that was begun, to its end.

        Raises `ConfigurationError` where somebody has to give the new key first.
        """
        resumed = await meta.read(self._db, _STARTED) is not None
        if not resumed:
            await self._new_master()
        started = float(await meta.keep_first(self._db, _STARTED, repr(self._clock()).encode()))
        own = await self._renew_installation_key(started)
        vault = await open_vault(self._db, self._ring, clock=self._clock, random=self._random)
        done: Counter[str] = Counter()
        for tenant, _created in await tenants.everyone(self._db):
            await self._renew(vault, tenant, started, done)
        await self._seal_anew(vault, None, own, done)
        await meta.forget(self._db, _STARTED)
        return Rotated(
            key=self._ring.first.id.hex(),
            resumed=resumed,
            tenants=done["tenants"],
            values=done["values"],
            deleted=done["deleted"],
            unreadable=done["unreadable"],
        )

    async def _new_master(self) -> None:
        """Put a new key in front, unless the one that stands there is new: others still seal something."""
        first, *others = await self.list()
        is_new = any(key.source is not None and (key.data_keys or key.values) for key in others)
        if is_new or not isinstance(self._ring.first, LocalKey):
            return
        if self._keys_path is None:
            raise ConfigurationError(
                f"{first.source} has no new key in front: {first.id} seals everything already",
                hint="Make one with: openssl rand -base64 32. Put it in front for every process"
                " (LINKSPAN_KEYS=NEW,OLD and a restart, or a line above the old one in the key file), and run"
                " this again.",
            )
        add_key(self._keys_path, random=self._random)
        self._ring.read_again()

    async def _renew_installation_key(self, started: float) -> bytes:
        """Answer the id of the installation's own key, which is a new one then."""
        while True:
            stored, keys = await installation_keys(self._db)
            if keys[0].created >= started:
                return keys[0].key.id
            made, _ = await make(self._ring, "", random=self._random)
            kept = [key for key in keys if key.created > started - OPENS_FOR] or keys[:1]
            again = [replace(key, key=await rewrap(self._ring, key.key)) for key in kept]
            await replace_installation_keys(self._db, stored, [InstallationKey(made, self._clock()), *again])

    async def _renew(self, vault: Vault, tenant: str, started: float, done: Counter[str]) -> None:
        current = await key_rows.sealing(self._db, tenant)
        if current is not None and current.created < started:
            made, _ = await make(self._ring, tenant, random=self._random)
            successor = StoredKey(tenant, made.id, made.wrapped, self._clock())
            done["tenants"] += await key_rows.succeed(self._db, successor, before=current.id)
            current = await key_rows.sealing(self._db, tenant)
        await self._seal_anew(vault, tenant, current.id if current else b"", done)
        for key in await key_rows.of_tenant(self._db, tenant):
            if key.retired is not None:
                done["deleted"] += await self._retire(key, key.retired)

    async def _retire(self, key: StoredKey, since: float) -> bool:
        """Delete a key that is spent; else keep it under the master key that seals now."""
        is_spent = since <= self._clock() - SPENT_AFTER
        if is_spent and await sealed.uses(self._db, key.tenant, key.id) == 0:
            await key_rows.delete(self._db, key)
            return True
        if provider_of(key.wrapped) != self._ring.first.id:
            again = await rewrap(self._ring, DataKey(key.tenant, key.id, key.wrapped))
            await key_rows.rewrap(self._db, key, again.wrapped)
        return False

    async def _seal_anew(self, vault: Vault, tenant: str | None, key_id: bytes, done: Counter[str]) -> None:
        """Seal every value of a tenant that another key sealed."""
        for column in SEALED:
            skip = 0
            while rows := await sealed.under_other_keys(
                self._db, column, tenant, key_id, limit=_BATCH, skip=skip
            ):
                for row in rows:
                    value = await _again(vault, column, tenant, row[column.record], bytes(row[column.column]))
                    if value is None:
                        skip += 1
                        continue
                    key_id = key_of(value)
                    done["values"] += await sealed.replace(self._db, column, tenant, row, value)
            done["unreadable"] += skip


async def master_keys(db: Reader, providers: Sequence[KeyProvider]) -> list[MasterKey]:
    """Answer the master keys of a database, the given ones in their order, then those that are missing."""
    wrapping = dict(await key_rows.by_provider(db))
    values = await sealed.by_provider(db)
    others = await sealed.by_other_keys(db)
    for own in (await installation_keys(db))[1]:
        provider = provider_of(own.key.wrapped)
        wrapping[provider] = wrapping.get(provider, 0) + 1
        values[provider] = values.get(provider, 0) + others.pop(own.key.id, 0)
    for key_id, count in others.items():
        values[key_id] = values.get(key_id, 0) + count
    known = {provider.id: provider for provider in providers}
    ids = [*known, *sorted((wrapping.keys() | values.keys()) - known.keys())]
    return [
        MasterKey(
            id=key_id.hex(),
            source=known[key_id].name if key_id in known else None,
            seals=key_id == next(iter(known), None),
            since=await sealing_since(db, key_id),
            data_keys=wrapping.get(key_id, 0),
            values=values.get(key_id, 0),
        )
        for key_id in ids
    ]


async def _again(
    vault: Vault, column: SealedColumn, tenant: str | None, record: str, value: bytes
) -> bytes | None:
    try:
        data = await vault.open_stored(column.purpose, tenant, record, value)
    except SealBroken:
        return None
    return await vault.seal_stored(column.purpose, tenant, record, data)
