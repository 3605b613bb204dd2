"""HashiCorp Vault's transit engine as the master key, which then never leaves Vault.

Two of its endpoints are used, `encrypt` and `decrypt`
(developer.hashicorp.com/vault/api-docs/secret/transit), with `associated_data`, so the engine's key must be
of an AEAD type: aes256-gcm96 (its default) or chacha20-poly1305. Changing the key is Vault's own affair
(`vault write -f transit/keys/NAME/rotate`); what it wrapped before goes on opening.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from linkspan.errors import LinkspanError
from linkspan.vault.ring import KeyUnavailable, SealBroken
from linkspan.vault.secret import Secret

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""Sends a POST request (URL, headers, body) and answers status and body."""


class TransitKey:
    """One named key of a transit engine: a `KeyProvider`.

    `url` names it, such as `https://vault.example:8200/v1/transit/linkspan`: the address of the engine and
    the name of the key.
    """

    def __init__(self, url: str, token: Secret, post: Post) -> None:
        self.name = url
        self.id = hashlib.sha256(b"transit\0" + url.encode()).digest()[:4]
        self._engine, _, self._key = url.rpartition("/")
        self._token = token
        self._post = post

    async def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Answer Vault's ciphertext, `vault:v1:…`. Raises `KeyUnavailable`."""
        status, answer = await self._ask("encrypt", {"plaintext": _base64(data_key)}, context)
        ciphertext = _data(answer).get("ciphertext")
        if status != 200 or not isinstance(ciphertext, str):
            raise self._refused(status, answer)
        return ciphertext.encode()

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Answer the data key. Raises `SealBroken` where Vault does not decrypt it, else `KeyUnavailable`."""
        ciphertext = wrapped.decode("ascii", errors="replace")
        status, answer = await self._ask("decrypt", {"ciphertext": ciphertext}, context)
        if status == 400:
            raise SealBroken(
                f"A stored data key does not open at {self.name}: {_told(answer)}",
                hint="It was changed or moved, or its version of the key was deleted there.",
            )
        if status != 200:
            raise self._refused(status, answer)
        try:
            return base64.b64decode(_data(answer)["plaintext"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise self._refused(status, {}) from error

    async def _ask(self, what: str, body: Mapping[str, str], context: bytes) -> tuple[int, Mapping[str, Any]]:
        headers = {"X-Vault-Token": self._token.reveal(), "Content-Type": "application/json"}
        sent = json.dumps({**body, "associated_data": _base64(context)}).encode()
        try:
            status, answer = await self._post(f"{self._engine}/{what}/{self._key}", headers, sent)
        except LinkspanError as error:
            raise KeyUnavailable(
                f"The key service {self.name} does not answer: {error.message}",
                hint="Look whether it runs and is unsealed. In a private network it must be named in"
                " LINKSPAN_ALLOW_EGRESS.",
            ) from error
        try:
            read = json.loads(answer or b"{}")
        except ValueError:
            read = {}
        return status, read if isinstance(read, dict) else {}

    def _refused(self, status: int, answer: Mapping[str, Any]) -> KeyUnavailable:
        return KeyUnavailable(
            f"The key service {self.name} answers {status}: {_told(answer)}",
            hint="Look at LINKSPAN_TRANSIT_TOKEN and its policy: it needs update on encrypt/NAME and"
            " decrypt/NAME of the engine."
            if status == 403
            else "Look whether it is unsealed, and whether the key is there and of an AEAD type.",
        )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _data(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def _told(answer: Mapping[str, Any]) -> str:
    """What Vault says went wrong: its own words, never what it was given."""
    errors = answer.get("errors")
    said = "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""
    return " ".join(said.split())[:200] or "it says nothing more"
