"""The vault at start: the keys there are, tried on what the database holds before anything is served."""

from __future__ import annotations

from pathlib import Path

from linkspan.errors import ConfigurationError
from linkspan.store import meta
from linkspan.store.database import Database
from linkspan.vault.keys import Random, load_keys, shown_ids
from linkspan.vault.seal import SealBroken, Vault

_PROBE = "key_probe"
_PROBE_DATA = b"linkspan"


async def unlock(db: Database, *, keys: str | None, keys_path: Path, random: Random) -> Vault:
    """Answer a vault whose keys open what is stored.

    `keys` is `LINKSPAN_KEYS`. With none and no key file, a key file is made if nothing was ever sealed here.
    Raises `ConfigurationError` that says which key is missing, and what to do.
    """
    probe = await meta.read(db, _PROBE)
    loaded = load_keys(keys, keys_path, may_create=probe is None, random=random)
    vault = Vault(loaded, random=random)
    if probe is None:
        probe = await meta.keep_first(db, _PROBE, vault.seal("probe", "", _PROBE, _PROBE_DATA))
    try:
        vault.open("probe", "", _PROBE, probe)
    except SealBroken as error:
        raise ConfigurationError(
            f"The keys of {loaded.source} ({shown_ids(key.id for key in loaded.all)}) do not open what the"
            f" database holds, which is sealed with key {probe[1:5].hex()}",
            hint="Give that key too, after the new one: LINKSPAN_KEYS=new,old.",
        ) from error
    return vault
