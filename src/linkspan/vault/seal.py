"""Sealing: AES-256-GCM, each value tied to what it is for, whose it is and which record holds it.

    sealed = 0x01 | key id (4) | nonce (12) | ciphertext and tag

The additional data are the parts version, purpose, tenant and record. A value that was changed, or moved to
another tenant, record or purpose, does not open. Nonces are random: good for 2^32 values under one key (NIST
SP 800-38D §8.3). AES-GCM does not commit to its key, so a key id that is not known is refused and none is
tried.

What is stored for a tenant is sealed with that tenant's data key (`seal_stored`). What we hand out to be
shown again, such as a cursor, and what belongs to no tenant is sealed with the installation's own key.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkspan.vault.data_keys import DataKeys
from linkspan.vault.keys import Keys, Random, shown_ids
from linkspan.vault.ring import SealBroken, context

__all__ = ["SealBroken", "Vault", "key_of"]
_VERSION = b"\x01"
_HEAD = 1 + 4
_NONCE = 12
_TAG = 16


class Vault:
    """Seals and opens. `keys` are the installation's; without `data_keys` tenants have none of their own."""

    def __init__(self, keys: Keys, *, data_keys: DataKeys | None = None, random: Random = os.urandom) -> None:
        self._first = keys.first.id
        self._ciphers = {key.id: AESGCM(key.material) for key in keys.all}
        self._data_keys = data_keys
        self._random = random

    async def seal_stored(self, purpose: str, tenant: str | None, record: str, data: bytes) -> bytes:
        """Seal `data` to be stored, with the tenant's own key. Sealing the same twice gives two values."""
        if tenant is None or self._data_keys is None:
            return self.seal(purpose, tenant or "", record, data)
        key_id, cipher = await self._data_keys.sealing(tenant)
        return self._sealed(key_id, cipher, context(purpose, tenant, record), data)

    async def open_stored(self, purpose: str, tenant: str | None, record: str, sealed: bytes) -> bytes:
        """Open what was sealed to be stored for exactly this place. Raises `SealBroken`."""
        key_id = key_of(sealed)
        cipher = None
        if tenant is not None and self._data_keys is not None and key_id not in self._ciphers:
            cipher = await self._data_keys.opening(tenant, key_id)
            if cipher is None:
                raise SealBroken(
                    f"A stored {purpose} is sealed with data key {key_id.hex()}, which the tenant has not",
                    hint="Store it anew, or restore the database from a backup together with its data keys.",
                )
        return self._opened(purpose, cipher, context(purpose, tenant or "", record), sealed)

    def seal(self, purpose: str, tenant: str, record: str, data: bytes) -> bytes:
        """Seal `data` to be handed out and shown again, with the installation's key."""
        return self._sealed(self._first, self._ciphers[self._first], context(purpose, tenant, record), data)

    def open(self, purpose: str, tenant: str, record: str, sealed: bytes) -> bytes:
        """Open what the installation's key sealed for exactly this place. Raises `SealBroken`."""
        return self._opened(purpose, None, context(purpose, tenant, record), sealed)

    def _sealed(self, key_id: bytes, cipher: AESGCM, place: bytes, data: bytes) -> bytes:
        nonce = self._random(_NONCE)
        return _VERSION + key_id + nonce + cipher.encrypt(nonce, data, place)

    def _opened(self, purpose: str, cipher: AESGCM | None, place: bytes, sealed: bytes) -> bytes:
        if len(sealed) < _HEAD + _NONCE + _TAG or sealed[:1] != _VERSION:
            raise SealBroken(f"A stored {purpose} is not a sealed value of a known form")
        cipher = cipher or self._ciphers.get(key_of(sealed))
        if cipher is None:
            raise SealBroken(
                f"A stored {purpose} is sealed with key {key_of(sealed).hex()}, and there is only"
                f" {shown_ids(self._ciphers)}",
                hint="Add the missing key to LINKSPAN_KEYS or the key file, after the one that seals now.",
            )
        nonce, ciphertext = sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
        try:
            return cipher.decrypt(nonce, ciphertext, place)
        except InvalidTag as error:
            raise SealBroken(
                f"A stored {purpose} does not open: it was changed, or moved from another place",
                hint="Store it anew, or restore the database from a backup.",
            ) from error


def key_of(sealed: bytes) -> bytes:
    """Answer the id of the key that sealed a value."""
    return sealed[1:_HEAD]
