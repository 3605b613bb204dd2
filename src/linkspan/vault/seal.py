"""Sealing: AES-256-GCM, each value tied to what it is for, whose it is and which record holds it.

    sealed = 0x01 | key id (4) | nonce (12) | ciphertext and tag

The additional data are the parts version, purpose, tenant and record, each with its length (four bytes, big
endian) in front, so that no two different places have the same. A value that was changed, or moved to another
tenant, record or purpose, does not open. Nonces are random: good for 2^32 values under one key (NIST SP
800-38D §8.3). AES-GCM does not commit to its key, so a key id that is not known is refused and none is tried.
"""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkspan.errors import Internal
from linkspan.vault.keys import Keys, Random, shown_ids

_VERSION = b"\x01"
_HEAD = 1 + 4
_NONCE = 12
_TAG = 16


class SealBroken(Internal):
    """A sealed value does not open: changed, moved, or its key is missing."""


class Vault:
    """Seals and opens with the keys that it is given."""

    def __init__(self, keys: Keys, *, random: Random = os.urandom) -> None:
        self._first = keys.first.id
        self._ciphers = {key.id: AESGCM(key.material) for key in keys.all}
        self._random = random

    def seal(self, purpose: str, tenant: str, record: str, data: bytes) -> bytes:
        """Seal `data` for one place. Sealing the same twice gives two different values."""
        nonce = self._random(_NONCE)
        ciphertext = self._ciphers[self._first].encrypt(nonce, data, _place(purpose, tenant, record))
        return _VERSION + self._first + nonce + ciphertext

    def open(self, purpose: str, tenant: str, record: str, sealed: bytes) -> bytes:
        """Open what was sealed for exactly this place. Raises `SealBroken`."""
        if len(sealed) < _HEAD + _NONCE + _TAG or sealed[:1] != _VERSION:
            raise SealBroken(f"A stored {purpose} is not a sealed value of a known form")
        key_id = sealed[1:_HEAD]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealBroken(
                f"A stored {purpose} is sealed with key {key_id.hex()}, and there is only"
                f" {shown_ids(self._ciphers)}",
                hint="Add the missing key to LINKSPAN_KEYS or the key file, after the one that seals now.",
            )
        nonce, ciphertext = sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
        try:
            return cipher.decrypt(nonce, ciphertext, _place(purpose, tenant, record))
        except InvalidTag as error:
            raise SealBroken(
                f"A stored {purpose} does not open: it was changed, or moved from another place",
                hint="Store it anew, or restore the database from a backup.",
            ) from error

    def is_stale(self, sealed: bytes) -> bool:
        """Tell whether a value was sealed with another key than the one that seals now."""
        return sealed[1:_HEAD] != self._first


def _place(*parts: str) -> bytes:
    encoded = (_VERSION, *(part.encode() for part in parts))
    return b"".join(struct.pack(">I", len(part)) + part for part in encoded)
