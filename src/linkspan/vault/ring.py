"""What wraps data keys: a master key that is held here, or a key service that never shows its own.

    wrapped = 0x01 | id of the provider (4) | what the provider made

A provider gets a data key with its context (whose it is), and must refuse to unwrap it for another.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from linkspan.errors import Internal
from linkspan.vault.keys import Key, Random, shown_ids

_VERSION = b"\x01"
_HEAD = 1 + 4
_NONCE = 12
_TAG = 16


class SealBroken(Internal):
    """A sealed value does not open: changed, moved, or its key is missing."""


class KeyUnavailable(Internal):
    """A key service does not answer, or refuses."""


class KeyProvider(Protocol):
    """Wraps and unwraps data keys. That is all that is ever done with a master key."""

    @property
    def id(self) -> bytes:
        """Four bytes that wrapped keys call it by; they tell nothing of the key."""
        ...

    @property
    def name(self) -> str:
        """Where it is, for people."""
        ...

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Answer the data key so that only `unwrap` with the same context gives it back."""
        ...

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Answer the data key. Raises `SealBroken` for another context, else `KeyUnavailable`."""
        ...


class LocalKey:
    """A master key of `LINKSPAN_KEYS` or the key file: AES-256-GCM, the context as additional data."""

    def __init__(self, key: Key, source: str, *, random: Random = os.urandom) -> None:
        self.id = key.id
        self.name = source
        self.key = key
        self._cipher = AESGCM(key.material)
        self._random = random

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Answer nonce, ciphertext and tag."""
        nonce = self._random(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Answer the data key. Raises `SealBroken`."""
        if len(wrapped) < _NONCE + _TAG:
            raise SealBroken("A stored data key is not a wrapped key of a known form")
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except InvalidTag as error:
            raise SealBroken(
                "A stored data key does not open: it was changed, or moved from another tenant",
                hint="Restore the database from a backup.",
            ) from error


class KeyRing:
    """The providers there are: the first wraps, all unwrap.

    `again` reads them anew. It is asked before anything is wrapped, which is rare, and when a wrapped key
    names a provider that is not known: so a running process learns of a new key in the key file.
    """

    def __init__(
        self, providers: Sequence[KeyProvider], *, again: Callable[[], Sequence[KeyProvider]] | None = None
    ) -> None:
        if not providers:
            raise ValueError("there must be a provider")
        self._providers = tuple(providers)
        self._again = again

    @property
    def all(self) -> tuple[KeyProvider, ...]:
        """The providers, as they were read last."""
        return self._providers

    @property
    def first(self) -> KeyProvider:
        """The provider that wraps."""
        return self._providers[0]

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Wrap a data key with the first provider."""
        self.read_again()
        return _VERSION + self.first.id + await self.first.wrap(data_key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Unwrap with the provider that wrapped. Raises `SealBroken` and `KeyUnavailable`."""
        if len(wrapped) <= _HEAD or wrapped[:1] != _VERSION:
            raise SealBroken("A stored data key is not a wrapped key of a known form")
        key_id = provider_of(wrapped)
        provider = self._find(key_id)
        if provider is None:
            self.read_again()
            provider = self._find(key_id)
        if provider is None:
            raise SealBroken(
                f"A stored data key is wrapped with key {key_id.hex()}, and there is only"
                f" {shown_ids(each.id for each in self._providers)}",
                hint="Add the missing key to LINKSPAN_KEYS or the key file, after the one that seals now.",
            )
        return await provider.unwrap(wrapped[_HEAD:], context)

    def read_again(self) -> None:
        """Learn of keys that were added since."""
        if self._again is not None:
            self._providers = tuple(self._again())

    def _find(self, key_id: bytes) -> KeyProvider | None:
        return next((provider for provider in self._providers if provider.id == key_id), None)


def provider_of(wrapped: bytes) -> bytes:
    """Answer the id of the provider that wrapped a data key."""
    return wrapped[1:_HEAD]


def context(*parts: str) -> bytes:
    """Answer additional data for a place: each part with its length (four bytes, big endian) in front.

    No two different places have the same, however their names run together.
    """
    encoded = (_VERSION, *(part.encode() for part in parts))
    return b"".join(struct.pack(">I", len(part)) + part for part in encoded)
