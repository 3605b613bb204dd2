"""Secrets that a product's deliveries are proved with: made here or given, sealed, and shown once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument, NotFound
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store.database import Database
from linkspan.store.deliveries import HookSecret
from linkspan.vault.keys import Random
from linkspan.vault.seal import Vault
from linkspan.vault.secret import Secret

_PURPOSE: Final = "hook"
_BYTES: Final = 32
_SHORTEST: Final = 16
_LONGEST: Final = 1000


class HookSecrets:
    """Keeps one secret for each account, and one for each connector that has a single address."""

    def __init__(self, db: Database, vault: Vault, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._random = random

    async def of_account(self, tenant: Tenant, account: str, given: Secret | None = None) -> Secret:
        """Keep a secret for an account in place of an earlier one, and answer it. Raises `NotFound`.

        Of an account that is one person's own: `InvalidArgument`, for events start runs for the tenant.
        """
        found = await account_rows.find(self._db, tenant, account)
        if found is None:
            raise NotFound(
                f"Tenant {tenant} has no account {account!r}",
                hint=f"See: linkspan account list --tenant {tenant}",
            )
        if found.subject is not None:
            raise InvalidArgument(
                f"Account {account} is {found.subject}'s own",
                hint="Events work with an account that the tenant shares: link one without --person.",
            )
        return await self._keep(account, tenant, given)

    async def of_connector(self, connector: str, given: Secret | None = None) -> Secret:
        """Keep the secret of a connector's one address in place of an earlier one, and answer it."""
        return await self._keep(connector, None, given)

    async def find(self, identified: str) -> tuple[str | None, Secret] | None:
        """Answer whose a secret is, and the secret; None when none was set."""
        found = await rows.secret(self._db, identified)
        if found is None:
            return None
        opened = await self._vault.open_stored(_PURPOSE, found.tenant, found.id, found.sealed)
        return found.tenant, Secret(opened.decode())

    async def _keep(self, identified: str, tenant: str | None, given: Secret | None) -> Secret:
        secret = given or Secret(self._random(_BYTES).hex())
        text = secret.reveal()
        if not _SHORTEST <= len(text) <= _LONGEST or not text.isascii() or not text.isprintable():
            raise InvalidArgument(f"The secret must have {_SHORTEST} to {_LONGEST} visible ASCII characters")
        sealed = await self._vault.seal_stored(_PURPOSE, tenant, identified, text.encode())
        if not await rows.put_secret(self._db, HookSecret(identified, tenant, sealed, self._clock())):
            raise NotFound(f"Tenant {tenant} has no account {identified!r} any more")
        return secret
