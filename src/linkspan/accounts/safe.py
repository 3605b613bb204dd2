"""What an account's row keeps sealed: its secrets, together with the only places they may go."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linkspan.spec.grants import Client
from linkspan.store.accounts import Account
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import SealBroken, Vault
from linkspan.vault.secret import Secret

_PURPOSE = "credential"


@dataclass(frozen=True, slots=True)
class Kept:
    """The opened content of an account's row."""

    secrets: Mapping[str, Secret] = field(repr=False)
    """By name: what was asked (`AuthMethod.fields`), `access_token` and `refresh_token`."""
    origins: tuple[str, ...]
    """Where requests may carry them."""
    token_origins: tuple[str, ...] = ()
    """Where what renews an access token may be sent."""


class Safe:
    """Seals and opens what accounts keep; what it sees is masked in logs from then on."""

    def __init__(self, vault: Vault, redactor: Redactor | None) -> None:
        self._vault = vault
        self._redactor = redactor

    async def seal(self, tenant: str, account: str, kept: Kept) -> bytes:
        """Seal for one account of one tenant."""
        self.register(kept.secrets)
        payload = {
            "origins": kept.origins,
            "secrets": {name: secret.reveal() for name, secret in kept.secrets.items()},
            "token_origins": kept.token_origins,
        }
        return await self._vault.seal_stored(_PURPOSE, tenant, account, json.dumps(payload).encode())

    async def open(self, account: Account) -> Kept:
        """Open an account's row. Raises `SealBroken` for one that was changed, moved, or is not ours."""
        opened = await self._vault.open_stored(_PURPOSE, account.tenant, account.id, account.sealed)
        payload = json.loads(opened)
        if tuple(payload["origins"]) != account.origins:
            raise SealBroken(
                f"Account {account.id} was sealed for other origins than its row says",
                hint=f"Run: linkspan account link {account.connector} --tenant {account.tenant}"
                f" --account {account.id}",
            )
        secrets = {name: Secret(value) for name, value in payload["secrets"].items()}
        self.register(secrets)
        return Kept(secrets, account.origins, tuple(payload.get("token_origins", ())))

    async def seal_words(
        self, purpose: str, tenant: str, record: str, words: Mapping[str, Any], secrets: Mapping[str, Secret]
    ) -> bytes:
        """Seal something that waits, for one purpose and record of one tenant."""
        self.register(secrets)
        payload = {"words": words, "secrets": {name: secret.reveal() for name, secret in secrets.items()}}
        return await self._vault.seal_stored(purpose, tenant, record, json.dumps(payload).encode())

    async def open_words(
        self, purpose: str, tenant: str, record: str, sealed: bytes
    ) -> tuple[dict[str, Any], dict[str, Secret]]:
        """Open what `seal_words` sealed for exactly this. Raises `SealBroken`."""
        payload = json.loads(await self._vault.open_stored(purpose, tenant, record, sealed))
        secrets = {name: Secret(value) for name, value in payload["secrets"].items()}
        self.register(secrets)
        return payload["words"], secrets

    def register_client(self, client: Client | None) -> None:
        """Let the log filter mask what a client proves itself with."""
        if self._redactor is not None and client is not None:
            for value in (client.secret, client.private_key):
                self._redactor.register(value or "")

    def register(self, secrets: Mapping[str, Secret]) -> None:
        """Let the log filter mask these values."""
        if self._redactor is not None:
            for secret in secrets.values():
                self._redactor.register(secret.reveal())
