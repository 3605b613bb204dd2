"""The vault at start: the keys there are, tried on what the database holds before anything is served.

The installation has a key of its own, random, stored wrapped like the data keys of tenants. Unwrapping it is
what tries the master keys.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkspan.errors import ConfigurationError
from linkspan.store import data_keys as rows
from linkspan.store import meta
from linkspan.store.data_keys import StoredKey
from linkspan.store.database import Database, Reader
from linkspan.vault.data_keys import DataKey, DataKeys, make, unwrap
from linkspan.vault.keys import Key, Keys, Random, load_keys, shown_ids
from linkspan.vault.ring import KeyProvider, KeyRing, LocalKey, SealBroken, provider_of
from linkspan.vault.seal import Vault, key_of

_INSTALLATION = "installation_keys"
_PROBE = "key_probe"
"""What 0.1.0 tried its keys on: sealed with a master key itself."""
_PROBE_DATA = b"linkspan"
_SINCE = "key_since:"


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """A key of the installation's own, wrapped, and when it was made (epoch seconds)."""

    key: DataKey
    created: float


class TenantKeys:
    """Data keys of tenants in the database, as the vault asks for them."""

    def __init__(self, db: Database, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock

    async def current(self, tenant: str) -> DataKey | None:
        """Answer the data key that seals for the tenant now."""
        return _data_key(await rows.sealing(self._db, tenant))

    async def find(self, tenant: str, key_id: bytes) -> DataKey | None:
        """Answer a data key of the tenant, also one that seals no more."""
        return _data_key(await rows.find(self._db, tenant, key_id))

    async def keep_first(self, key: DataKey) -> DataKey | None:
        """Keep a data key unless the tenant has one that seals; answer the one that does then."""
        new = StoredKey(key.tenant, key.id, key.wrapped, self._clock())
        return _data_key(await rows.keep_first(self._db, new))


async def read_ring(
    db: Reader, *, keys: str | None, keys_path: Path, random: Random, service: KeyProvider | None = None
) -> KeyRing:
    """Answer the master keys there are, the one that wraps first.

    That is `service` where there is one; then come those of `LINKSPAN_KEYS` (`keys`), else of the key file.
    With none of them a key file is made, if nothing was ever sealed here. Raises `ConfigurationError`.
    """
    is_new = await meta.read(db, _INSTALLATION) is None and await meta.read(db, _PROBE) is None
    first = () if service is None else (service,)

    def read(*, may_create: bool = False) -> Sequence[KeyProvider]:
        if service is not None and keys is None and not keys_path.exists():
            return first
        loaded = load_keys(keys, keys_path, may_create=may_create, random=random)
        return (*first, *(LocalKey(key, loaded.source, random=random) for key in loaded.all))

    return KeyRing(read(may_create=is_new), again=read if keys is None else None)


async def unlock(
    db: Database,
    *,
    keys: str | None,
    keys_path: Path,
    random: Random,
    clock: Callable[[], float] = time.time,
    service: KeyProvider | None = None,
) -> Vault:
    """Answer a vault whose keys open what is stored; `read_ring` says where the master keys come from.

    Raises `ConfigurationError` that says which key is missing, and what to do, and `KeyUnavailable`.
    """
    ring = await read_ring(db, keys=keys, keys_path=keys_path, random=random, service=service)
    stored, _ = await installation_keys(db)
    if stored is None:
        await _open_probe(db, ring)
        made, _ = await make(ring, "", random=random)
        await meta.keep_first(db, _INSTALLATION, _stored([InstallationKey(made, clock())]))
        await meta.forget(db, _PROBE)
    vault = await open_vault(db, ring, clock=clock, random=random)
    await meta.keep_first(db, f"{_SINCE}{ring.first.id.hex()}", repr(clock()).encode())
    return vault


async def open_vault(db: Database, ring: KeyRing, *, clock: Callable[[], float], random: Random) -> Vault:
    """Answer a vault with the installation's keys, the one that seals and those before it."""
    _, found = await installation_keys(db)
    opened = [Key(await _unwrap(ring, stored.key)) for stored in found]
    # What 0.1.0 stored is sealed with master keys themselves.
    masters = [provider.key for provider in ring.all if isinstance(provider, LocalKey)]
    data_keys = DataKeys(ring, TenantKeys(db, clock), clock=clock, random=random)
    return Vault(Keys((*opened, *masters), ring.first.name), data_keys=data_keys, random=random)


async def installation_keys(db: Reader) -> tuple[bytes | None, list[InstallationKey]]:
    """Answer the installation's own keys, the one that seals first; before them, how they are stored."""
    stored = await meta.read(db, _INSTALLATION)
    if stored is None:
        return None, []
    return stored, [
        InstallationKey(
            DataKey("", bytes.fromhex(each["id"]), base64.b64decode(each["wrapped"])), each["created"]
        )
        for each in json.loads(stored)
    ]


async def replace_installation_keys(
    db: Database, stored: bytes | None, keys: Sequence[InstallationKey]
) -> bool:
    """Store other keys, unless they are no longer as they were read."""
    return await meta.replace(db, _INSTALLATION, stored or b"", _stored(keys))


async def sealing_since(db: Reader, key_id: bytes) -> float | None:
    """Answer when a master key was first in front here (epoch seconds); None when it never was."""
    stored = await meta.read(db, f"{_SINCE}{key_id.hex()}")
    return None if stored is None else float(stored)


def _stored(keys: Sequence[InstallationKey]) -> bytes:
    return json.dumps(
        [
            {
                "id": own.key.id.hex(),
                "wrapped": base64.b64encode(own.key.wrapped).decode(),
                "created": own.created,
            }
            for own in keys
        ]
    ).encode()


async def _unwrap(ring: KeyRing, key: DataKey) -> bytes:
    try:
        return await unwrap(ring, key)
    except SealBroken as error:
        raise _do_not_open(ring, provider_of(key.wrapped)) from error


async def _open_probe(db: Database, ring: KeyRing) -> None:
    probe = await meta.read(db, _PROBE)
    if probe is None:
        return
    masters = tuple(provider.key for provider in ring.all if isinstance(provider, LocalKey))
    try:
        if masters and Vault(Keys(masters, "")).open("probe", "", _PROBE, probe) == _PROBE_DATA:
            return
    except SealBroken as error:
        raise _do_not_open(ring, key_of(probe)) from error
    raise _do_not_open(ring, key_of(probe))


def _do_not_open(ring: KeyRing, missing: bytes) -> ConfigurationError:
    ids = shown_ids(provider.id for provider in ring.all)
    return ConfigurationError(
        f"The keys of {ring.first.name} ({ids}) do not open what the database holds, which is sealed with key"
        f" {missing.hex()}",
        hint="Give that key too, after the new one: LINKSPAN_KEYS=new,old.",
    )


def _data_key(stored: StoredKey | None) -> DataKey | None:
    return None if stored is None else DataKey(stored.tenant, stored.id, stored.wrapped)
