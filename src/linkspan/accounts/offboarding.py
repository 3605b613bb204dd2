"""A tenant leaves: its grants are given back, everything of it is deleted, and what was done is told.

In this order, so that a removal that was interrupted can be run again and ends the same way:

1. Its tokens are revoked: nobody acts for it any more.
2. The grants of its accounts are given back where the connector says how (RFC 7009). A product that does not
   answer does not keep a tenant from leaving; it is named, so that somebody can do it by hand there.
3. All its rows are deleted in one transaction, its data keys among them: what backups still hold of its
   secrets cannot be opened any more with what is left.
4. Its files are deleted.

No event is told of it: the deliveries of the tenant are deleted too, and whoever removes it has the answer.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Tenant
from linkspan.accounts.tenants import Tenants
from linkspan.errors import NotFound
from linkspan.spec.catalog import Connector
from linkspan.store import tokens as token_rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database

_AT_ONCE: Final = 8
Outcome = Literal["revoked", "not_revoked", "no_grant"]


@dataclass(frozen=True, slots=True)
class Parting:
    """What became of one account's grant at the product."""

    account: str
    connector: str
    identity: str | None
    outcome: Outcome
    why: str | None
    """What is left to do at the product; None when it was given back."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """The proof of a removal."""

    tenant: str
    accounts: tuple[Parting, ...]
    deleted: Mapping[str, int]
    """How many rows went, by table."""
    files: int

    @property
    def keys(self) -> int:
        """How many keys went with which secrets of the tenant were sealed."""
        return self.deleted.get("data_keys", 0)


class Offboarding:
    """Removes tenants. `work` is the folder in which each has one for its files."""

    def __init__(
        self, db: Database, tenants: Tenants, accounts: Accounts, *, clock: Callable[[], float], work: Path
    ) -> None:
        self._db = db
        self._tenants = tenants
        self._accounts = accounts
        self._clock = clock
        self._work = work

    async def remove(self, name: str, connectors: Mapping[str, Connector]) -> Farewell:
        """Remove a tenant with everything it has. Raises `NotFound`."""
        tenant = await self._tenants.require(name)
        await token_rows.revoke_all(self._db, tenant, self._clock())
        turn = asyncio.Semaphore(_AT_ONCE)

        async def part(account: Account) -> Parting:
            async with turn:
                return await self._part(tenant, account, connectors.get(account.connector))

        linked = await self._accounts.list(tenant)
        partings = await asyncio.gather(*(part(account) for account in linked))
        deleted = await self._tenants.remove(tenant)
        files = await asyncio.to_thread(_delete_folder, self._work / tenant)
        # They were deleted one by one, each when its grant had been given back.
        counted = {**deleted, "accounts": deleted["accounts"] + len(partings)}
        return Farewell(tenant, tuple(partings), counted, files)

    async def _part(self, tenant: Tenant, account: Account, connector: Connector | None) -> Parting:
        try:
            revoked = await self._accounts.unlink(tenant, account.id, connector)
        except NotFound:  # somebody else has just unlinked it
            revoked = False
        outcome, why = ("revoked", None) if revoked else _left(account, connector)
        return Parting(account.id, account.connector, account.identity_label, outcome, why)


def _left(account: Account, connector: Connector | None) -> tuple[Outcome, str | None]:
    """Answer what could not be given back, and what somebody can do about it."""
    if connector is None:
        return "not_revoked", f"tools.yaml has no connector {account.connector!r} any more: revoke it there"
    way = connector.auth_method(account.method)
    if account.method == "none":
        return "no_grant", None
    if way is None or way.oauth is None:
        return "no_grant", f"a fixed credential: delete it at {connector.title}"
    if way.oauth.revoke_url is None:
        return "not_revoked", f"the connector declares no revoke_url: revoke it at {connector.title}"
    return "not_revoked", f"{connector.title} did not take it back: revoke it there"


def _delete_folder(folder: Path) -> int:
    """Delete a folder with everything in it; answer how many files that were. A link is not followed."""
    if folder.is_symlink():
        folder.unlink()
        return 1
    if not folder.is_dir():
        return 0
    count = sum(1 for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    shutil.rmtree(folder)
    return count
